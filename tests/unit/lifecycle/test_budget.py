"""What the blocks of a process that ends may take together, and what cancelled tasks may."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from zkdiscovery.lifecycle import budget
from zkdiscovery.lifecycle.budget import BLOCK_LIMIT, FORGOTTEN, LEAST, ProcessEnd, leaving

USUAL = 5.0  # seconds
Leave = Callable[[type[BaseException] | None, float], float]


class Clock:
    """A clock that stands unless it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(budget, "time", SimpleNamespace(monotonic=clock.monotonic))
    monkeypatch.setattr(budget, "process_end", ProcessEnd())
    return clock


@pytest.fixture
def leave(clock: Clock) -> Leave:
    """Leaves a block that an error of some kind ends, which takes some seconds; gives the limit."""

    def leave(kind: type[BaseException] | None, seconds: float) -> float:
        try:
            if kind is not None:
                raise kind
        except BaseException:
            return measured(seconds)
        return measured(seconds)

    def measured(seconds: float) -> float:
        with leaving(USUAL) as limit:
            clock.now += seconds
        return limit

    return leave


@pytest.mark.parametrize("kind", [None, ValueError, GeneratorExit])
def test_an_exit_that_ends_no_process_gets_the_usual_time(leave: Leave, kind: type[BaseException] | None) -> None:
    assert [leave(kind, 3.0) for _ in range(3)] == [USUAL] * 3


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_exits_that_follow_each_other_share_one_limit(leave: Leave, kind: type[BaseException]) -> None:
    assert [leave(kind, 1.5), leave(kind, 0.5), leave(kind, 0.0)] == [BLOCK_LIMIT, BLOCK_LIMIT - 1.5, LEAST]


def test_cancelled_tasks_are_forgotten(leave: Leave, clock: Clock) -> None:
    leave(asyncio.CancelledError, 1.5)
    clock.now += 0.9 * FORGOTTEN
    assert leave(asyncio.CancelledError, 0.25) == BLOCK_LIMIT - 1.5
    clock.now += 0.9 * FORGOTTEN
    assert budget.process_end.spent == 1.75
    clock.now += 0.2 * FORGOTTEN
    assert budget.process_end.spent == 0.0
    assert leave(asyncio.CancelledError, 0.0) == BLOCK_LIMIT


def test_an_interrupt_is_not_forgotten(leave: Leave, clock: Clock) -> None:
    leave(KeyboardInterrupt, 1.5)
    clock.now += 10 * FORGOTTEN
    assert budget.process_end.spent == 1.5


def test_tasks_side_by_side_count_once(clock: Clock) -> None:
    with ExitStack() as stack:
        for _ in range(3):
            try:
                raise asyncio.CancelledError
            except asyncio.CancelledError:
                stack.enter_context(leaving(USUAL))
            clock.now += 0.5
        assert budget.process_end.spent == 1.5
    assert budget.process_end.spent == 1.5
