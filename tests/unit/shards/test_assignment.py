"""The assignment of shards: complete, even, and as few moves as there can be."""

from __future__ import annotations

import math
import random
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from zkdiscovery.shards.assignment import assign

Shards = dict[str, tuple[int, ...]]

COUNTS = st.integers(1, 130)
NAMES = st.lists(st.text("abcdefgh", min_size=1, max_size=4), min_size=1, max_size=12, unique=True)
WEIGHTS = st.sampled_from([0.1, 0.5, 1.0, 1.5, 2.0, 3.0, 7.0, 40.0])


def owners(shards: Shards) -> dict[int, str]:
    return {shard: member for member, held in shards.items() for shard in held}


def moved(before: Shards, after: Shards) -> set[int]:
    """The shards that another member has than before."""
    then, now = owners(before), owners(after)
    return {shard for shard in now if then.get(shard) != now[shard]}


@st.composite
def histories(draw: st.DrawFn, *, weighted: bool = True) -> tuple[int, list[tuple[dict[str, float], Shards]]]:
    """The members and the shards after each of many changes, of which each is one that joins or leaves."""
    count = draw(COUNTS)
    weights: dict[str, float] = {}
    shards: Shards = {}
    history = []
    for name in draw(st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=40)):
        if name in weights:
            del weights[name]
        else:
            weights[name] = draw(WEIGHTS) if weighted else 1.0
        shards = assign(count, shards, weights)
        history.append((dict(weights), shards))
    return count, history


@given(histories())
def test_every_shard_has_one_member_if_there_is_one(given: tuple[int, list[tuple[dict[str, float], Shards]]]) -> None:
    count, history = given
    for weights, shards in history:
        assert shards.keys() == weights.keys()
        held = sorted(shard for each in shards.values() for shard in each)
        assert held == (list(range(count)) if weights else [])
        assert all(list(each) == sorted(each) for each in shards.values())


@given(histories())
def test_one_that_leaves_moves_its_own_shards_only(given: tuple[int, list[tuple[dict[str, float], Shards]]]) -> None:
    for (weights, shards), (later, after) in pairwise(given[1]):
        for gone in weights.keys() - later.keys():
            assert moved(shards, after) == (set(shards[gone]) if later else set())


@given(histories())
def test_one_that_joins_takes_its_quota_at_most_and_nothing_else_moves(
    given: tuple[int, list[tuple[dict[str, float], Shards]]],
) -> None:
    count, history = given
    for (weights, shards), (later, after) in pairwise(history):
        for new in later.keys() - weights.keys():
            assert moved(shards, after) == set(after[new])
            if weights:
                assert len(after[new]) <= math.ceil(count * later[new] / sum(later.values()))


@given(histories(weighted=False))
def test_equal_members_have_equal_loads(given: tuple[int, list[tuple[dict[str, float], Shards]]]) -> None:
    count, history = given
    for weights, shards in history:
        sizes = [len(held) for held in shards.values()]
        assert not sizes or max(sizes) - min(sizes) <= 1
        assert not sizes or max(sizes) == math.ceil(count / len(weights))


@given(COUNTS, st.dictionaries(st.text("abcdefgh", min_size=1, max_size=4), WEIGHTS, min_size=1, max_size=10))
def test_a_first_assignment_follows_the_weights(count: int, weights: dict[str, float]) -> None:
    """No other assignment has a smaller largest load."""
    shards = assign(count, {}, weights)
    largest = max(len(held) / weights[member] for member, held in shards.items())
    assert all((len(held) + 1) / weights[member] >= largest for member, held in shards.items())


@given(COUNTS, NAMES, st.data())
def test_many_changes_at_once(count: int, names: list[str], data: st.DataObject) -> None:
    before = assign(count, {}, dict.fromkeys(names, 1.0))
    stay = data.draw(st.lists(st.sampled_from(names), unique=True))
    new = [f"new-{number}" for number in range(data.draw(st.integers(0, 6)))]
    later = dict.fromkeys([*stay, *new], 1.0)
    after = assign(count, before, later)
    vacant = {shard for shard, member in owners(before).items() if member not in later}
    if later:
        sizes = [len(held) for held in after.values()]
        assert max(sizes) - min(sizes) <= 1
        taken = moved(before, after) - vacant
        assert all(owners(after)[shard] in new for shard in taken)
        assert len(taken) <= len(new) * math.ceil(count / len(later))


@given(COUNTS, NAMES, st.randoms(use_true_random=False))
def test_the_order_of_the_members_makes_no_difference(count: int, names: list[str], order: random.Random) -> None:
    weights = {name: float(1 + len(name)) for name in names}
    before = assign(count, {}, dict.fromkeys(names[: len(names) // 2], 1.0))
    shuffled = names[:]
    order.shuffle(shuffled)
    again = assign(count, dict(reversed(before.items())), {name: weights[name] for name in shuffled})
    assert again == assign(count, before, weights)
    assert assign(count, again, weights) == again, "nothing moves while nothing changes"


@given(COUNTS, st.dictionaries(st.sampled_from("abcd"), st.lists(st.integers(-5, 200))))
def test_a_table_that_makes_no_sense_is_set_right(count: int, before: dict[str, list[int]]) -> None:
    after = assign(count, before, {"a": 1.0, "e": 1.0})
    assert sorted(shard for held in after.values() for shard in held) == list(range(count))


def test_forty_random_changes() -> None:
    """64 shards, as the members of a service come and go: the largest load is 1.12 times the mean."""
    chance = random.Random(7)
    ratios = []
    weights: dict[str, float] = {"first": 1.0}
    shards = assign(64, {}, weights)
    for number in range(40):
        if len(weights) > 1 and chance.random() < 0.45:
            del weights[chance.choice(sorted(weights))]
        else:
            weights[f"member-{number}"] = 1.0
        shards = assign(64, shards, weights)
        ratios.append(max(map(len, shards.values())) * len(weights) / 64)
    assert sum(ratios) / len(ratios) <= 1.12
