"""Owned nodes themselves: what registrations do not show."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import MakeClient
from tests.integration.registration.helpers import ALL, READ, SetAcl, events, on_submit
from tests.support import LIMIT, Recorder, Truth, core_of, counting, wait_epoch
from zkdiscovery import (
    AccessDenied,
    Client,
    NodeMissing,
    OperationTimeout,
    RegistrationConflict,
    ZkDiscoveryError,
)
from zkdiscovery.session import Create, Delete, Multi, Write
from zkdiscovery.session.requests import MultiRead
from zkdiscovery.znodes import OwnedNode, OwnedNodes, OwnedState
from zkdiscovery.znodes.transactions import transact

DELETE = 8  # of ZooKeeper's permissions


@pytest.fixture(autouse=True)
def no_task_fails(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What a thread of the SDK did not expect is logged and forgotten; not here."""
    yield
    assert [record for record in caplog.get_records("call") if "a task of" in record.getMessage()] == []


@pytest.fixture
def client(make_client: MakeClient) -> Client:
    return make_client().wait_connected(LIMIT)


@pytest.fixture
def nodes(client: Client) -> OwnedNodes:
    return core_of(client).nodes


@pytest.fixture
def parent(namespace: str, truth: Truth) -> Iterator[str]:
    path = f"{namespace}/nodes"
    truth.create(path)
    return path


def wait_state(node: OwnedNode, state: OwnedState) -> None:
    assert node.wait(lambda node: node.state is state, LIMIT), f"waited in vain: {node!r}"


def wait_settled(nodes: OwnedNodes, node: OwnedNode) -> None:
    """Until it stands as wanted, and was looked at: the worker looks before its next task."""
    assert node.wait(lambda node: node.settled, LIMIT), f"waited in vain: {node!r} {node.error}"
    looked = threading.Event()
    nodes.later(looked.set, 0.0)
    assert looked.wait(LIMIT)
    if not node.settled:  # somebody else wrote it meanwhile
        wait_settled(nodes, node)


def ignore(_: object) -> None: ...


def test_a_node_stands_while_it_is_wanted(nodes: OwnedNodes, truth: Truth, parent: str) -> None:
    states: Recorder[OwnedState] = Recorder()
    node = nodes.own(f"{parent}/a", b"1", on_state=lambda node: states(node.state))
    wait_settled(nodes, node)
    found = truth.get(node.path)
    assert found is not None
    assert (found.data, found.stat.czxid) == (b"1", node.czxid)
    node.write(b"2")
    wait_settled(nodes, node)
    assert truth.get(node.path).data == b"2"
    node.release()
    wait_settled(nodes, node)
    assert truth.get(node.path) is None
    assert states.wait(lambda items: len(items) == 2) == [OwnedState.HELD, OwnedState.RELEASED]
    assert node.czxid == 0


def test_requests_of_one_life(client: Client, nodes: OwnedNodes, parent: str) -> None:
    with counting(client) as requests:
        node = nodes.own(f"{parent}/a", b"1", on_state=ignore)
        wait_settled(nodes, node)
        assert requests == {"Multi": 1, "SetWatches": 1, "MultiRead": 1}
        node.write(b"2")
        wait_settled(nodes, node)
        assert requests == {"Multi": 2, "SetWatches": 1, "MultiRead": 2}
        node.release()
        wait_settled(nodes, node)
        assert requests == {"Multi": 3, "SetWatches": 1, "MultiRead": 2, "RemoveWatches": 1}


def test_nothing_is_wanted_after_a_release(nodes: OwnedNodes, truth: Truth, parent: str) -> None:
    node = nodes.own(f"{parent}/a", b"1", on_state=ignore)
    node.release()
    node.write(b"2")
    node.reclaim()
    node.release(b"3")
    wait_state(node, OwnedState.RELEASED)
    node.reclaim()
    other = nodes.own(f"{parent}/b", b"1", on_state=ignore)
    wait_settled(nodes, other)
    assert truth.children(parent) == ["b"]
    assert node.state is OwnedState.RELEASED


def test_the_path_of_a_released_node_is_free_for_the_next_one(nodes: OwnedNodes, truth: Truth, parent: str) -> None:
    path = f"{parent}/a"
    wait_settled(nodes, first := nodes.own(path, b"0", on_state=ignore))
    for number in range(1, 30):  # deletion and creation meet in one run of the worker
        first.release()
        second = nodes.own(path, str(number).encode(), on_state=ignore)
        wait_settled(nodes, second)
        wait_state(first, OwnedState.RELEASED)
        first = second
    wait_settled(nodes, first)
    assert truth.get(path).data == b"29"


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_what_is_known_by_its_creation_is_not_restored(nodes: OwnedNodes, truth: Truth, parent: str, how: str) -> None:
    node = nodes.own(f"{parent}/a", b"1", on_state=ignore, restore=False)
    wait_settled(nodes, node)
    truth.delete(node.path)
    if how == "replaced":
        truth.create(node.path, b"foreign", ephemeral=True)
    wait_state(node, OwnedState.RELEASED)
    assert isinstance(node.error, NodeMissing)
    assert "was deleted from outside" in str(node.error)
    assert truth.children(parent) == (["a"] if how == "replaced" else [])


