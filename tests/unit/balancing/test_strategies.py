"""What holds for every strategy, and the shares that each gives out."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import math
import pickle
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import EntryPoint, EntryPoints
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from traffic import endpoints

from zkdiscovery.balancing import (
    Balancer,
    LeastInFlight,
    Maglev,
    Outcome,
    P2cEwma,
    PreferZone,
    Random,
    Rendezvous,
    RingHash,
    RoundRobin,
    Sticky,
    Subset,
    Tiers,
    Weighted,
    WeightedRoundRobin,
    resolve_balancer,
)
from zkdiscovery.errors import InvalidSettings

if TYPE_CHECKING:
    from collections.abc import Callable
from tests.unit.balancing.shares import chi_square, shares

BALANCERS: dict[str, Balancer] = {
    "p2c_ewma": P2cEwma(),
    "round_robin": RoundRobin(),
    "random": Random(),
    "weighted": Weighted(),
    "weighted_round_robin": WeightedRoundRobin(),
    "least_in_flight": LeastInFlight(),
    "ring_hash": RingHash(),
    "maglev": Maglev(),
    "rendezvous": Rendezvous(),
    "sticky": Sticky(),
    "prefer_zone": PreferZone(),
    "tiers": Tiers(),
}
WITH_PARAMETERS: dict[str, Balancer] = {
    "least_in_flight of two": LeastInFlight(scan=1),
    "ring_hash bounded": RingHash(points=16, bound=1.25),
    "maglev bounded": Maglev(bound=1.25),
    "sticky at random": Sticky(Random()),
    "zone, round robin": PreferZone("a", RoundRobin()),
    "zone, maglev": PreferZone("b", Maglev()),
    "tiers of zones": Tiers(then=PreferZone("a", then=LeastInFlight())),
    "subset": Subset(3, index=5, then=RoundRobin()),
}
every_balancer = pytest.mark.parametrize(
    "balancer", [*BALANCERS.values(), *WITH_PARAMETERS.values()], ids=[*BALANCERS, *WITH_PARAMETERS]
)
EVEN = {name: BALANCERS[name] for name in BALANCERS if name not in {"ring_hash", "sticky"}}
even_balancer = pytest.mark.parametrize("balancer", EVEN.values(), ids=EVEN)


# What holds for every strategy

KEYS = st.text(st.characters(codec="utf-8"), max_size=5)
TIERS = st.sampled_from([{}, {"tier": "0"}, {"tier": "1"}, {"tier": "-3"}, {"tier": "first"}])


@every_balancer
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_picks_a_member_that_is_not_excluded_and_none_only_if_all_are(balancer: Balancer, data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.sampled_from([0.0, 5e-324, 0.5, 1.0, 3.0, 1e300]), max_size=12))
    members = endpoints(len(weights), weights=dict(enumerate(weights)))
    for member in members:
        place = {"zone": data.draw(st.sampled_from([None, "a", "b"])), "metadata": data.draw(TIERS)}
        member.instance = dataclasses.replace(member.instance, **place)
    for member, outcome in zip(members, data.draw(st.lists(st.sampled_from(Outcome), max_size=12)), strict=False):
        member.finished(member.started(), outcome)
    ids = [str(index) for index in range(14)]
    exclude = data.draw(st.one_of(st.sets(st.sampled_from(ids)), st.lists(st.sampled_from(ids)).map(tuple)))
    left = [member for member in members if member.instance.id not in exclude]
    wanted = [member for member in left if member.instance.weight] or left

    picker = balancer.build(members)
    for turn in range(20):
        endpoint = picker.pick(data.draw(KEYS) if turn % 2 else None, exclude)
        assert endpoint in wanted if wanted else endpoint is None
        if endpoint is not None:
            endpoint.finished(endpoint.started(), Outcome.SUCCESS)


@every_balancer
def test_an_empty_set_has_nothing_to_pick(balancer: Balancer) -> None:
    assert balancer.build([]).pick() is None
    assert balancer.build([]).pick(exclude={"0"}) is None


@every_balancer
def test_a_single_endpoint_is_picked_unless_excluded(balancer: Balancer) -> None:
    (only,) = members = endpoints(1)
    picker = balancer.build(members)
    assert [picker.pick() for _ in range(100)] == [only] * 100
    assert picker.pick(exclude=("0",)) is None
    assert picker.pick(exclude=("1",)) is only


@every_balancer
@pytest.mark.parametrize("size", [2, 10, 1000])
def test_the_one_that_is_left_is_found(balancer: Balancer, size: int) -> None:
    members = endpoints(size)
    picker = balancer.build(members)
    exclude = {str(index) for index in range(1, size)}
    assert {picker.pick(exclude=exclude) for _ in range(100)} == {members[0]}


@every_balancer
def test_weight_0_is_picked_only_if_nothing_else_is_left(balancer: Balancer) -> None:
    members = endpoints(6, weights={0: 0.0, 1: 0.0, 2: 0.001})
    assert set(shares(balancer, members, 2000)) <= {"2", "3", "4", "5"}
    assert set(shares(balancer, members, 2000, exclude={"3", "4", "5"})) == {"2"}
    reserve = set(shares(balancer, members, 2000, exclude={"2", "3", "4", "5"}))
    assert reserve == {"0", "1"} if not isinstance(balancer, Sticky) else reserve < {"0", "1"}
    reserve = set(shares(balancer, members[:2], 2000))
    assert reserve == {"0", "1"} if not isinstance(balancer, Sticky) else reserve < {"0", "1"}


@even_balancer
def test_a_set_of_equals_is_shared_out_evenly(balancer: Balancer) -> None:
    counts = shares(balancer, endpoints(10), 64_000)
    assert chi_square(counts, {str(index): 1.0 for index in range(10)}) < 4


@even_balancer
def test_without_the_excluded_the_others_share_evenly(balancer: Balancer) -> None:
    counts = shares(balancer, endpoints(10), 9_000, exclude={"3"})
    assert chi_square(counts, {str(index): 1.0 for index in range(10) if index != 3}) < 4


@even_balancer
def test_new_pickers_do_not_start_at_the_same_endpoint(balancer: Balancer) -> None:
    """grpc-java #8026: the position went back to the first host at each update, and all clients with it."""
    members = endpoints(10)
    picks = 50 if isinstance(balancer, Maglev) else 500  # building a table takes time
    first = Counter(endpoint.instance.id for _ in range(picks) if (endpoint := balancer.build(members).pick()))
    assert chi_square(first, {str(index): 1.0 for index in range(10)}) < 4


