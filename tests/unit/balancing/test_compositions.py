"""Strategies that choose among groups and leave the rest to another: zones, tiers, subsets, sticky; and the turns."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest
from traffic import endpoints

from zkdiscovery.balancing import (
    Balancer,
    Endpoint,
    LeastInFlight,
    Maglev,
    PreferZone,
    Random,
    RoundRobin,
    Sticky,
    Subset,
    Tiers,
    WeightedRoundRobin,
)
from zkdiscovery.balancing.weighted import GOLDEN, in_turns


def zoned(zones: str, weights: dict[int, float] | None = None) -> list[Endpoint]:
    """One endpoint for each letter, in the zone of that name; none for a dash."""
    members = endpoints(len(zones), weights=weights)
    for member, zone in zip(members, zones, strict=True):
        member.instance = dataclasses.replace(member.instance, zone=None if zone == "-" else zone)
    return members


def picked(balancer: Balancer, members: list[Endpoint], picks: int = 4000, exclude: frozenset[str] = frozenset()):
    """The part of the picks by zone, tier, or whatever `label` says."""
    pick = balancer.build(members).pick
    return Counter(endpoint for _ in range(picks) if (endpoint := pick(None, exclude)))


def share(counts: Counter[Endpoint], zone: str) -> float:
    return sum(number for endpoint, number in counts.items() if endpoint.instance.zone == zone) / counts.total()


# Zones


@pytest.mark.parametrize(
    ("zones", "stays"),
    [
        ("aabbcc", 1.0),
        ("aabbbccc", 1.0),  # a quarter of the weight for a third of the calls: within 1.4
        ("abbbccc", 0.6),  # 1.4 x 3 x 1/7
        ("abbb", 0.7),  # 1.4 x 2 x 1/4
        ("bbcc", 0.0),
        ("aa", 1.0),
        ("aa--", 0.7),  # no zone is no zone of its own
    ],
)
def test_what_stays_in_the_zone_is_what_it_can_take(zones: str, stays: float) -> None:
    counts = picked(PreferZone("a", RoundRobin()), zoned(zones))
    assert share(counts, "a") == pytest.approx(stays, abs=0.03)


def test_capacity_is_weight() -> None:
    counts = picked(PreferZone("a", RoundRobin()), zoned("ab", {0: 1.0, 1: 3.0}))
    assert share(counts, "a") == pytest.approx(0.7, abs=0.03)


@pytest.mark.parametrize(("out", "stays"), [("0", 1.0), ("01", 0.93), ("012", 0.56), ("0123", 0.0), ("0145", 1.0)])
def test_calls_spill_over_as_the_zone_ails(out: str, stays: float) -> None:
    counts = picked(PreferZone("a", RoundRobin()), zoned("aaaabbbb"), exclude=frozenset(out))
    assert share(counts, "a") == pytest.approx(stays, abs=0.03)


def test_without_a_zone_none_is_preferred() -> None:
    counts = picked(PreferZone(then=RoundRobin()), zoned("aabb"))
    assert set(counts.values()) == {1000}


def test_keys_that_spill_over_are_always_the_same() -> None:
    pick = PreferZone("a", Maglev()).build(zoned("abbb")).pick
    keys = [f"key {number}" for number in range(300)]
    first = {key: pick(key) for key in keys}
    assert {key: pick(key) for key in keys} == first
    near = sum(endpoint.instance.zone == "a" for endpoint in first.values() if endpoint)
    assert near / 300 == pytest.approx(0.7, abs=0.1)


# Tiers


def tiered(*tiers: str | None) -> list[Endpoint]:
    """The tier is the zone, too, for `share`."""
    members = endpoints(len(tiers))
    for member, tier in zip(members, tiers, strict=True):
        metadata = {} if tier is None else {"tier": tier}
        member.instance = dataclasses.replace(member.instance, zone=tier or "0", metadata=metadata)
    return members


@pytest.mark.parametrize(
    ("out", "stays"), [("", 1.0), ("0", 1.0), ("01", 0.84), ("012", 0.56), ("01234", 0.0), ("56789", 1.0)]
)
def test_the_next_tier_helps_when_the_first_ails(out: str, stays: float) -> None:
    counts = picked(Tiers(then=RoundRobin()), tiered(*[None] * 5, *["1"] * 5), exclude=frozenset(out))
    assert share(counts, "0") == pytest.approx(stays, abs=0.03)


def test_tiers_are_whole_numbers_in_order() -> None:
    members = tiered("10", "9", "-1", "first", "")
    assert set(picked(Tiers(), members)) == {members[2]}
    assert set(picked(Tiers(), members, exclude=frozenset("2"))) == {members[3], members[4]}
    assert set(picked(Tiers(), members, exclude=frozenset("234"))) == {members[1]}
    assert set(picked(Tiers(), members, exclude=frozenset("1234"))) == {members[0]}


def test_the_key_of_the_tier_can_be_chosen() -> None:
    members = endpoints(2)
    members[0].instance = dataclasses.replace(members[0].instance, metadata={"priority": "1"})
    assert set(picked(Tiers(key="priority"), members)) == {members[1]}


# Subsets


def subset(members: list[Endpoint], size: int, index: int) -> set[str]:
    return {endpoint.instance.id for endpoint in picked(Subset(size, index, RoundRobin()), members, 3 * size)}


@pytest.mark.parametrize(("instances", "size", "clients"), [(20, 5, 4), (20, 5, 7), (100, 10, 30), (37, 6, 100)])
def test_each_instance_is_in_about_equally_many_subsets(instances: int, size: int, clients: int) -> None:
    members = endpoints(instances)
    subsets = [subset(members, size, index) for index in range(clients)]
    assert {len(each) for each in subsets} == {size}
    counts = Counter(name for each in subsets for name in each)
    mean = clients * size / instances
    assert max(counts[str(index)] for index in range(instances)) <= mean + 3
    assert min(counts[str(index)] for index in range(instances)) >= mean - 3


def test_a_subset_changes_little_when_an_instance_comes_or_goes() -> None:
    members = endpoints(50)
    for index in range(20):
        before = subset(members, 10, index)
        for gone in (0, 17, 49):
            after = subset(members[:gone] + members[gone + 1 :], 10, index)
            assert len(before - after) <= 2


def test_a_subset_does_not_depend_on_the_order_and_others_are_called_if_none_of_it_is_left() -> None:
    members = endpoints(30)
    mine = subset(members, 4, 7)
    assert subset(members[::-1], 4, 7) == mine
    assert subset(members, 40, 7) == {str(index) for index in range(30)}
    others = picked(Subset(4, 7, RoundRobin()), members, exclude=frozenset(mine))
    assert {endpoint.instance.id for endpoint in others} == {str(index) for index in range(30)} - mine


# Sticky


def test_sticky_stays_over_changes_of_the_set_until_the_instance_leaves() -> None:
    members = endpoints(6)
    balancer = Sticky(Random())
    pick = balancer.build(members).pick
    stay = pick()
    assert {pick(), pick("a key"), pick()} == {stay}
    for _ in range(5):
        assert balancer.build(members[::-1]).pick() is stay
    assert pick(exclude={stay.instance.id}) is not stay
    assert pick() is stay
    left = [member for member in members if member is not stay]
    pick = balancer.build(left).pick
    assert pick() is pick() is not stay


def test_sticky_leaves_an_instance_whose_weight_becomes_0() -> None:
    members = endpoints(3)
    stay = Sticky().build(members).pick()
    stay.instance = dataclasses.replace(stay.instance, weight=0.0)
    assert Sticky().build(members).pick() is not stay


def test_sticky_stays_with_the_next_one_when_the_weight_of_the_first_comes_back() -> None:
    members = endpoints(3)
    first = Sticky().build(members).pick()
    members.sort(key=lambda member: member is not first)
    first.instance = dataclasses.replace(first.instance, weight=0.0)
    stay = Sticky().build(members).pick()
    first.instance = dataclasses.replace(first.instance, weight=1.0)
    assert Sticky().build(members).pick() is stay is not first


# Turns by weight, and by load


@pytest.mark.parametrize(("size", "most"), [(3, 256), (100, 4096), (1000, 4096), (5000, 65_537)])
def test_turns_of_any_weights_are_off_by_less_than_one(size: int, most: int) -> None:
    """Rounding each by itself would lengthen the round, and so change what all get."""
    shares = [1.0 + (index * GOLDEN % 1.0) for index in range(size)]
    shares = [value * size / sum(shares) for value in shares]
    counts = Counter(in_turns(shares, most))
    assert counts.total() == most
    assert all(abs(counts[index] - value * most / size) < 1.0 for index, value in enumerate(shares))


def test_turns_follow_small_whole_weights_exactly_and_are_spread_out() -> None:
    pick = WeightedRoundRobin().build(endpoints(3, weights={0: 5.0, 1: 1.0, 2: 1.0})).pick
    turns = "".join(endpoint.instance.id for _ in range(700) if (endpoint := pick()))
    for start in range(0, 700, 7):
        assert Counter(turns[start : start + 7]) == {"0": 5, "1": 1, "2": 1}
    assert "0000" not in turns


@pytest.mark.parametrize("weights", [[0.3, 1.7, 2.0], [1.0, 99.5], [2.0, 3.0, 7.0], [1e-9, 1.0]])
def test_turns_follow_any_weights_nearly(weights: list[float]) -> None:
    counts = picked(WeightedRoundRobin(), endpoints(len(weights), weights=dict(enumerate(weights))), 50_000)
    for endpoint, number in counts.items():
        assert number / 50_000 == pytest.approx(endpoint.instance.weight / sum(weights), abs=0.001)
    assert len(counts) == len(weights), "the smallest gets a turn, too"


@pytest.mark.parametrize("scan", [8, 1])
def test_load_in_proportion_to_weight(scan: int) -> None:
    members = endpoints(4, weights={0: 3.0, 1: 1.0, 2: 1.0, 3: 1.0})
    pick = LeastInFlight(scan).build(members).pick
    for _ in range(60):
        endpoint = pick()
        assert endpoint is not None
        endpoint.started()
    assert [member.in_flight for member in members] == pytest.approx([30, 10, 10, 10], abs=4 if scan == 1 else 0)


@pytest.mark.parametrize("scan", [8, 1])
def test_an_idle_service_follows_the_weights(scan: int) -> None:
    """Or else those of small weight would get no call at all from clients that make one at a time."""
    weights = [4.0, 2.0, 1.0, 0.5]
    counts = picked(LeastInFlight(scan), endpoints(4, weights=dict(enumerate(weights))), 20_000)
    for endpoint, number in counts.items():
        assert number / 20_000 == pytest.approx(endpoint.instance.weight / sum(weights), abs=0.01)


def test_the_least_loaded_is_found_among_few() -> None:
    members = endpoints(8)
    for member in members[:5] + members[6:]:
        member.started()
    assert set(picked(LeastInFlight(), members)) == {members[5]}
    assert set(picked(LeastInFlight(scan=1), members)) == set(members)


def test_sticky_and_the_strategy_within_it_both_remember_over_changes() -> None:
    """Each of them keeps its own memory of an endpoint, and either works when it finds the other's."""
    members = endpoints(5)
    balancer = Sticky(RoundRobin())
    stay = balancer.build(members).pick()
    assert stay is not None
    turns = []
    for _ in range(8):
        picker = balancer.build(members)
        assert picker.pick() is stay
        turns.append(picker.pick(exclude={stay.instance.id}))
    assert {turn.instance.id for turn in turns if turn} == {m.instance.id for m in members} - {stay.instance.id}
    rounds = RoundRobin().build(members)
    assert {endpoint.instance.id for _ in members if (endpoint := rounds.pick())} == {m.instance.id for m in members}
