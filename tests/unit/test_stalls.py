"""A scenario runs again where the machine stood still, and nowhere else."""

from __future__ import annotations

import threading

import psutil
import pytest

from tests.stalls import Stalls, run_without_stalls


def stand_still() -> None:
    """Stop the process that sleeps, as a machine that stands still does."""
    child = max(psutil.Process().children(), key=lambda process: process.create_time())
    child.suspend()
    assert not threading.Event().wait(1.0)
    child.resume()


def test_the_longest_stall_is_measured() -> None:
    noted: list[tuple[float, float]] = []
    with Stalls(0.2, lambda begin, end: noted.append((begin, end))) as stalls:
        stand_still()
    assert stalls.longest == max(end - begin for begin, end in noted)
    assert stalls.longest > 0.2


def test_a_scenario_that_fails_on_a_machine_that_stood_still_runs_again() -> None:
    tries = []

    def scenario() -> None:
        tries.append(len(tries))
        if len(tries) < 3:
            stand_still()
            raise AssertionError

    run_without_stalls(scenario, 0.2)
    assert tries == [0, 1, 2]


def test_a_scenario_that_fails_without_a_stall_has_failed() -> None:
    tries = []

    def scenario() -> None:
        tries.append(len(tries))
        raise AssertionError("it is wrong")

    with pytest.raises(AssertionError, match="it is wrong"):
        run_without_stalls(scenario, 60.0)
    assert tries == [0]


def test_a_machine_that_always_stands_still_is_no_reason_to_pass() -> None:
    tries = []

    def scenario() -> None:
        tries.append(len(tries))
        stand_still()
        raise AssertionError("it is wrong")

    with pytest.raises(AssertionError, match="it is wrong"):
        run_without_stalls(scenario, 0.2)
    assert len(tries) > 1
