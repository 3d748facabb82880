"""How many flushes serve the changes of a storm, and that a lone change waits for nothing. The clock is the test's."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from zkdiscovery.znodes.pacing import LONGEST_PAUSE, SHORTEST_PAUSE, Pacing

FLUSH = 0.0003  # seconds that a flush takes


def flushes(events: Sequence[float], *, read: bool, lasting: float = FLUSH) -> list[tuple[float, int]]:
    """Return when flushes begin and how many events each serves, as a worker runs them."""
    pacing = Pacing()
    found: list[tuple[float, int]] = []
    waiting, due, free = 0, float("inf"), 0.0  # the worker is free from then on
    ahead = list(events)
    while ahead or waiting:
        if ahead and ahead[0] <= max(due, free):
            now = ahead.pop(0)
            waiting += 1
            delay = pacing.delay(now)
            assert delay is not None
            due = min(due, now + delay)
            continue
        began, ended = max(due, free), max(due, free) + lasting
        free = ended
        pacing.begin()
        found.append((began, waiting))
        waiting, due = 0, float("inf")
        while ahead and ahead[0] <= ended:  # while it runs
            waiting += 1
            assert pacing.delay(ahead.pop(0)) is None
        delay = pacing.flushed(began, ended, read=read, more=waiting > 0)
        if delay is not None:
            due = ended + delay
    return found


def evenly(count: int, gap: float) -> list[float]:
    return [1.0 + number * gap for number in range(count)]


@pytest.mark.parametrize("gap", [0.00001, 0.0001, 0.0004, 0.001])
def test_a_storm_of_removals_is_a_handful_of_flushes(gap: float) -> None:
    """Nothing has to be read, so that each would be over before the next removal comes."""
    found = flushes(evenly(500, gap), read=False)
    assert sum(served for _, served in found) == 500
    assert len(found) <= 4 + 500 * gap / SHORTEST_PAUSE


@pytest.mark.parametrize("gap", [0.00001, 0.0001, 0.0004])
def test_a_storm_of_changes_is_a_handful_of_flushes(gap: float) -> None:
    found = flushes(evenly(500, gap), read=True)
    assert len(found) <= 4 + 500 * gap / SHORTEST_PAUSE


@pytest.mark.parametrize(("lasting", "pause"), [(0.02, 0.08), (0.5, LONGEST_PAUSE)])
def test_flushes_that_take_long_are_rarer(lasting: float, pause: float) -> None:
    assert len(flushes(evenly(1000, 0.002), read=True, lasting=lasting)) <= 3 + 1000 * 0.002 / (lasting + pause)


@pytest.mark.parametrize("read", [True, False])
def test_lone_changes_wait_for_nothing(read: bool) -> None:
    events = evenly(100, 0.0025)
    assert flushes(events, read=read) == [(event, 1) for event in events]


@pytest.mark.parametrize("read", [True, False])
def test_a_change_during_the_flush_of_another_one_is_no_storm_yet(read: bool) -> None:
    assert flushes([1.0, 1.0 + FLUSH / 2], read=read) == [(1.0, 1), (1.0 + FLUSH, 1)]


def test_after_a_storm_a_lone_change_waits_for_nothing() -> None:
    storm = evenly(100, 0.0001)
    events = [*storm, 2.0, 3.0]
    assert flushes(events, read=False)[-2:] == [(2.0, 1), (3.0, 1)]
