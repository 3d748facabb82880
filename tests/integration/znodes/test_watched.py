"""WatchedChildren on a real server: in step with ZooKeeper after everything that can happen to it."""

from __future__ import annotations

import threading
import time
from typing import Any

from tests.integration.znodes.helpers import NO_READING, OPEN, SetAcl
from tests.integration.znodes.watched_set import Held, Set, fill
from tests.support import LIMIT, Truth
from zkdiscovery.errors import AccessDenied
from zkdiscovery.session import Create, EventKind, Multi, SetData, State
from zkdiscovery.session.bulk import BATCH, WINDOW
from zkdiscovery.session.requests import MultiRead
from zkdiscovery.settings import AclEntry, Auth
from zkdiscovery.testing import FaultProxy
from zkdiscovery.znodes import Delta, Marks

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


def test_after_closing_nothing_is_told(watched: Set, truth: Truth, path: str) -> None:
    fill(truth, path, a="1")
    watched.wait({"a": "1"})
    told = len(watched.deltas.items)
    with Held(watched):
        truth.set(f"{path}/a", b"2")
        watched.children.close()
    watched.settle()
    assert len(watched.deltas.items) == told