def test_a_large_table_of_pairs_does_not_start_at_the_same_endpoint_either() -> None:
    members = endpoints(5000)  # too many to be shuffled
    assert len({P2cEwma().build(members).pick() for _ in range(20)}) > 10


@every_balancer
def test_a_picker_keeps_the_set_it_was_built_for(balancer: Balancer) -> None:
    members = endpoints(3)
    picker = balancer.build(members)
    members.clear()
    for index in range(3):
        others = {"0", "1", "2"} - {str(index)}
        assert {e.instance.id for _ in range(20) if (e := picker.pick(exclude=others))} == {str(index)}


@every_balancer
def test_threads_that_pick_and_report_leave_nothing_in_flight(balancer: Balancer) -> None:
    threads, calls = 8, 1000
    members = endpoints(5, weights={4: 0.0})
    picker = balancer.build(members)

    def call(number: int) -> int:
        done = 0
        for turn in range(calls):
            exclude = {str(turn % 5)} if turn % 3 == 0 else ()
            endpoint = picker.pick(exclude=exclude)
            assert endpoint is not None
            assert endpoint.instance.id not in exclude
            stamp = endpoint.started()
            if turn % 500 == 0:
                picker_meanwhile = balancer.build(members)  # as the worker does at a change
                assert picker_meanwhile.pick() is not None
            endpoint.finished(stamp, list(Outcome)[turn % 4])
            done += 1
        return done

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(threads) as pool:
            assert sum(pool.map(call, range(threads))) == threads * calls
    finally:
        sys.setswitchinterval(interval)
    assert [member.in_flight for member in members] == [0] * 5


