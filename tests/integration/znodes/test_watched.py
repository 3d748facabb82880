"""WatchedChildren on a real server: in step with ZooKeeper after everything that can happen to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from tests.integration.znodes.helpers import NO_READING, OPEN, SetAcl
from tests.support import LIMIT, Recorder, Truth
from zkdiscovery.errors import AccessDenied, UndecodableNode
from zkdiscovery.session import (
    Create,
    Delete,
    EventKind,
    GetData,
    Multi,
    Session,
    SetData,
    Stat,
    State,
    StateChange,
    Sync,
)
from zkdiscovery.session.bulk import BATCH, WINDOW
from zkdiscovery.session.requests import MultiRead
from zkdiscovery.settings import AclEntry, Auth, load_settings
from zkdiscovery.testing import FaultProxy
from zkdiscovery.threads import Worker
from zkdiscovery.znodes import Delta, Loader, Marks, WatchedChildren


class Set:
    """A watched set whose values are the nodes' texts, and what was told of it."""

    def __init__(self, hosts: str, path: str, **settings: Any) -> None:
        self.path = path
        self.values: dict[str, str] = {}
        self.deltas: Recorder[Delta[str]] = Recorder()
        self.decode_hook: Callable[[str], None] = lambda name: None
        self.worker = Worker("test-worker")
        self.session = Session(load_settings(hosts=hosts, **{"session_timeout": 4.0, **settings}))
        self.changes: Recorder[StateChange] = Recorder()
        self.session.listen(self.changes)
        self.session.start()
        self.session.wait_connected(LIMIT)
        self.children = WatchedChildren(Loader(self.session, self.worker), path, self._decode, self._on_change)

    def _decode(self, name: str, data: bytes, stat: Stat) -> str:
        self.decode_hook(name)
        if data == b"defect":
            raise KeyError("the codec has a defect")
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise UndecodableNode(f"{name} is no text") from error

    def _on_change(self, delta: Delta[str]) -> None:
        for name in delta.removed:
            del self.values[name]
        self.values.update(delta.changed)
        self.deltas(delta)

    @property
    def last(self) -> Delta[str]:
        return self.deltas.items[-1]

    def wait(self, values: dict[str, str]) -> None:
        self.deltas.wait(lambda _: self.values == values)

    def wait_loads(self, count: int) -> None:
        self.deltas.wait(lambda deltas: sum(delta.reloaded for delta in deltas) >= count)

    def wait_connections(self, count: int) -> None:
        self.changes.wait(
            lambda seen: bool(seen) and seen[-1].generation >= count and seen[-1].state is State.CONNECTED
        )

    def settle(self) -> None:
        """All that was committed before has been heard and read."""
        deadline = time.monotonic() + LIMIT
        for request in (Sync("/"), GetData("/")):
            self.session.call(request, deadline=deadline)
        done = threading.Event()
        # Behind the flush that the events have scheduled, and its pause after a storm.
        self.worker.schedule(done, done.set, 0.25)
        assert done.wait(LIMIT)

    def close(self) -> None:
        self.children.close()
        assert self.session.close(LIMIT)
        assert self.worker.close(LIMIT)


class Held:
    """Keeps the worker busy inside a `with` block, so that nothing is read."""

    def __init__(self, watched: Set) -> None:
        self._watched = watched
        self._entered, self._leave = threading.Event(), threading.Event()
        self.events: Recorder[tuple[EventKind, str]] = Recorder()

    def __enter__(self) -> Recorder[tuple[EventKind, str]]:
        """What the set has heard: its own listener is called before this one."""
        session = self._watched.session
        watch = session.watches.add(self._watched.path, lambda kind, path: self.events((kind, path)))
        watch.arm(generation=session.generation, deadline=time.monotonic() + LIMIT).result(LIMIT)
        self._watched.worker.schedule(self, self._hold)
        assert self._entered.wait(LIMIT)
        return self.events

    def __exit__(self, *exc: object) -> None:
        self._leave.set()

    def _hold(self) -> None:
        self._entered.set()
        assert self._leave.wait(LIMIT)


@pytest.fixture
def path(namespace: str) -> str:
    return f"{namespace}/set"


@pytest.fixture
def watched(zkdiscovery_proxy: FaultProxy, path: str) -> Iterator[Set]:
    """A set behind the proxy."""
    watched = Set(zkdiscovery_proxy.address, path)
    yield watched
    watched.close()


