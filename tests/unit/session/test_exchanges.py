"""The arithmetic of exchanges: by hand, and against a model of an ensemble in which everybody stands still at times."""

from __future__ import annotations

import math

import pytest
from hypothesis import HealthCheck, Phase, example, find, given, settings
from hypothesis import strategies as st

from tests.rules import Assumed, OneTrip, TwoTrips
from tests.unit.session.ensemble_model import Claim, Model, Plan
from zkdiscovery.session.exchanges import Exchanges

R = 0.001  # a round trip, in units of T


def make(rule: type[Exchanges] = Exchanges) -> Exchanges:
    """With a handshake at 0 and T = 1."""
    exchanges = rule()
    exchanges.restart(0.0, R, 1.0)
    return exchanges


def prove(exchanges: Exchanges, at: float, *, trips: int = 3) -> float:
    """Make trips one after another, the last one a transaction; what is proven then."""
    for left in reversed(range(trips)):
        exchanges.add(at, at + R, trip=True, commit=left == 0)
        at += 2 * R
    return exchanges.proven


# -- by hand --


def test_a_handshake_is_proven_by_one_transaction() -> None:
    exchanges = make()
    assert exchanges.proven == -math.inf
    assert exchanges.provable(0.5) == pytest.approx(0.9)
    assert prove(exchanges, 0.5, trips=1) == pytest.approx(0.9)


@pytest.mark.parametrize(("after", "proven"), [(0.274, 0.9), (0.276, 1.9)])
def test_an_exchange_waits_for_the_leaders_ping(after: float, proven: float) -> None:
    exchanges = make()
    exchanges.add(1.0, 1.0 + R)
    assert prove(exchanges, 1.0 + R + after) == pytest.approx(proven)


@pytest.mark.parametrize("trips", [1, 2])
def test_fewer_trips_prove_no_exchange(trips: int) -> None:
    exchanges = make()
    exchanges.add(1.0, 1.0 + R)
    assert prove(exchanges, 1.5, trips=trips) == pytest.approx(0.9)


def test_a_trip_that_was_sent_before_the_former_one_was_answered_is_no_further_trip() -> None:
    exchanges = make()
    exchanges.add(1.0, 1.0 + R)
    for late in range(3):
        exchanges.add(1.5, 1.5 + R + late * R, trip=True, commit=True)
    assert exchanges.proven == pytest.approx(0.9)


def test_a_sync_commits_nothing() -> None:
    exchanges = make()
    for at in (1.0, 1.5, 1.6, 1.7):
        exchanges.add(at, at + R, trip=True)
    assert exchanges.proven == -math.inf
    assert exchanges.provable(1.8) == pytest.approx(1.9)


def test_a_commit_ends_a_proof_that_was_prepared_long_before() -> None:
    exchanges = make()
    for at in (1.0, 1.3, 1.4):
        exchanges.add(at, at + R, trip=True)
    assert prove(exchanges, 1.85, trips=1) == pytest.approx(1.9)


def test_another_connection_begins_anew() -> None:
    exchanges = make()
    exchanges.add(1.0, 1.0 + R)
    exchanges.restart(1.2, 1.2 + R, 1.0)
    assert prove(exchanges, 1.5) == pytest.approx(2.1)


def test_regular_renewals_prove_six_tenths() -> None:
    exchanges = make()
    left = [prove(exchanges, at / 10) - at / 10 for at in range(10, 40)]
    assert left[5:] == pytest.approx([0.6] * 25, abs=0.01)


@pytest.mark.parametrize(("trip", "least"), [(0.001, 0.49), (0.02, 0.42), (0.05, 0.28), (0.1, 0.08)])
def test_what_is_left_where_answers_are_slow(trip: float, least: float) -> None:
    """The figures of the documentation: what is left of T when a renewal takes effect, and a tenth later."""
    claims = Model(Plan(acts=[(0.1, True)] * 40, delays=((trip / 2,), (trip / 2,), (0.0,), (0.0,))), Exchanges).run()
    lives = [claim.proven for claim in claims[-20:-5]]
    ends = [0.1 * (40 - 20 + number) + 3 * trip for number in range(15)]
    assert min(lives[i] - (ends[i] + 0.2) for i in range(15)) >= least - 0.01


def test_what_is_remembered_is_bounded_under_any_traffic() -> None:
    exchanges = make()
    for number in range(20_000):
        at = 1.0 + number * 5e-4
        exchanges.add(at, at + 0.1, trip=number % 3 == 0, commit=number % 6 == 0)
    assert sum(map(len, exchanges._stages)) < 100
    assert exchanges.proven > at + 0.1


def test_when_the_next_proof_can_begin() -> None:
    exchanges = make()
    assert exchanges.ripe(1.0) == pytest.approx(1.275)
    exchanges.add(1.0, 1.0 + R)
    exchanges.add(1.1, 1.1 + R)
    assert exchanges.ripe(1.2) == pytest.approx(1.275 + R)
    assert exchanges.ripe(1.3) == pytest.approx(1.375 + R)


# -- against the model --

delays = st.lists(st.floats(0.0, 0.4), min_size=1, max_size=6)
stops = st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)), max_size=4)
plans = st.builds(
    Plan,
    tick=st.floats(0.05, 0.5),
    phase=st.floats(0.0, 0.25),
    acts=st.lists(st.tuples(st.floats(0.0, 1.0), st.booleans()), min_size=2, max_size=15),
    delays=st.tuples(delays, delays, delays, delays),
    stops=st.tuples(stops, stops, stops),
    ping_last=st.booleans(),
)

SILENT = Plan(acts=[(1.0, True)], phase=0.1)  # a client that stood still for T before its term begins
HELD = Plan(  # leader to follower held while the client waits, then follower to leader lost
    acts=[(1.0, False), (0.28, True)], delays=((0.0,), (0.0,), (0.0,), (*(0.0,) * 4, 0.3, 0.0)), phase=0.02
)
STOPPED = Plan(  # the leader stands still when its ping is due, and the ping is late on its way
    acts=[(1.01, False), (0.28, True)],
    stops=((), (), [(1.2, 0.1)]),
    delays=((0.0,), (0.0,), (0.0,), (*(0.0,) * 5, 0.0, 0.1, 0.0)),
)


def outlasts(claims: list[Claim]) -> bool:
    """Whether the client believed in its session for longer than the leader did."""
    return any(claim.proven > claim.lives + 1e-6 for claim in claims)


@given(plans)
@example(SILENT)
@example(HELD)
@example(STOPPED)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_proof_outlasts_its_session(plan: Plan) -> None:
    """Whoever stands still, at any point, and however late messages are."""
    assert not outlasts(Model(plan, Exchanges).run())


@pytest.mark.parametrize(
    ("rule", "plan"), [(Assumed, SILENT), (OneTrip, HELD), (TwoTrips, STOPPED)], ids=["old", "repair", "two"]
)
def test_the_model_tells_rules_that_are_wrong(rule: type[Exchanges], plan: Plan) -> None:
    """The rule of before, the obvious repair, and one trip less."""
    assert outlasts(Model(plan, rule).run())


@pytest.mark.parametrize("rule", [Assumed, OneTrip], ids=["old", "repair"])
def test_random_plans_find_rules_that_are_wrong(rule: type[Exchanges]) -> None:
    """Without a hint: the plans of the test above are good enough."""
    seen = settings(max_examples=3000, derandomize=True, database=None, phases=[Phase.generate])
    find(plans, lambda plan: outlasts(Model(plan, rule).run()), settings=seen)
