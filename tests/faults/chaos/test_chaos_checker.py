"""Each invariant: a history that breaks it is found, and one that does not is let pass."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.faults.chaos.carry import Carry
from tests.faults.chaos.checker import BOUNDS, check_round
from tests.faults.chaos.history import Event
from tests.faults.chaos.machine import MACHINE


def violated(events: list[Event], carry: Carry | None = None) -> set[str]:
    """Names of the invariants that do not hold."""
    violations, _ = check_round(sorted(events, key=lambda event: event["t"]), carry or Carry())
    return {violation.invariant for violation in violations}


def event(t: float, who: str, ev: str, **fields: Any) -> Event:
    return {"t": t, "who": who, "ev": ev, **fields}


def term(who: str, fence: int, begin: float, last: float, election: str = "one") -> list[Event]:
    """A term that was proven valid from `begin` to `last`."""
    return [
        event(begin, who, "hold", kind="term", of=election, fence=fence, begin=begin, remaining=1.0),
        event(last, who, "valid", of=election, fence=fence, to=last, remaining=1.0, over=None),
    ]


def write(t: float, by: str, fence: int, *, accepted: bool, checked: float | None = None) -> Event:
    checked = t if checked is None else checked
    return event(t, "store", "write", by=by, of="one", fence=fence, n=1, checked=checked, accepted=accepted, largest=0)


def seen(t: float, version: int, **stamp: int) -> Event:
    instance = {"by": "w1", "life": 1, "nonce": 1, "seq": 0, "status": "UP", "weight": 1.0, "registered_at": 1.0}
    delta = {"w1-a": {**instance, **stamp}}
    return event(t, "w2.1", "seen", service="alpha", version=version, stale=False, suspects=[], delta=delta)


def call(who: str, begin: float, end: float, limit: float) -> Event:
    return event(end, who, "call", name="leader", begin=begin, end=end, limit=limit, result="ok")


def test_terms_that_follow_each_other_are_fine() -> None:
    """The next one begins after the one before was valid for the last time."""
    assert not violated([*term("w1.1", 10, 1.0, 5.0), *term("w2.1", 20, 5.1, 9.0), *term("w2.1", 15, 2.0, 8.0, "two")])


def test_two_valid_leases_at_one_instant() -> None:
    """What no schedule of expiries may bring about."""
    assert violated([*term("w1.1", 10, 1.0, 5.0), *term("w2.1", 20, 4.9, 9.0)]) == {"one leader at a time"}


def test_a_long_term_that_holds_a_short_one() -> None:
    """Also not seen by looking at neighbours in time only."""
    events = [*term("w1.1", 10, 1.0, 50.0), *term("w2.1", 20, 51.0, 52.0), *term("w3.1", 30, 3.0, 4.0)]
    assert "one leader at a time" in violated(events)


def test_two_valid_leases_in_different_rounds() -> None:
    """A term is remembered for as long as it may be valid."""
    _, carry = check_round(term("w1.1", 10, 1.0, 100.0), Carry())
    events = [*term("w2.1", 20, 99.0, 101.0)]
    assert violated(events, carry) == {"one leader at a time"}
    assert not violated([*term("w2.1", 20, 100.5, 101.0)], carry)


def test_a_violation_is_told_once() -> None:
    """Not again for each later round that still remembers the terms."""
    events = [*term("w1.1", 10, 1.0, 5.0), *term("w2.1", 20, 4.9, 9.0)]
    violations, carry = check_round(events, Carry())
    assert violations
    assert not violated(term("w3.1", 30, 12.0, 13.0), carry)


def test_a_candidate_deleted_from_outside_is_beyond_any_lease() -> None:
    """Only fences count then; for the other terms nothing changes."""
    overlap = [*term("w1.1", 10, 1.0, 5.0), *term("w2.1", 20, 4.9, 9.0)]
    assert not violated([event(4.8, "controller", "exempt", of="one", fence=10), *overlap])
    assert violated([event(4.8, "controller", "exempt", of="one", fence=20), *overlap]) == {"one leader at a time"}


def test_a_session_closed_by_force_is_beyond_any_lease() -> None:
    """The terms of that process alone."""
    overlap = [*term("w1.1", 10, 1.0, 5.0), *term("w2.1", 20, 4.9, 9.0)]
    forced = [event(4.7, "w1.1", "forced", done=False), event(4.8, "w1.1", "forced", done=True)]
    assert not violated([*forced, *overlap])
    other = [{**each, "who": "w3.1"} for each in forced]
    assert violated([*other, *overlap]) == {"one leader at a time"}


def test_fences_that_fall() -> None:
    """The later term must have the larger fence, also where they do not overlap."""
    assert violated([*term("w1.1", 20, 1.0, 2.0), *term("w2.1", 10, 3.0, 4.0)]) == {"fences grow"}


def test_one_fence_for_two_terms() -> None:
    """A fence is of one candidacy."""
    assert "fences differ" in violated([*term("w1.1", 10, 1.0, 2.0), *term("w2.1", 10, 3.0, 4.0)])


@given(st.lists(st.tuples(st.floats(0.1, 5.0), st.floats(0.1, 5.0)), min_size=2, max_size=8), st.data())
def test_any_overlap_in_a_row_of_terms_is_found(spans: list[tuple[float, float]], data: st.DataObject) -> None:
    """Terms with gaps between them pass; stretch any one of them into the next, and it is found."""
    terms: list[list[Any]] = []
    at = 1.0
    for number, (gap, length) in enumerate(spans):
        terms.append([f"w{number}.1", 10 + number, at + gap, at + gap + length])
        at += gap + length
    assert not violated([e for each in terms for e in term(*each)])
    victim = data.draw(st.integers(0, len(terms) - 2))
    terms[victim][3] = terms[victim + 1][2] + 0.01
    assert violated([e for each in terms for e in term(*each)]) == {"one leader at a time"}


def test_a_store_that_took_a_smaller_fence() -> None:
    """Within a round and over rounds."""
    in_order = [write(1.0, "w1.1", 10, accepted=True), write(2.0, "w2.1", 20, accepted=True)]
    assert not violated(in_order)
    late = write(3.0, "w1.1", 10, accepted=True)
    assert violated([*in_order, late]) == {"accepted writes are in order"}
    _, carry = check_round(in_order, Carry())
    assert violated([late], carry) == {"accepted writes are in order"}


def test_a_refused_write() -> None:
    """Its writer had looked at its term just before, and was not stopped in between."""
    before = write(1.0, "w2.1", 20, accepted=True)
    assert violated([before, write(2.0, "w1.1", 10, accepted=False)]) == {"a refused write is explained"}


def test_a_refused_write_of_a_process_that_was_stopped() -> None:
    """What the fence is for."""
    before = write(1.0, "w2.1", 20, accepted=True)
    late = write(2.01, "w1.1", 10, accepted=False, checked=1.98)
    stop = event(2.0, "controller", "stopped", whom="w1.1", begin=1.985, end=1.995)
    assert not violated([before, stop, late])
    assert violated([before, {**stop, "whom": "w3.1"}, late]) == {"a refused write is explained"}
    assert not violated([before, write(9.0, "w1.1", 10, accepted=False, checked=1.0)])  # the scheduler stopped it


def test_a_refused_write_of_a_deposed_leader() -> None:
    """Its candidate was deleted from outside."""
    events = [write(1.0, "w2.1", 20, accepted=True), write(2.0, "w1.1", 10, accepted=False)]
    assert not violated([event(0.5, "controller", "exempt", of="one", fence=10), *events])


def test_a_call_that_outlives_its_limit() -> None:
    """By more than the allowance; the time in which its own process was stopped is deducted."""
    assert not violated([call("w1.1", 1.0, 4.5, 3.0)])
    late = call("w1.1", 1.0, 9.0, 3.0)
    assert violated([late]) == {"no call outlives its limit"}
    stop = event(8.0, "controller", "stopped", whom="w1.1", begin=2.0, end=7.0)
    assert not violated([stop, late])
    assert violated([{**stop, "whom": "w2.1"}, late]) == {"no call outlives its limit"}
    assert not violated([{**stop, "whom": MACHINE}, late])


@pytest.mark.parametrize("stamp", [{"seq": 3}, {"nonce": 4, "seq": 9}, {"life": 1, "nonce": 9, "seq": 9}])
def test_an_observer_that_sees_the_past(stamp: dict[str, int]) -> None:
    """An older update, an older registration, an older life of the owner."""
    newest = {"life": 2, "nonce": 5, "seq": 4}
    assert not violated([seen(1.0, 1, **{**newest, "seq": 0}), seen(2.0, 2, **newest), seen(3.0, 3, **newest)])
    assert violated([seen(1.0, 1, **newest), seen(2.0, 2, **{**newest, **stamp})]) == {"nothing seen goes back"}


def test_a_cache_whose_version_stands_still() -> None:
    """Each snapshot has a version of its own."""
    assert violated([seen(1.0, 2), seen(2.0, 2)]) == {"snapshots go on"}


def test_settling_in_time() -> None:
    """All categories within their bounds."""
    in_time = {category: bound - 0.1 for category, bound in BOUNDS.items()}
    assert not violated([event(9.0, "controller", "settle", round=1, took=in_time, problems={})])


@pytest.mark.parametrize("category", BOUNDS)
def test_settling_late_or_never(category: str) -> None:
    """Each category has its bound."""
    for took in (None, BOUNDS[category] + 0.1):
        settle = event(9.0, "controller", "settle", round=1, took={category: took}, problems={category: ["why"]})
        assert violated([settle]) == {"all settles"}


def test_a_thread_of_a_worker_that_failed() -> None:
    """Whatever it was, nobody expected it."""
    assert violated([event(1.0, "w1.1", "defect", error="KeyError('x')")]) == {"no thread of a worker fails"}


def test_checking_leaves_what_it_was_given() -> None:
    """A pure function: the same events and the same past give the same verdict."""
    _, carry = check_round(term("w1.1", 10, 1.0, 5.0), Carry())
    events = [*term("w2.1", 20, 4.0, 9.0), seen(3.0, 1)]
    assert violated(events, carry) == violated(events, carry) == {"one leader at a time"}


def test_an_excerpt_shows_the_faults_and_the_sessions_of_both_leaders() -> None:
    """Enough to understand what happened."""
    fault = {"t": 4.5, "who": "controller", "ev": "fault", "kind": "pause", "begin": 2.0, "end": 4.5}
    lost = event(4.0, "w1.1", "session", state="SUSPENDED")
    other = event(4.0, "w7.1", "session", state="SUSPENDED")
    events = [*term("w1.1", 10, 1.0, 5.0), fault, lost, other, *term("w2.1", 20, 4.9, 9.0)]
    violations, _ = check_round(sorted(events, key=lambda event: event["t"]), Carry())
    assert fault in violations[0].excerpt
    assert lost in violations[0].excerpt
    assert other not in violations[0].excerpt
    assert '"SUSPENDED"' in str(violations[0])
