"""The status that follows from what checks say, and from what users say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from zkdiscovery import CheckResult, CheckState, InvalidInstance, Status, TcpCheck, TtlCheck
from zkdiscovery.registration.checks import Check, Outcome
from zkdiscovery.registration.health import Health, Tally

PASS, FAIL, UNKNOWN = CheckResult.PASS, CheckResult.FAIL, CheckResult.UNKNOWN
OUTCOMES = {"+": PASS, "-": FAIL, "?": UNKNOWN}


def said(tally: Tally, text: str, running: float = 1000.0) -> list[CheckState]:
    """The state after each of some outcomes."""
    states = []
    for number, sign in enumerate(text):
        tally.note(Outcome(OUTCOMES[sign], f"{sign} {number}"), now=1e9 + number, running=running)
        states.append(tally.state)
    return states


def tally(**options: Any) -> Tally:
    return Tally(TcpCheck(**{"failure_threshold": 3, "success_threshold": 2, **options}), now=1e9)


S, P, F = CheckState.STARTING, CheckState.PASSING, CheckState.FAILING


@pytest.mark.parametrize(
    ("text", "states"),
    [
        ("+", [P]),
        ("---", [S, S, F]),
        ("+--+--+--", [P] * 9),
        ("+---", [P, P, P, F]),
        ("+---+", [P, P, P, F, F]),
        ("+---++", [P, P, P, F, F, P]),
        ("+---+-+-++", [P, P, P, F, F, F, F, F, F, P]),
        ("+--?-", [P, P, P, P, F]),
        ("+---+?+", [P, P, P, F, F, F, P]),
        ("?????", [S] * 5),
        ("--+", [S, S, P]),
    ],
)
def test_a_state_changes_only_at_thresholds(text: str, states: list[CheckState]) -> None:
    assert said(tally(), text) == states


def test_every_third_failure_changes_nothing() -> None:
    assert set(said(tally(), "++-" * 100)) == {P}


def test_failures_in_the_grace_time_do_not_count() -> None:
    counted = tally(grace=30.0)
    assert said(counted, "-" * 10, running=29.9) == [S] * 10
    assert said(counted, "---", running=30.0) == [S, S, F]


def test_the_grace_time_ends_with_the_first_pass() -> None:
    assert said(tally(grace=30.0), "-+---", running=1.0) == [S, P, P, P, F]


def test_a_report_says_since_when() -> None:
    counted = tally(name="ready")
    said(counted, "+---")
    report = counted.report
    assert (report.name, report.state, report.since) == ("ready", F, 1e9 + 3)
    assert (report.result, report.message, report.checked_at) == (FAIL, "- 3", 1e9 + 3)
    said(counted, "?")
    assert (counted.report.since, counted.report.result, counted.report.message) == (1e9 + 3, UNKNOWN, "? 0")


def test_a_ttl_needs_no_second_failure() -> None:
    counted = Tally(TtlCheck(15), now=1e9)
    assert said(counted, "+-+-") == [P, F, P, F]


def health(checks: Sequence[Check] = (TcpCheck(name="a"), TcpCheck(name="b")), *, waits: bool = False) -> Health:
    return Health(checks, waits=waits, now=1e9)


def test_all_checks_must_pass() -> None:
    its = health()
    assert its.status is Status.STARTING
    said(its.tallies[0], "+")
    assert its.status is Status.STARTING
    assert its.why == "the check b has not passed yet"
    said(its.tallies[1], "-+")
    assert (its.status, its.why) == (Status.UP, "")
    said(its.tallies[0], "---")
    assert its.status is Status.DOWN
    assert its.why == "the check a fails: - 2"
    assert its.down_by_checks


@pytest.mark.parametrize("told", [Status.OUT_OF_SERVICE, Status.DOWN, Status.STARTING, Status.DRAINING])
def test_what_a_user_sets_stands_until_up_is_set(told: Status) -> None:
    its = health()
    its.told = told
    for its_tally in its.tallies:
        said(its_tally, "+")
    assert (its.status, its.why, its.down_by_checks) == (told, "", False)
    said(its.tallies[0], "---")
    assert its.status is told
    its.told = Status.UP
    assert its.status is Status.DOWN


def test_one_that_waits_is_starting_whatever_its_checks_say() -> None:
    its = health(waits=True)
    for its_tally in its.tallies:
        said(its_tally, "+")
    assert its.status is Status.STARTING
    its.told = Status.UP
    assert its.status is Status.UP


def test_without_checks_up_means_up() -> None:
    assert health(()).status is Status.UP
    assert health((), waits=True).status is Status.STARTING


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"interval": 0}, "interval of a check must be seconds, more than 0"),
        ({"interval": "5"}, "interval of a check"),
        ({"timeout": -1}, "timeout of a check"),
        ({"timeout": float("nan")}, "timeout of a check"),
        ({"grace": -1}, "grace of a check"),
        ({"failure_threshold": 0}, "failure_threshold of a check must be an integer from 1 to 1000: got 0"),
        ({"success_threshold": True}, "success_threshold of a check"),
        ({"port": 70_000}, "port of a check must be"),
        ({"host": "web.example"}, "must be an address, because a check resolves no names"),
        ({"name": "a\nb"}, "name of a check"),
    ],
)
def test_what_is_out_of_range_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInstance, match=message):
        TcpCheck(**options)


def test_a_ttl_must_be_a_time() -> None:
    with pytest.raises(InvalidInstance, match="ttl of a check"):
        TtlCheck(0)