def fill(truth: Truth, path: str, **nodes: str) -> None:
    for name, text in nodes.items():
        truth.create(f"{path}/{name}", text.encode())


# -- what is there --


def test_the_first_load_is_one_change(zkdiscovery_proxy: FaultProxy, truth: Truth, path: str) -> None:
    fill(truth, path, a="1", b="2")
    watched = Set(zkdiscovery_proxy.address, path)
    watched.wait_loads(1)
    (delta,) = watched.deltas.items
    assert delta == Delta(changed={"a": "1", "b": "2"}, reloaded=True)
    watched.close()


def test_added_changed_and_removed(watched: Set, truth: Truth, path: str) -> None:
    watched.wait_loads(1)
    assert watched.values == {}
    fill(truth, path, a="1", b="2")
    watched.wait({"a": "1", "b": "2"})
    truth.set(f"{path}/a", b"3")
    watched.wait({"a": "3", "b": "2"})
    truth.delete(f"{path}/a")
    watched.wait({"b": "2"})
    assert not watched.last.reloaded
    marks = watched.last.removed["a"]
    assert marks is not None
    assert marks.deleted_at > marks.changed_at == 0.0


def test_a_parent_that_is_missing_deleted_and_made_again(watched: Set, truth: Truth, path: str, namespace: str) -> None:
    watched.wait_loads(1)
    for round_ in "12":
        fill(truth, path, a=round_)
        watched.wait({"a": round_})
        for gone in (f"{path}/a", path, namespace):
            truth.delete(gone)
        watched.wait({})
    assert sum(delta.reloaded for delta in watched.deltas.items) == 1, "the watch outlives its path"


def test_grandchildren_and_namesakes_are_none_of_ours(watched: Set, truth: Truth, path: str) -> None:
    watched.wait_loads(1)
    truth.create(f"{path}/a/deeper", b"x")
    truth.create(f"{path}2/b", b"x")
    truth.set(f"{path}/a/deeper", b"y")
    watched.settle()
    assert watched.values == {"a": ""}


# -- what can't be used --


def test_a_corrupt_sibling_harms_nobody_and_comes_back(watched: Set, truth: Truth, path: str) -> None:
    fill(truth, path, good="1", bad="1")
    watched.wait({"good": "1", "bad": "1"})
    truth.set(f"{path}/bad", b"\xff")
    watched.wait({"good": "1"})
    assert watched.last.rejected == {"bad": "bad is no text"}
    truth.set(f"{path}/good", b"2")
    watched.wait({"good": "2"})
    assert watched.last.rejected == {"bad": "bad is no text"}
    truth.set(f"{path}/bad", b"2")
    watched.wait({"good": "2", "bad": "2"})
    assert watched.last.rejected == {}


def test_a_corrupt_node_from_the_start_that_goes(zkdiscovery_proxy: FaultProxy, truth: Truth, path: str) -> None:
    truth.create(f"{path}/bad", b"\xff")
    watched = Set(zkdiscovery_proxy.address, path)
    watched.wait_loads(1)
    assert watched.last == Delta(rejected={"bad": "bad is no text"}, reloaded=True)
    truth.delete(f"{path}/bad")
    watched.deltas.wait(lambda deltas: deltas[-1].rejected == {})
    watched.close()


def test_a_corrupt_node_that_goes_during_a_cut(
    watched: Set, zkdiscovery_proxy: FaultProxy, truth: Truth, path: str
) -> None:
    truth.create(f"{path}/bad", b"\xff")
    watched.deltas.wait(lambda deltas: bool(deltas) and "bad" in deltas[-1].rejected)
    zkdiscovery_proxy.refuse()
    truth.delete(f"{path}/bad")
    zkdiscovery_proxy.heal()
    watched.deltas.wait(lambda deltas: deltas[-1].rejected == {})


def test_a_defect_of_the_codec_is_the_trouble_of_one_node(watched: Set, truth: Truth, path: str) -> None:
    fill(truth, path, good="1", bad="defect")
    watched.wait({"good": "1"})
    watched.deltas.wait(lambda deltas: "the codec has a defect" in deltas[-1].rejected.get("bad", ""))
    fill(truth, path, more="2")
    watched.wait({"good": "1", "more": "2"})


