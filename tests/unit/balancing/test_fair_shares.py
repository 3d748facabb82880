"""The shares that single strategies give: round robin, by weight, and from pairs."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import pytest
from traffic import endpoints

from tests.unit.balancing.shares import chi_square, shares
from zkdiscovery.balancing import Balancer, Outcome, P2cEwma, RoundRobin, Weighted, WeightedRoundRobin, p2c
from zkdiscovery.balancing.p2c import pairs


def test_round_robin_goes_on_where_it_was_when_the_set_changes() -> None:
    members = endpoints(6)
    picker = RoundRobin().build(members)
    turns = [picker.pick() for _ in range(6)]
    picker = RoundRobin().build(members)
    assert [picker.pick() for _ in range(2)] == turns[:2]
    picker = RoundRobin().build(list(reversed(members)))  # a new version of an instance may stand elsewhere
    assert [picker.pick() for _ in range(2)] == turns[2:4]
    without = [member for member in members if member is not turns[4]]
    picker = RoundRobin().build(without)
    assert [picker.pick() for _ in range(5)] == [turns[5], *turns[:4]]


def test_round_robin_lets_newcomers_in_at_random_places() -> None:
    places = Counter()
    for _ in range(300):
        *known, newcomer = endpoints(4)
        RoundRobin().build(known)
        picker = RoundRobin().build([*known, newcomer])
        places[[picker.pick() for _ in range(4)].index(newcomer)] += 1
    assert len(places) == 4
    assert min(places.values()) > 30


def test_round_robin_gives_each_its_turn_whatever_the_weights() -> None:
    picker = RoundRobin().build(endpoints(7, weights={0: 100.0, 1: 0.01}))
    turns = [endpoint.instance.id for _ in range(21) if (endpoint := picker.pick())]
    assert sorted(turns[:7]) == [str(index) for index in range(7)]
    assert turns == turns[:7] * 3


def test_round_robin_on_many_threads_skips_nobody() -> None:
    picker = RoundRobin().build(endpoints(5))
    with ThreadPoolExecutor(8) as pool:
        counts = Counter(
            endpoint.instance.id for endpoint in pool.map(lambda _: picker.pick(), range(5000)) if endpoint
        )
    assert set(counts.values()) == {1000}


@pytest.mark.parametrize(
    "weights",
    [[1.0, 2.0, 3.0, 4.0], [1.0, 99.0], [5e-324, 1.0, 1.0], [1e308, 1e308, 5e307], [0.1] * 9 + [20.0]],
    ids=lambda weights: f"{weights[0]}…{weights[-1]}",
)
def test_weighted_shares_follow_the_weights(weights: list[float]) -> None:
    counts = shares(Weighted(), endpoints(len(weights), weights=dict(enumerate(weights))), 50_000)
    largest = max(weights)
    parts = {str(index): weight / largest for index, weight in enumerate(weights)}
    if not parts["0"]:
        assert counts["0"] == 0
    assert chi_square(counts, {name: part for name, part in parts.items() if part > 1e-12}) < 4


def test_weighted_shares_follow_the_weights_of_those_left() -> None:
    members = endpoints(8, weights={0: 1000.0, 1: 1000.0, 2: 1000.0, 3: 1.0, 4: 3.0, 5: 6.0, 6: 1000.0, 7: 0.0})
    counts = shares(Weighted(), members, 20_000, exclude=("0", "1", "2", "6"))
    assert chi_square(counts, {"3": 1.0, "4": 3.0, "5": 6.0}) < 4


@pytest.mark.parametrize("balancer", [Weighted(), WeightedRoundRobin()], ids=repr)
def test_weights_whose_sum_is_no_float_any_more_are_followed_without_the_excluded(balancer: Balancer) -> None:
    members = endpoints(12, weights={index: 1.0 if index < 9 else 1.7e308 for index in range(12)})
    counts = shares(balancer, members, 4_000, exclude=("9",))
    assert chi_square(counts, {"10": 1.0, "11": 1.0}) < 4


def table(weights: list[float]) -> list[tuple[str, str]]:
    left, right = pairs(tuple(endpoints(len(weights), weights=dict(enumerate(weights)))))
    return [(one.instance.id, other.instance.id) for one, other in zip(cycle(left), right, strict=False)]


@pytest.mark.parametrize("size", [1, 2, 3, 10, 64, 1000, 4097, 100_000])
def test_every_endpoint_is_in_as_many_pairs_as_any_other(size: int) -> None:
    pairs = table([1.0] * size)
    for side in zip(*pairs, strict=True):
        counts = Counter(side)
        assert len(counts) == size
        assert set(counts.values()) == {len(pairs) // size}
    assert len(pairs) >= 4 * size
    if size > 1:
        assert not any(one == other for one, other in pairs)


def test_every_endpoint_meets_every_other_about_equally_often() -> None:
    meetings = Counter(frozenset(pair) for pair in table([1.0] * 10))
    assert len(meetings) == 45
    assert max(meetings.values()) <= 1.5 * min(meetings.values())


@pytest.mark.parametrize(
    "weights",
    [
        [1.0, 2.0, 3.0],
        [1.0, 1.0, 2.0],
        [10.0] + [1.0] * 20,
        [1.0 + index % 7 for index in range(5001)],
        [1e308, 1e307, 1e308],
    ],
    ids=lambda weights: f"{len(weights)} of them",
)
def test_an_endpoint_is_in_pairs_in_proportion_to_its_weight_and_never_with_itself(weights: list[float]) -> None:
    pairs = table(weights)
    largest = max(weights)
    total = sum(weight / largest for weight in weights)
    for side in zip(*pairs, strict=True):
        counts = Counter(side)
        for index, weight in enumerate(weights):
            assert counts[str(index)] == pytest.approx(len(pairs) * (weight / largest) / total, abs=1.001)
    assert not any(one == other for one, other in pairs)


def test_a_sum_of_weights_that_is_rounded_down_leaves_the_table_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zkdiscovery.balancing.p2c.random", lambda: 0.0)
    for number in range(2, 100):
        table([1.0 + index / 10 for index in range(number)])


def test_an_endpoint_with_most_of_the_weight_is_also_paired_with_itself() -> None:
    pairs = table([9.0, 1.0])
    assert sum(one == other for one, other in pairs) / len(pairs) == pytest.approx(0.8, abs=0.02)


def test_a_weight_too_small_for_the_table_is_right_on_average() -> None:
    weights = [1.0] * 10 + [1e-4]
    found = sum(any("10" in pair for pair in table(weights)) for _ in range(300))
    places = len(table(weights))
    assert found / 300 == pytest.approx(places * 1e-5, abs=0.03)


def test_the_best_of_all_gets_twice_its_share_and_no_more() -> None:
    members = endpoints(10)
    members[3].cost = -1e9
    for member in members[:3] + members[4:]:
        member.cost = 0.0
    counts = shares(P2cEwma(), members, 6400)
    assert counts["3"] == 1280


def test_of_two_endpoints_the_cheaper_is_always_picked() -> None:
    members = endpoints(2)
    members[0].finished(members[0].started() - 1.0, Outcome.SUCCESS)
    members[1].finished(members[1].started() - 0.5, Outcome.SUCCESS)
    assert shares(P2cEwma(), members, 1000) == {"1": 1000}


@pytest.mark.parametrize("gil", [True, False])
def test_the_table_of_pairs_is_gone_through_again_and_again(gil: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(p2c, "GIL", gil)
    left, right = pairs(tuple(endpoints(5)))
    table = list(zip(left, right, strict=True))
    draw = p2c.endless(left, right)
    for _ in range(3):
        assert [draw() for _ in table] == table


@pytest.mark.parametrize("size", [5, 5_000])
def test_the_table_of_pairs_begins_with_anybody(size: int) -> None:
    members = tuple(endpoints(size))
    firsts = {next(p2c.endless(*pairs(members))()[side].instance.id for side in (0, 1)) for _ in range(60)}
    assert len(firsts) > 3
