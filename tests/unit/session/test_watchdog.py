"""When a silent link is given up: what is silent while we stand still does not count."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest

from zkdiscovery.session import Session, State
from zkdiscovery.session import watchdog as watchdog_module
from zkdiscovery.session.watchdog import Watchdog

T = 12.0  # seconds, the session timeout; the link is looked at each second


class Bench:
    """What the watchdog needs of a session, its keeper, its link and the link's channel."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timeout = T
        self.state = State.CONNECTED
        self.keeper = self.link = self.channel = self
        self.sent: float | None = None
        self.ping_sent: float | None = None
        self.last_answer = self.now
        self.dropped: list[str] = []
        self._task: Callable[[], None] | None = None

    def schedule(self, _key: object, task: Callable[[], None], _delay: float) -> None:
        self._task = task

    def oldest_sent(self) -> float | None:
        return self.sent

    def drop(self, reason: str) -> None:
        self.dropped.append(reason)

    def look(self, after: float) -> None:
        """So many seconds pass, then it looks."""
        self.now += after
        assert self._task is not None
        self._task()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench()
    monkeypatch.setattr(watchdog_module.time, "monotonic", lambda: bench.now)
    Watchdog(cast("Session", bench)).connected()
    return bench


def test_a_silent_link_is_dropped_within_five_twelfths(bench: Bench) -> None:
    bench.sent = bench.now
    while not bench.dropped:
        bench.look(1.0)
    assert bench.now - 100.0 <= T / 3 + T / 12


@pytest.mark.parametrize("pause", [2.5, 3.9, 4.5, 30.0])
def test_a_process_that_stood_still_reads_what_has_come_first(bench: Bench, pause: float) -> None:
    """The answer lies in the buffer of the socket, and whether it is read before the look is a matter of luck."""
    bench.look(1.0)
    bench.sent = bench.last_answer = bench.now - 2.0
    bench.look(pause)
    assert not bench.dropped
    bench.sent, bench.last_answer = None, bench.now
    bench.look(1.0)
    assert not bench.dropped


def test_a_dead_link_is_dropped_at_the_second_look_of_a_process_that_is_always_late(bench: Bench) -> None:
    bench.sent = bench.now
    for _ in range(3):
        bench.look(3.0)
    assert bench.dropped