def test_a_node_that_we_may_not_read(watched: Set, zkdiscovery_proxy: FaultProxy, truth: Truth, path: str) -> None:
    """A server tells no events of it, so only a load notices."""
    fill(truth, path, good="1", secret="1")
    watched.wait({"good": "1", "secret": "1"})
    truth.call(SetAcl(f"{path}/secret", NO_READING))
    zkdiscovery_proxy.drop()
    watched.wait({"good": "1"})
    assert watched.last.rejected["secret"].startswith(f"read {path}/secret: the ACL forbids it")
    truth.call(SetAcl(f"{path}/secret", OPEN))
    truth.set(f"{path}/secret", b"3")
    watched.wait({"good": "1", "secret": "3"})


def test_a_parent_that_we_may_not_read(watched: Set, truth: Truth, zkdiscovery_proxy: FaultProxy, path: str) -> None:
    """Nobody tells when the right is given, so it is asked for again, more and more rarely."""
    fill(truth, path, a="1")
    watched.wait({"a": "1"})
    assert watched.children.error is None
    truth.call(SetAcl(path, NO_READING))
    zkdiscovery_proxy.drop()
    failed = threading.Event()
    original = watched.children._failed

    def note(*args: Any) -> None:
        original(*args)
        failed.set()

    watched.children._failed = note  # type: ignore[method-assign]
    assert failed.wait(LIMIT)
    error = watched.children.error
    assert isinstance(error, AccessDenied)
    assert error.path == path
    assert watched.values == {"a": "1"}, "what was known serves on"
    truth.call(SetAcl(path, OPEN))
    watched.wait_loads(2)
    assert watched.children.error is None


def test_without_rights_from_the_start(zkdiscovery_proxy: FaultProxy, truth: Truth, path: str) -> None:
    fill(truth, path, a="1")
    truth.call(SetAcl(path, NO_READING))
    watched = Set(zkdiscovery_proxy.address, path)
    truth.call(SetAcl(path, OPEN))
    watched.wait({"a": "1"})
    watched.close()


def test_credentials_of_our_own(zkdiscovery_proxy: FaultProxy, truth: Truth, path: str) -> None:
    auth = Auth.model_validate({"username": "alice", "password": "secret"})
    fill(truth, path, a="1")
    watched = Set(
        zkdiscovery_proxy.address, path, auth=auth, acl=(AclEntry(permissions="cdrwa", scheme="auth", id=""),)
    )
    create = Create(f"{path}/mine", b"2", watched.session.leaf_acl)
    watched.session.call(create, deadline=time.monotonic() + LIMIT)
    watched.wait({"a": "1", "mine": "2"})
    watched.close()


# -- cuts --


def test_what_changed_during_a_cut(watched: Set, zkdiscovery_proxy: FaultProxy, truth: Truth, path: str) -> None:
    fill(truth, path, same="1", changed="1", removed="1")
    watched.wait({"same": "1", "changed": "1", "removed": "1"})
    zkdiscovery_proxy.refuse()
    truth.set(f"{path}/changed", b"2")
    truth.delete(f"{path}/removed")
    fill(truth, path, added="2")
    zkdiscovery_proxy.heal()
    watched.wait_loads(2)
    assert watched.last == Delta(changed={"changed": "2", "added": "2"}, removed={"removed": None}, reloaded=True)


def test_recreated_during_a_cut_with_the_same_version(
    watched: Set, zkdiscovery_proxy: FaultProxy, truth: Truth, path: str
) -> None:
    fill(truth, path, a="1")
    watched.wait({"a": "1"})
    before = truth.get(f"{path}/a")
    zkdiscovery_proxy.refuse()
    truth.delete(f"{path}/a")
    fill(truth, path, a="2")
    after = truth.get(f"{path}/a")
    assert before is not None
    assert after is not None
    assert before.stat.version == after.stat.version == 0
    zkdiscovery_proxy.heal()
    watched.wait({"a": "2"})


def test_many_cuts(watched: Set, zkdiscovery_proxy: FaultProxy, truth: Truth, path: str) -> None:
    for number in range(5):
        fill(truth, path, **{f"node-{number}": str(number)})
        zkdiscovery_proxy.drop()
    expected = {f"node-{number}": str(number) for number in range(5)}
    watched.wait(expected)
    watched.settle()
    assert watched.values == expected


