"""Strategies that go by key: the same key to the same instance, everywhere, and few move when the set changes."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import Counter
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from traffic import endpoints

from zkdiscovery.balancing import Balancer, Endpoint, Maglev, Rendezvous, RingHash

BY_KEY = {"maglev": Maglev(), "ring_hash": RingHash(), "rendezvous": Rendezvous()}
by_key = pytest.mark.parametrize("balancer", BY_KEY.values(), ids=BY_KEY)
bounded = pytest.mark.parametrize("balancer", [Maglev(bound=1.25), RingHash(bound=1.25)], ids=["maglev", "ring_hash"])
KEYS = [f"user-{number}" for number in range(2000)]


def owners(balancer: Balancer, members: list[Endpoint], keys: list[str] = KEYS) -> dict[str, str]:
    pick = balancer.build(members).pick
    return {key: endpoint.instance.id for key in keys if (endpoint := pick(key))}


IN_ANOTHER_PROCESS = """
import json, sys
from zkdiscovery.balancing import Endpoint, resolve_balancer
from zkdiscovery.model import Instance
members = [Endpoint(Instance("payments", "10.0.0.1", 8000, id=str(i), weight=1.0 + i % 3)) for i in reversed(range(20))]
pick = resolve_balancer(sys.argv[1]).build(members).pick
print(json.dumps({key: pick(key).instance.id for key in json.load(sys.stdin)}))
"""


@pytest.mark.parametrize("name", BY_KEY)
def test_processes_with_the_same_instances_agree_whatever_their_order(name: str) -> None:
    members = endpoints(20, weights={index: 1.0 + index % 3 for index in range(20)})
    keys = [*KEYS[:200], "", "ß", "日本"]
    there = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS, name],
        input=json.dumps(keys), capture_output=True, text=True, timeout=50, check=True,
    )  # fmt: skip
    assert json.loads(there.stdout) == owners(BY_KEY[name], members, keys)


def test_owners_do_not_change_with_the_version() -> None:
    """Clients of different versions must agree, too: a change of these is a breaking change."""
    members = endpoints(5)
    keys = ["alice", "bob", "carol", "dave", "eve"]
    assert {name: "".join(owners(balancer, members, keys).values()) for name, balancer in BY_KEY.items()} == EXPECTED


EXPECTED = {"maglev": "23022", "ring_hash": "43313", "rendezvous": "00223"}


@by_key
@pytest.mark.parametrize("weights", [{}, {index: 1.0 + index % 4 for index in range(100)}], ids=["equal", "unequal"])
def test_few_keys_of_the_others_move_when_one_of_100_leaves(balancer: Balancer, weights: dict[int, float]) -> None:
    keys = [f"key {number}" for number in range(200 if isinstance(balancer, Rendezvous) else 10_000)]
    members = endpoints(100, weights=weights)
    before = owners(balancer, members, keys)
    for gone in (0, 50):
        after = owners(balancer, members[:gone] + members[gone + 1 :], keys)
        staying = [key for key in keys if before[key] != str(gone)]
        moved = sum(before[key] != after[key] for key in staying) / len(staying)
        assert moved <= (0.02 if isinstance(balancer, Maglev) else 0.001)


@by_key
def test_the_keys_of_one_that_is_excluded_go_to_many_others_and_come_back(balancer: Balancer) -> None:
    pick = balancer.build(endpoints(10)).pick
    before = {key: pick(key) for key in KEYS}
    mine = [key for key in KEYS if before[key].instance.id == "3"]
    meanwhile = {key: pick(key, {"3"}) for key in KEYS}
    assert all(meanwhile[key] is before[key] for key in KEYS if key not in mine)
    assert len({meanwhile[key].instance.id for key in mine}) >= 7
    assert {key: pick(key) for key in KEYS} == before


@by_key
def test_keys_are_shared_out_by_weight(balancer: Balancer) -> None:
    weights = {index: 1.0 + index % 3 for index in range(12)}
    counts = Counter(owners(balancer, endpoints(12, weights=weights)).values())
    tolerance = 0.35 if isinstance(balancer, RingHash) else 0.25  # of the ring itself, and of 2,000 keys
    for index, weight in weights.items():
        assert counts[str(index)] == pytest.approx(len(KEYS) * weight / 24.0, rel=tolerance)


@by_key
def test_without_a_key_picks_are_random_by_weight(balancer: Balancer) -> None:
    weights = {0: 1.0, 1: 2.0, 2: 5.0}
    pick = balancer.build(endpoints(3, weights=weights)).pick
    counts = Counter(endpoint.instance.id for _ in range(8000) if (endpoint := pick()))
    tolerance = 0.3 if isinstance(balancer, RingHash) else 0.1
    for index, weight in weights.items():
        assert counts[str(index)] == pytest.approx(weight * 1000, rel=tolerance)


def test_entries_of_maglev_follow_the_weights_within_one() -> None:
    members = endpoints(20, weights={index: 0.5 + index for index in range(20)})
    counts = Counter(owners(Maglev(), members, [f"k{number}" for number in range(100_000)]).values())
    for member in members:
        part = member.instance.weight / 200.0
        deviation = math.sqrt(100_000 * part)
        assert counts[member.instance.id] == pytest.approx(100_000 * part, abs=5 * deviation + 2)


def test_points_of_a_ring_of_unequal_weights_stay_when_one_weight_changes() -> None:
    weights = {index: 1.0 + index % 4 for index in range(100)}
    before = owners(RingHash(), endpoints(100, weights=weights))
    after = owners(RingHash(), endpoints(100, weights=weights | {7: 5.0}))
    assert all(after[key] in {before[key], "7"} for key in KEYS)
    assert before != after


@by_key
@pytest.mark.parametrize("weights", [[5e-324], [5e-324] * 3, [1.79e308] * 3, [5e-324, 1.79e308]])
def test_weights_at_the_limits_of_a_float(balancer: Balancer, weights: list[float]) -> None:
    members = endpoints(len(weights), weights=dict(enumerate(weights)))
    found = set(owners(balancer, members).values())
    assert found == {str(index) for index, weight in enumerate(weights) if weight == max(weights)} or len(found) == 2


def test_a_large_ring_has_fewer_points_an_endpoint() -> None:
    pick = RingHash(points=65_536).build(endpoints(300)).pick
    assert len({endpoint.instance.id for key in KEYS * 2 if (endpoint := pick(key))}) > 290


# The load bound


@bounded
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_nobody_gets_more_than_the_bound_allows(balancer: Balancer, data: st.DataObject) -> None:
    number = data.draw(st.integers(2, 12))
    weights = data.draw(st.lists(st.sampled_from([1.0, 2.0, 3.0]), min_size=number, max_size=number))
    members = endpoints(number, weights=dict(enumerate(weights)))
    pick = balancer.build(members).pick
    for turn in range(60):
        endpoint = pick("the hot key" if turn % 4 else f"key {turn}")
        assert endpoint is not None
        endpoint.started()
        share = endpoint.instance.weight / sum(weights)
        assert endpoint.in_flight <= math.ceil(1.25 * share * (turn + 1))


@bounded
def test_below_the_bound_a_key_stays_where_it_belongs(balancer: Balancer) -> None:
    members = endpoints(10)
    pick = balancer.build(members).pick
    at_ease = {key: pick(key) for key in KEYS}
    for member in members:
        for _ in range(5):
            member.started()
    pick = balancer.build(members).pick
    assert all(pick(key) is owner for key, owner in at_ease.items())


@bounded
def test_among_many_the_mean_is_counted_now_and_then_and_about_right(balancer: Balancer) -> None:
    members = endpoints(200)
    pick = balancer.build(members).pick
    for _ in range(1000):
        endpoint = pick("the hot key")
        assert endpoint is not None
        endpoint.started()
    loads = [member.in_flight for member in members]
    assert fmean(loads) == 5.0
    assert max(loads) <= math.ceil(1.25 * 5.0 + 0.1)


@pytest.mark.parametrize("balancer", [*BY_KEY.values(), RingHash(bound=1.25), Maglev(bound=1.25)], ids=repr)
def test_a_key_may_be_any_text(balancer: Balancer) -> None:
    """A file name that is no UTF-8 has lone surrogates (`os.fsdecode`)."""
    pick = balancer.build(endpoints(20)).pick
    keys = [f"{number}\udcff" for number in range(100)]
    found = [pick(key) for key in keys]
    assert len(set(found)) > 10
    assert [pick(key, {"none of them"}) for key in keys] == found


@pytest.mark.parametrize("balancer", [Maglev(), RingHash(), Rendezvous()], ids=repr)
def test_a_key_must_be_a_text(balancer: Balancer) -> None:
    with pytest.raises(TypeError, match="a key must be a text, because it is hashed: got 5"):
        balancer.build(endpoints(3)).pick(5)  # type: ignore[arg-type]
