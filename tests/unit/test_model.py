"""Instance, Status, FrozenDict, Snapshot and Change."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import pickle
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zkdiscovery.errors import InvalidInstance, InvalidName, ZkDiscoveryError
from zkdiscovery.model import Change, FrozenDict, Instance, Override, Snapshot, Status, trusted_instance
from zkdiscovery.validation import check_name

FULL = Instance(
    "orders",
    "10.0.0.7",
    8080,
    id="one",
    ports={"metrics": 9100},
    tls_port=8443,
    status=Status.STARTING,
    weight=2,
    zone="eu-1a",
    version="1.4.2",
    tags=["blue", "canary"],  # type: ignore[arg-type]
    metadata={"owner": "päyments 😀"},
    registered_at=1_700_000_000.1234,
)
HUGE = 10**5000  # beyond a float, and beyond what Python prints


def make(**fields: Any) -> Instance:
    return Instance(**({"service": "orders", "host": "10.0.0.7", "port": 8080} | fields))


# -- fields --


def test_defaults() -> None:
    instance = make()
    assert instance.id == "10.0.0.7:8080"
    assert (instance.status, instance.weight, instance.tags) == (Status.UP, 1.0, ())
    assert (instance.tls_port, instance.zone, instance.version, instance.registered_at) == (None, None, None, None)
    assert instance.ports == instance.metadata == {}


def test_values_are_brought_into_their_final_form() -> None:
    assert type(FULL.weight) is float
    assert FULL.tags == ("blue", "canary")
    assert FULL.registered_at == 1_700_000_000.123  # to the millisecond
    assert type(FULL.metadata) is FrozenDict
    assert type(FULL.ports) is FrozenDict
    assert make(status="DRAINING").status is Status.DRAINING
    assert type(make(registered_at=1_700_000_000).registered_at) is float
    assert make(ports={}).ports is make().ports
    assert make(metadata={}).metadata is make().metadata


@pytest.mark.parametrize("name", ["orders", "a.b", "...", "ä", "日本", "a b", "x" * 255, "é" * 127])
def test_names(name: str) -> None:
    assert check_name(name, "the name") is name
    assert make(service=name, id=name).service == name


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "zookeeper", "a/b", "/", "a\x00", "a\nb", "a\x7f", "a\x85", "a\ud800", "a\ue000", "a\ufff0"),
        *("a\uffff", "a\U0001f600", "a\U0010ffff", "x" * 256, "é" * 128, None, 7, b"orders", ["orders"]),
    ],
)
def test_names_that_can_not_be_a_znode(name: Any) -> None:
    with pytest.raises(InvalidName, match="the service name"):
        make(service=name)
    if name != "":  # not given: the default id
        with pytest.raises(InvalidName, match="the instance id"):
            make(id=name)


@pytest.mark.parametrize(
    "host", ["10.0.0.7", "orders.example.org", "ORDERS_1", "::1", "fe80::1%eth0", "bücher.example"]
)
def test_hosts(host: str) -> None:
    assert make(host=host).host == host


def bad(name: str, *values: Any) -> list[Any]:
    return [pytest.param(name, value, id=f"{name}-{index}") for index, value in enumerate(values)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *bad(
            "host", "", " ", "a b", "a\n", "http://a", "a:80", "[::1]", "a/b", "a\\b", "u@a", "a?", "a#", "::g", None, 7
        ),
        *bad("port", 0, -1, 65536, HUGE, True, 80.0, "80", None),
        *bad("tls_port", 0, 65536, HUGE, True, 80.0, "80"),
        *bad("status", "up", "", None, 1, "RETIRED"),
        *bad("weight", -1, -0.1, float("nan"), float("inf"), HUGE, -HUGE, True, "1", None, 1j),
        *bad("zone", "", " ", "a\x00", "a\x7f", "\ud800", 7, b"a"),
        *bad("version", "", "\t", "a\n", 7, 1.5),
        *bad("tags", "blue", None, 7, [""], [" "], ["a,b"], ["a\n"], [7], [None]),
        *bad(
            "ports", None, [], "a", {"": 1}, {" ": 1}, {"a,b": 1}, {"a=b": 1}, {"a": 0}, {"a": "1"}, {7: 1}, {"a": HUGE}
        ),
        *bad("metadata", None, [], "a", {"": "x"}, {"a": 1}, {"a": None}, {7: "x"}, {"a": b"x"}, {"a": "\ud800"}),
        *bad("metadata", {"\udfff": "x"}, FrozenDict({"a": 1}), FrozenDict({"": "x"})),
        *bad("ports", FrozenDict({"a": "x"})),
        *bad("registered_at", 0, -1, 0.0004, 1e12, float("nan"), float("inf"), HUGE, True, "now"),
    ],
)
def test_a_field_out_of_range_is_refused_and_named(name: str, value: Any) -> None:
    words = {"tags": "tag", "ports": "port"}
    with pytest.raises(InvalidInstance, match=words.get(name, name)) as caught:
        make(**{name: value})
    assert len(str(caught.value)) < 300
    with pytest.raises(ZkDiscoveryError):
        FULL.with_(**{name: value})


def test_a_message_shows_the_start_of_what_was_given() -> None:
    with pytest.raises(InvalidInstance, match=r"host must.*got 'http://a") as caught:
        make(host="http://a" + "a" * 100_000)
    assert len(str(caught.value)) < 300


# -- identity --


def test_an_instance_does_not_change() -> None:
    for field in dataclasses.fields(Instance):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(FULL, field.name, getattr(FULL, field.name))
        with pytest.raises(dataclasses.FrozenInstanceError):
            delattr(FULL, field.name)
    with pytest.raises((AttributeError, TypeError)):
        FULL.extra = 1  # type: ignore[attr-defined]


def test_what_was_given_can_change_without_effect() -> None:
    ports, tags, metadata = {"metrics": 9100}, ["blue"], {"a": "1"}
    instance = make(ports=ports, tags=tags, metadata=metadata)
    ports["metrics"], metadata["a"] = 1, "2"
    tags.append("green")
    assert (instance.ports, instance.tags, instance.metadata) == ({"metrics": 9100}, ("blue",), {"a": "1"})


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Instance)])
def test_instances_are_equal_if_all_fields_are(field: str) -> None:
    other = {
        "service": "payments",
        "host": "10.0.0.8",
        "port": 81,
        "id": "two",
        "ports": {},
        "tls_port": None,
        "status": Status.DOWN,
        "weight": 3,
        "zone": None,
        "version": None,
        "tags": (),
        "metadata": {},
        "registered_at": 5.0,
        "override": Override(Status.DOWN),
        "machine": "another",
        "runtime": "another",
        "source": "another",
    }
    assert FULL.with_() == FULL
    assert hash(FULL.with_()) == hash(FULL)
    assert FULL.with_() is not FULL
    changed = FULL.with_(**{field: other[field]})
    assert changed != FULL
    assert getattr(changed, field) == other[field]
    assert changed.with_(**{field: getattr(FULL, field)}) == FULL


def test_instances_can_be_members_of_a_set() -> None:
    assert {FULL, FULL.with_(), FULL.with_(weight=5), make()} == {FULL, FULL.with_(weight=5), make()}


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("instance", [FULL, make()], ids=["full", "plain"])
def test_an_instance_can_be_pickled_and_copied(instance: Instance, protocol: int) -> None:
    for twin in (
        pickle.loads(pickle.dumps(instance, protocol)),
        copy.copy(instance),
        copy.deepcopy(instance),
    ):
        assert twin == instance
        assert hash(twin) == hash(instance)
        assert type(twin.metadata) is FrozenDict
        with pytest.raises(dataclasses.FrozenInstanceError):
            twin.port = 1


def test_an_instance_from_trusted_values_is_the_same_as_any() -> None:
    values = [getattr(FULL, field.name) for field in dataclasses.fields(Instance)]
    twin = trusted_instance(*values)
    assert twin == FULL
    assert hash(twin) == hash(FULL)
    assert repr(twin) == repr(FULL)
    assert pickle.loads(pickle.dumps(twin)) == FULL
    assert type(twin) is Instance
    with pytest.raises(dataclasses.FrozenInstanceError):
        twin.port = 1  # type: ignore[misc]
    with pytest.raises(TypeError, match="missing"):
        trusted_instance(*values[:-1])
    with pytest.raises(TypeError, match="positional"):
        trusted_instance(*values, None)


# -- addresses --


@pytest.mark.parametrize(
    ("host", "netloc"),
    [("10.0.0.7", "10.0.0.7:8080"), ("orders.example", "orders.example:8080"), ("fd00::7", "[fd00::7]:8080")],
)
def test_netloc_and_url(host: str, netloc: str) -> None:
    assert make(host=host).netloc == netloc
    assert make(host=host).url == f"http://{netloc}"
    assert make(host=host, tls_port=8443).netloc == netloc
    assert make(host=host, tls_port=8443).url == f"https://{netloc.replace('8080', '8443')}"


# -- FrozenDict --


CHANGES: list[Callable[[Any], Any]] = [
    lambda frozen: frozen.__setitem__("a", 2),
    lambda frozen: frozen.__delitem__("a"),
    lambda frozen: frozen.clear(),
    lambda frozen: frozen.pop("a"),
    lambda frozen: frozen.popitem(),
    lambda frozen: frozen.setdefault("b", 2),
    lambda frozen: frozen.update(b=2),
    lambda frozen: frozen.__ior__({"b": 2}),
]


@pytest.mark.parametrize("change", CHANGES, ids=range(len(CHANGES)))
def test_a_frozen_dict_refuses_every_change(change: Callable[[Any], Any]) -> None:
    frozen = FrozenDict({"a": 1})
    with pytest.raises(TypeError, match="immutable"):
        change(frozen)
    assert frozen == {"a": 1}


def test_no_method_of_dict_changes_a_frozen_dict() -> None:
    changing = {"__setitem__", "__delitem__", "__ior__", "clear", "pop", "popitem", "setdefault", "update"}
    assert vars(FrozenDict).keys() >= changing
    with pytest.raises(AttributeError):
        FrozenDict().extra = 1  # type: ignore[attr-defined]


def test_a_frozen_dict_is_a_dict_with_a_hash() -> None:
    frozen = FrozenDict({"a": 1, "b": 2})
    assert frozen == {"b": 2, "a": 1}
    assert hash(frozen) == hash(FrozenDict({"b": 2, "a": 1}))
    assert frozen | {"c": 3} == {"a": 1, "b": 2, "c": 3}
    for twin in (pickle.loads(pickle.dumps(frozen)), copy.copy(frozen), copy.deepcopy(frozen)):
        assert twin == frozen
        assert type(twin) is FrozenDict
    with pytest.raises(TypeError, match="unhashable"):
        hash(FrozenDict({"a": []}))


# -- Snapshot --


def test_a_snapshot_before_the_first_load_is_stale_and_ageless() -> None:
    snapshot = Snapshot("orders")
    assert snapshot.stale
    assert snapshot.age == 0.0
    assert (list(snapshot), len(snapshot), snapshot.rejected) == ([], 0, {})
    assert repr(snapshot) == "<Snapshot 'orders' version=0 instances=0 not loaded>"


def test_a_snapshot_says_what_it_holds() -> None:
    snapshot = Snapshot("orders", 3, (FULL,), (make(),), {"bad": "why"}, loaded=True)
    assert not snapshot.stale
    assert list(snapshot) == [FULL]
    assert len(snapshot) == 1
    assert repr(snapshot) == "<Snapshot 'orders' version=3 instances=1 suspects=1 rejected=1>"
    lost = dataclasses.replace(snapshot, stale_since=time.monotonic() - 5)
    assert lost.stale
    assert 5 <= lost.age < 60
    assert " stale=5." in repr(lost)
    ahead = dataclasses.replace(snapshot, stale_since=time.monotonic() + 1000)
    assert ahead.age == 0.0


def test_a_snapshot_does_not_change() -> None:
    rejected = {"bad": "why"}
    snapshot = Snapshot("orders", rejected=rejected)
    rejected["bad"] = "changed"
    assert snapshot.rejected == {"bad": "why"}
    with pytest.raises(TypeError):
        snapshot.rejected["bad"] = "changed"  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        snapshot.version = 4  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(snapshot)) == snapshot
    assert hash(Snapshot("orders", rejected={"bad": "why"})) == hash(snapshot)


# -- Change --


def snapshot_of(version: int, state: dict[str, Instance]) -> Snapshot:
    return Snapshot("orders", version, tuple(state.values()), loaded=True)


def change_between(before: Snapshot, after: Snapshot) -> Change:
    old, new = ({instance.id: instance for instance in snapshot} for snapshot in (before, after))
    return Change(
        before, after, {key: (old.get(key), new.get(key)) for key in old | new if old.get(key) != new.get(key)}
    )


def test_a_change_says_what_came_went_and_became_different() -> None:
    one, two, three = (make(id=key) for key in ("1", "2", "3"))
    heavy = two.with_(weight=5)
    change = change_between(snapshot_of(1, {"1": one, "2": two}), snapshot_of(2, {"2": heavy, "3": three}))
    assert (change.added, change.removed, change.updated) == ((three,), (one,), (heavy,))
    assert repr(change) == "<Change 'orders' version 1→2 added=1 removed=1 updated=1>"
    assert pickle.loads(pickle.dumps(change)) == change
    assert hash(change) == hash(pickle.loads(pickle.dumps(change)))


def test_a_change_does_not_change() -> None:
    delta: dict[str, Any] = {"1": (None, make(id="1"))}
    change = Change(Snapshot("orders"), Snapshot("orders", 1), delta)
    delta.clear()
    assert len(change.added) == 1
    merged = change.then(Change(change.after, Snapshot("orders", 2), {}))
    for each in (change, merged, Change(Snapshot("orders"), Snapshot("orders"))):
        with pytest.raises(TypeError):
            each.delta["2"] = (None, None)  # type: ignore[index]
        with pytest.raises(dataclasses.FrozenInstanceError):
            each.delta = {}  # type: ignore[misc]


def test_what_came_and_went_again_is_no_change() -> None:
    one = make(id="1")
    empty, full = snapshot_of(1, {}), snapshot_of(2, {"1": one})
    there, back = change_between(empty, full), change_between(full, dataclasses.replace(empty, version=3))
    merged = there.then(back)
    assert (merged.delta, merged.before.version, merged.after.version) == ({}, 1, 3)
    assert (len(there.delta), len(back.delta)) == (1, 1)  # neither part is touched
    assert change_between(full, empty).then(there).delta == {}


_weights = st.integers(1, 3)
_states = st.dictionaries(st.sampled_from("abcd"), _weights).map(
    lambda state: {key: make(id=key, weight=weight) for key, weight in state.items()}
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(_states, min_size=2, max_size=6))
def test_merged_changes_are_the_change_from_first_to_last(states: list[dict[str, Instance]]) -> None:
    snapshots = [snapshot_of(version, state) for version, state in enumerate(states)]
    changes = [change_between(before, after) for before, after in itertools.pairwise(snapshots)]
    merged = changes[0]
    for later in changes[1:]:
        merged = merged.then(later)
    assert merged == change_between(snapshots[0], snapshots[-1])
    # The grouping makes no difference.
    grouped = changes[-1]
    for earlier in reversed(changes[:-1]):
        grouped = earlier.then(grouped)
    assert grouped == merged