def test_a_deletion_heard_before_a_cut_removes_nothing_that_came_after_it(
    watched: Set, zkdiscovery_proxy: FaultProxy, truth: Truth, path: str
) -> None:
    """The worker was busy all the while: the mark of the old connection meets the reading of the new one."""
    fill(truth, path, a="1")
    watched.wait({"a": "1"})
    with Held(watched) as events:
        truth.delete(f"{path}/a")
        events.wait(lambda seen: (EventKind.DELETED, f"{path}/a") in seen)
        zkdiscovery_proxy.refuse()
        fill(truth, path, a="2")
        zkdiscovery_proxy.heal()
        watched.wait_connections(2)
    watched.wait_loads(2)
    watched.settle()
    assert watched.values == {"a": "2"}


def test_a_deregistration_heard_before_a_cut_is_not_forgotten(
    watched: Set, zkdiscovery_proxy: FaultProxy, truth: Truth, path: str
) -> None:
    fill(truth, path, a="1")
    watched.wait({"a": "1"})
    with Held(watched) as events:
        truth.set(f"{path}/a", b"leaving")
        truth.delete(f"{path}/a")
        events.wait(lambda seen: (EventKind.DELETED, f"{path}/a") in seen)
        zkdiscovery_proxy.drop()
        watched.wait_connections(2)
    watched.wait_loads(2)
    marks = watched.last.removed["a"]
    assert marks is not None
    assert 0.0 < marks.changed_at <= marks.deleted_at


def test_a_deregistration_is_seen_when_the_end_comes_while_it_is_read(watched: Set, truth: Truth, path: str) -> None:
    """The event of the change has set off a read, which finds nothing any more."""
    fill(truth, path, a="1")
    watched.wait({"a": "1"})
    original = watched.session.submit

    def submit(request: Any, **options: Any) -> Any:
        if isinstance(request, MultiRead):
            truth.delete(f"{path}/a")
        return original(request, **options)

    watched.session.submit = submit  # type: ignore[method-assign]
    truth.set(f"{path}/a", b"leaving")
    watched.wait({})
    marks = watched.last.removed["a"]
    assert marks is not None
    assert 0.0 < marks.changed_at <= marks.deleted_at


def test_a_deregistration_belongs_to_its_node(watched: Set, truth: Truth, path: str) -> None:
    """Not to one of the same name that came and went after it."""
    fill(truth, path, a="1")
    watched.wait({"a": "1"})
    with Held(watched) as events:
        truth.set(f"{path}/a", b"leaving")
        truth.delete(f"{path}/a")
        fill(truth, path, a="2")
        truth.delete(f"{path}/a")
        events.wait(lambda seen: seen.count((EventKind.DELETED, f"{path}/a")) == 2)
    watched.wait({})
    marks = watched.last.removed["a"]
    assert marks is not None
    assert marks.changed_at == 0.0


def test_marks_in_sequence() -> None:
    leaving = Marks(changed_at=1.0).then(Marks(deleted_at=2.0, there=False))
    assert leaving == Marks(1.0, 2.0, there=False)
    assert leaving.then(Marks(changed_at=3.0)) == Marks(3.0, 2.0, there=True)


def test_a_reading_that_breaks_off_halfway_changes_nothing(
    watched: Set, zkdiscovery_proxy: FaultProxy, truth: Truth, path: str
) -> None:
    """Some nodes were read before the connection broke; what they had become must not be lost."""
    names = [f"n{number:04}" for number in range(BATCH * (WINDOW + 1))]
    paths = [f"{path}/{name}" for name in names]
    truth.create(path)
    many = [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]
    for some in many:
        truth.call(Multi([Create(each, b"1", truth.session.leaf_acl) for each in some]))
    watched.wait(dict.fromkeys(names, "1"))
    zkdiscovery_proxy.refuse()
    for some in many:
        truth.call(Multi([SetData(each, b"2") for each in some]))
    broken: list[str] = []

    def break_once(name: str) -> None:
        if not broken:
            broken.append(name)
            zkdiscovery_proxy.drop()
            watched.changes.wait(lambda seen: seen[-1].state is State.SUSPENDED)

    watched.decode_hook = break_once
    zkdiscovery_proxy.heal()
    watched.wait(dict.fromkeys(names, "2"))
    assert len(broken) == 1
    assert watched.session.generation == 3
    assert [len(delta.changed) for delta in watched.deltas.items if delta.reloaded][1:] == [len(names)]