def test_what_is_known_by_its_creation_ends_with_its_session(
    client: Client, nodes: OwnedNodes, truth: Truth, parent: str, zkdiscovery_expire: Callable[[Client], None]
) -> None:
    node = nodes.own(f"{parent}/a", b"1", on_state=ignore, restore=False)
    wait_settled(nodes, node)
    zkdiscovery_expire(client)
    wait_epoch(client, 2)
    wait_state(node, OwnedState.RELEASED)
    assert "was lost with its session" in str(node.error)
    assert truth.children(parent) == []


def test_what_is_known_by_its_creation_shares_no_transaction(nodes: OwnedNodes, parent: str) -> None:
    many = [nodes.prepare(f"{parent}/{number}", b"", on_state=ignore, restore=False) for number in range(20)]
    nodes.keep(many)
    for node in many:
        wait_settled(nodes, node)
    assert len({node.czxid for node in many}) == 20
    together = [nodes.prepare(f"{parent}/t{number}", b"", on_state=ignore) for number in range(20)]
    nodes.keep(together)
    for node in together:
        wait_settled(nodes, node)
    assert len({node.czxid for node in together}) == 1


def test_foreign_writes_are_adopted_or_overwritten(nodes: OwnedNodes, truth: Truth, parent: str) -> None:
    def adopt(data: bytes) -> None:
        if data == b"unbearable":
            raise ValueError("on purpose")
        if data.startswith(b"good"):
            node.write(data + b", adopted")

    node = nodes.own(f"{parent}/a", b"1", on_state=ignore, on_foreign_write=adopt)
    wait_settled(nodes, node)
    for written, stands in (
        (b"bad", b"1"), (b"unbearable", b"1"), (b"good", b"good, adopted"), (b"bad", b"good, adopted"),
    ):  # fmt: skip
        truth.set(node.path, written)
        truth.wait(node.path, lambda found, stands=stands: found.data == stands)
        wait_settled(nodes, node)


def test_one_that_others_write_all_the_time_hinders_nobody(nodes: OwnedNodes, truth: Truth, parent: str) -> None:
    fighting = threading.Event()
    fighting.set()

    def fight(data: bytes) -> None:
        if fighting.is_set():
            truth.set(node.path, data + b"!")

    node = nodes.own(f"{parent}/a", b"ours", on_state=ignore, on_foreign_write=fight)
    wait_settled(nodes, node)
    truth.set(node.path, b"theirs")
    assert node.wait(lambda node: node.error is not None, LIMIT)
    assert isinstance(node.error, OperationTimeout)
    assert "others write it at the same time" in str(node.error)
    assert node.state is OwnedState.HELD
    other = nodes.own(f"{parent}/b", b"", on_state=ignore)
    wait_settled(nodes, other)
    fighting.clear()
    wait_settled(nodes, node)
    assert node.wait(lambda node: node.error is None, LIMIT)
    assert truth.get(node.path).data == b"ours"


def test_changes_that_come_faster_than_they_can_be_written_are_no_failure(
    client: Client, nodes: OwnedNodes, truth: Truth, parent: str
) -> None:
    errors: list[object] = []
    node = nodes.own(f"{parent}/a", b"0", on_state=lambda node: errors.append(node.error))
    wait_settled(nodes, node)
    errors.clear()
    changes = iter(range(1, 20))

    def change_again(request: object) -> None:
        if isinstance(request, MultiRead) and (number := next(changes, None)) is not None:
            node.write(str(number).encode())

    with on_submit(client, change_again):
        node.write(b"start")
        assert node.wait(lambda node: node.settled and node.desired.data == b"19", LIMIT)
    assert errors == []
    assert truth.get(node.path).data == b"19"