@every_balancer
def test_strategies_are_values(balancer: Balancer) -> None:
    same = dataclasses.replace(balancer)
    assert balancer == same
    assert hash(balancer) == hash(same)
    assert pickle.loads(pickle.dumps(balancer)) == balancer


@pytest.mark.parametrize("name", BALANCERS)
def test_a_strategy_by_name(name: str) -> None:
    assert resolve_balancer(name) == BALANCERS[name]


@pytest.mark.parametrize("then", [property(lambda self: self), PreferZone()], ids=["itself", "another one"])
def test_a_strategy_whose_then_is_not_ours_to_replace_stays_as_it_is(then: object) -> None:
    build = staticmethod(RoundRobin().build)
    theirs = type("Theirs", (), {"build": build, "then": then})()
    assert resolve_balancer(theirs, "eu-1a") is theirs


def test_a_strategy_of_the_users_own_stays_as_it_is() -> None:
    class First:
        def build(self, endpoints):
            raise NotImplementedError

    own = First()
    assert resolve_balancer(own) is own


@pytest.mark.parametrize("spec", ["fastest", "", P2cEwma, None, 7])
def test_anything_else_is_refused_with_the_names(spec: object) -> None:
    with pytest.raises(InvalidSettings, match="'p2c_ewma', 'round_robin', 'random', 'weighted'"):
        resolve_balancer(spec)


def test_a_name_that_is_nearly_right() -> None:
    with pytest.raises(InvalidSettings, match=r"no balancer 'roundrobin'\. Did you mean 'round_robin'\?"):
        resolve_balancer("roundrobin")


class Ours:
    """As an installed package may bring it."""

    def build(self, endpoints):
        return RoundRobin().build(endpoints)


NOT_A_STRATEGY = 7


@pytest.mark.parametrize("value", ["Ours", "ours", "make"])
def test_strategies_of_other_packages(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules[__name__]
    monkeypatch.setattr(module, "ours", Ours(), raising=False)
    monkeypatch.setattr(module, "make", Ours, raising=False)
    install(monkeypatch, f"{__name__}:{value}")
    assert isinstance(resolve_balancer("ours"), Ours)


@pytest.mark.parametrize("value", ["no_such_module:x", f"{__name__}:NoSuchName", f"{__name__}:NOT_A_STRATEGY"])
def test_strategies_of_other_packages_that_cannot_be_loaded(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, value)
    with pytest.raises(InvalidSettings, match="ours"):
        resolve_balancer("ours")


def install(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    entries = EntryPoints([EntryPoint("ours", value, "zkdiscovery.balancers")])
    monkeypatch.setattr(importlib.metadata, "entry_points", entries.select)


def test_the_clients_zone_goes_wherever_a_strategy_asks_for_it() -> None:
    assert resolve_balancer("prefer_zone", "a") == PreferZone("a")
    nested = Sticky(Tiers(then=PreferZone(then=RoundRobin())))
    assert resolve_balancer(nested, "a") == Sticky(Tiers(then=PreferZone("a", then=RoundRobin())))
    assert resolve_balancer(PreferZone("b"), "a") == PreferZone("b")
    assert resolve_balancer(nested, None) is nested


@pytest.mark.parametrize(
    "make",
    [
        lambda: Maglev(bound=1.0),
        lambda: Maglev(bound=math.nan),
        lambda: RingHash(bound=True),
        lambda: RingHash(points=0),
        lambda: LeastInFlight(scan=0),
        lambda: Subset(0, index=1),
        lambda: Subset(2, index=-1),
        lambda: Subset(2, 0, RoundRobin),  # type: ignore[arg-type]
        lambda: Sticky("round_robin"),  # type: ignore[arg-type]
        lambda: Tiers(RoundRobin()),  # type: ignore[arg-type]
        lambda: Tiers(then=None),  # type: ignore[arg-type]
        lambda: PreferZone(Maglev()),  # type: ignore[arg-type]
        lambda: PreferZone("a", "maglev"),  # type: ignore[arg-type]
    ],
)
def test_parameters_out_of_range_are_refused(make: Callable[[], Balancer]) -> None:
    with pytest.raises(InvalidSettings, match="must be"):
        make()