# -- how much is read --


def count_reads(watched: Set) -> list[MultiRead]:
    """The bulk reads that the session is asked for from now on."""
    reads: list[MultiRead] = []
    original = watched.session.submit

    def submit(request: Any, **options: Any) -> Any:
        if isinstance(request, MultiRead):
            reads.append(request)
        return original(request, **options)

    watched.session.submit = submit  # type: ignore[method-assign]
    return reads


def test_a_change_costs_one_read_and_a_removal_none(watched: Set, truth: Truth, path: str) -> None:
    fill(truth, path, a="1", b="1", c="1")
    watched.wait({"a": "1", "b": "1", "c": "1"})
    watched.settle()
    reads = count_reads(watched)
    truth.set(f"{path}/a", b"2")
    watched.wait({"a": "2", "b": "1", "c": "1"})
    truth.delete(f"{path}/b")
    watched.wait({"a": "2", "c": "1"})
    fill(truth, path, d="1")
    watched.wait({"a": "2", "c": "1", "d": "1"})
    assert [list(read.paths) for read in reads] == [[f"{path}/a"], [f"{path}/d"]]


@pytest.fixture
def patient(zkdiscovery_proxy: FaultProxy, path: str, truth: Truth) -> Iterator[Set]:
    """A set that is loaded, in a session that stands silence."""
    truth.create(path)
    watched = Set(zkdiscovery_proxy.address, path, session_timeout=10.0)
    watched.wait_loads(1)
    watched.settle()
    yield watched
    watched.close()


def storm(proxy: FaultProxy, truth: Truth, requests: Iterable[Any]) -> None:
    """Let the events of all these writes arrive at one moment, however long the server takes."""
    proxy.half_open("client_to_server")
    deadline = time.monotonic() + LIMIT
    for future in [truth.session.submit(request, deadline=deadline) for request in requests]:
        future.result(LIMIT)
    proxy.heal()


def test_a_storm_is_a_handful_of_reads(patient: Set, zkdiscovery_proxy: FaultProxy, truth: Truth, path: str) -> None:
    reads, told = count_reads(patient), len(patient.deltas.items)
    names = [f"n{number}" for number in range(1000)]
    storm(zkdiscovery_proxy, truth, [Create(f"{path}/{name}", b"1", truth.session.leaf_acl) for name in names])
    patient.wait(dict.fromkeys(names, "1"))
    assert sum(len(read.paths) for read in reads) == 1000, "each node is read once"
    assert len(reads) <= 20
    assert len(patient.deltas.items) - told <= 20


def test_a_storm_of_removals_is_a_handful_of_changes(
    patient: Set, zkdiscovery_proxy: FaultProxy, truth: Truth, path: str
) -> None:
    """Nothing has to be read, so that each would be told before the next one comes."""
    names = [f"n{number}" for number in range(500)]
    for _ in range(4):
        truth.call(Multi([Create(f"{path}/{name}", b"1", truth.session.leaf_acl) for name in names]))
        patient.wait(dict.fromkeys(names, "1"))
        patient.settle()
        told = len(patient.deltas.items)
        storm(zkdiscovery_proxy, truth, [Delete(f"{path}/{name}") for name in names])
        patient.wait({})
        assert len(patient.deltas.items) - told <= 20


def test_lone_changes_are_not_held_back(watched: Set, truth: Truth, path: str) -> None:
    """Not even when one follows the other closely, as long as each is read before the next."""
    fill(truth, path, a="0")
    watched.wait({"a": "0"})
    watched.settle()
    reads = count_reads(watched)
    for number in range(1, 51):
        truth.set(f"{path}/a", str(number).encode())
        watched.wait({"a": str(number)})
        assert watched.children.pacing.pause == 0.0
    assert len(reads) == 50


def test_after_closing_nothing_is_told(watched: Set, truth: Truth, path: str) -> None:
    fill(truth, path, a="1")
    watched.wait({"a": "1"})
    told = len(watched.deltas.items)
    with Held(watched):
        truth.set(f"{path}/a", b"2")
        watched.children.close()
    watched.settle()
    assert len(watched.deltas.items) == told