def test_a_refusal_is_told_once_however_often_it_is_tried(
    client: Client, nodes: OwnedNodes, truth: Truth, parent: str
) -> None:
    truth.call(SetAcl(parent, READ | 16))
    tries: Recorder[object] = Recorder()
    told: Recorder[object] = Recorder()
    with on_submit(client, lambda request: tries(request) if isinstance(request, Multi) else None):
        node = nodes.own(f"{parent}/a", b"1", on_state=lambda node: told((node.state, type(node.error))))
        tries.wait(lambda items: len(items) == 4)
    assert told.items == [(OwnedState.PENDING, AccessDenied)]
    truth.call(SetAcl(parent, ALL))
    wait_settled(nodes, node)
    assert told.wait(lambda items: len(items) == 2)[1] == (OwnedState.HELD, type(None))


def test_a_leftover_that_may_not_be_read_is_reported(nodes: OwnedNodes, truth: Truth, parent: str) -> None:
    path = f"{parent}/a"
    truth.create(path, b"secret")
    truth.call(SetAcl(path, DELETE | 16))
    node = nodes.own(path, b"1", on_state=ignore)
    other = nodes.own(f"{parent}/b", b"1", on_state=ignore)
    assert node.wait(lambda node: node.error is not None, LIMIT)
    assert isinstance(node.error, AccessDenied)
    assert node.state is OwnedState.PENDING
    wait_settled(nodes, other)
    truth.call(SetAcl(path, ALL))
    wait_settled(nodes, node)
    assert truth.get(path).data == b"1"


def test_our_node_that_may_not_be_deleted_is_reported(nodes: OwnedNodes, truth: Truth, parent: str) -> None:
    node = nodes.own(f"{parent}/a", b"1", on_state=ignore)
    wait_settled(nodes, node)
    truth.call(SetAcl(parent, READ | 16))
    node.release(b"bye")
    assert node.wait(lambda node: node.error is not None, LIMIT)
    assert isinstance(node.error, AccessDenied)
    truth.call(SetAcl(parent, ALL))
    wait_state(node, OwnedState.RELEASED)
    assert node.error is None
    assert truth.children(parent) == []


def test_final_data_and_deletion_are_seen_in_order(nodes: OwnedNodes, truth: Truth, parent: str) -> None:
    path = f"{parent}/a"
    with events(truth, path) as seen:
        for final_data in (b"bye", b"1", None):
            node = nodes.own(path, b"1", on_state=ignore)
            wait_settled(nodes, node)
            node.release(final_data)
            wait_state(node, OwnedState.RELEASED)
        assert truth.get(path) is None
    assert seen.items == ["CREATED", "CHANGED", "DELETED", "CREATED", "DELETED", "CREATED", "DELETED"]


def test_a_persistent_node_in_the_place_of_ours_is_a_conflict(
    client: Client, nodes: OwnedNodes, truth: Truth, parent: str
) -> None:
    node = nodes.own(f"{parent}/a", b"1", on_state=ignore)
    wait_settled(nodes, node)
    replacement = [Delete(node.path), Create(node.path, b"foreign", core_of(client).session.leaf_acl)]
    truth.call(Multi(replacement))
    wait_state(node, OwnedState.CONFLICT)
    assert isinstance(node.error, RegistrationConflict)
    assert "a persistent node" in str(node.error)
    assert truth.get(node.path).data == b"foreign"


def test_transactions_are_split_by_size_and_taken_apart(client: Client, truth: Truth, parent: str) -> None:
    session = core_of(client).session

    def create(name: str, size: int) -> list[Write]:
        return [Create(f"{parent}/{name}", b"x" * size, session.leaf_acl)]

    def failures(plan: dict[str, list[Write]], *, singly: bool) -> dict[str, ZkDiscoveryError]:
        outcomes = dict(transact(session, plan, singly=singly, generation=session.generation))
        assert outcomes.keys() == plan.keys()
        return {key: outcome for key, outcome in outcomes.items() if isinstance(outcome, ZkDiscoveryError)}

    with counting(client) as requests:
        plan = {str(number): create(str(number), 60_000) for number in range(40)}
        assert failures(plan, singly=False) == {}
    assert 4 <= requests["Multi"] <= 6  # 2.4 MB, of which 512 KiB fit into one
    assert len(truth.children(parent)) == 40

    # A surprise fails all that share the transaction, a refusal only the one at fault.
    plan = {name: create(name, 1) for name in ("new", "0")}
    failed = failures(plan, singly=False)
    assert sorted(failed) == ["0", "new"]
    failed = failures(plan, singly=True)
    assert list(failed) == ["0"]
    truth.create(f"{parent}/locked")
    truth.call(SetAcl(f"{parent}/locked", READ))
    plan = {name: create(name, 1) for name in ("new2", "locked/a", "new3")}
    failed = failures(plan, singly=False)
    assert {key: type(error) for key, error in failed.items()} == {"locked/a": AccessDenied}
    assert {"new", "new2", "new3"} <= set(truth.children(parent))
