"""Operators who delete what we need: nodes, parents, the whole namespace, again and again."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest

from tests.conftest import MakeClient
from tests.faults.registrations.helpers import assert_ends, assert_stands, entries, in_background, once_before, wait_all
from tests.integration.registration.helpers import on_submit, path_of, seen_to
from tests.support import LIMIT, Truth, node_of, wait_registration
from zkdiscovery import Client, RegistrationState, ZkDiscoveryError
from zkdiscovery.session import Create, Delete, Multi
from zkdiscovery.session.requests import SetWatches
from zkdiscovery.testing import ZookeeperServer
from zkdiscovery.testing.wire import RawSession

BACK = 5.0  # seconds: within this after the last deletion, all stand again


def delete_tree(hosts: str, path: str, times: int) -> None:
    """Delete it and all below it, so often, while others make it again."""
    with RawSession(hosts) as operator:
        for _ in range(times):
            with contextlib.suppress(ZkDiscoveryError):  # not empty: somebody was faster
                operator.remove_tree(path)


@pytest.mark.parametrize("level", ["service", "services", "namespace"])
def test_parents_deleted_in_a_race_with_re_creation(
    make_client: MakeClient, truth: Truth, zkdiscovery_server: ZookeeperServer, namespace: str, level: str
) -> None:
    """peers.md defect 2. Curator: create/delete races. Afterwards each stands once, and nothing is left undone."""
    clients = [make_client(), make_client()]
    ours = {client: client.register_many(entries(20, f"service-{n}")) for n, client in enumerate(clients)}
    for many in ours.values():
        wait_all(many)
    path = {"service": "/services/service-0", "services": "/services", "namespace": ""}[level]
    operators = [in_background(lambda: delete_tree(zkdiscovery_server.hosts, namespace + path, 15)) for _ in range(2)]
    newcomers = clients[0].register_many(entries(5, "service-0-new"))
    assert_ends(*operators)
    end = time.monotonic() + BACK
    for client, many in (*ours.items(), (clients[0], newcomers)):
        for registration in many:
            assert node_of(registration).wait(lambda node: node.settled, end - time.monotonic()), repr(registration)
        seen_to(client, *many)
        for registration in many:
            assert_stands(truth, client, registration)
    assert [len(truth.children(f"{namespace}/services/service-{n}")) for n in ("0", "1", "0-new")] == [20, 20, 5]


def test_a_node_deleted_in_a_loop(make_client: MakeClient, truth: Truth) -> None:
    """Curator: TestPersistentNode, deleted. Each deletion costs one creation, and no error is told."""
    client = make_client()
    registration = client.register("payments", 8080, id="a").wait_registered(LIMIT)
    errors: list[object] = []
    registration.on_change(lambda changed: errors.append(changed.error))
    writes: list[object] = []
    with on_submit(client, lambda request: writes.append(request) if isinstance(request, Multi) else None):
        czxids = set()
        for _ in range(50):
            node = truth.wait(path_of(registration), lambda node: node is not None and node.stat.czxid not in czxids)
            assert node is not None
            czxids.add(node.stat.czxid)
            truth.delete(path_of(registration))
        truth.wait(path_of(registration), lambda node: node is not None)
        registration.wait_registered(LIMIT)
        seen_to(client, registration)
    assert len(czxids) == 50
    assert len(writes) == 50
    assert set(errors) <= {None}
    assert_stands(truth, client, registration)


def test_deleted_between_its_creation_and_the_look_at_it(make_client: MakeClient, truth: Truth, namespace: str) -> None:
    """No event tells of it, for the watch is set with the look."""
    client = make_client()
    seen_to(client, client.register("payments", 8080, id="other").wait_registered(LIMIT))
    with once_before(client, SetWatches, lambda: truth.delete(f"{namespace}/services/payments/a")):
        registration = client.register("payments", 8081, id="a")
    seen_to(client, registration)
    assert_stands(truth, client, registration)


def test_overridden_between_its_creation_and_the_look_at_it(make_client: MakeClient, truth: Truth) -> None:
    client, operator = make_client(), make_client()
    seen_to(client, client.register("payments", 8080, id="other").wait_registered(LIMIT))
    with once_before(client, SetWatches, lambda: operator.override("payments", "a", weight=3.0)):
        registration = client.register("payments", 8081, id="a")
    seen_to(client, registration)
    assert registration.instance.weight == 3.0
    assert_stands(truth, client, registration)


def test_the_parent_deleted_just_before_the_creation(make_client: MakeClient, truth: Truth, namespace: str) -> None:
    """ZooKeeper reaps an empty container between our look and our write."""
    client = make_client().wait_connected(LIMIT)
    services = f"{namespace}/services"
    truth.create(f"{services}/payments")
    with once_before(client, Multi, lambda: truth.delete(f"{services}/payments")):
        registration = client.register("payments", 8080, id="a").wait_registered(LIMIT)
    assert_stands(truth, client, registration)


def test_an_operator_who_deletes_each_parent_that_is_made(
    make_client: MakeClient, truth: Truth, namespace: str
) -> None:
    """It is given up for a moment with a reason, hinders nobody, and comes when the operator stops."""
    client = make_client()
    other = client.register("refunds", 8080, id="other").wait_registered(LIMIT)
    stop = threading.Event()

    def delete_parent(request: object) -> None:
        if isinstance(request, Multi) and request.operations[0].path.endswith("/payments/a") and not stop.is_set():
            with contextlib.suppress(ZkDiscoveryError):
                truth.delete(f"{namespace}/services/payments")

    with on_submit(client, delete_parent):
        registration = client.register("payments", 8080, id="a")
        assert node_of(registration).wait(lambda node: node.error is not None, LIMIT)
        assert "others write it at the same time" in str(registration.error)
        other.update(version="2")
        other.wait_registered(LIMIT)
        stop.set()
        wait_registration(registration, RegistrationState.REGISTERED)
    assert_stands(truth, client, registration)


def test_a_node_deleted_while_it_drains_comes_back_to_finish_draining(make_client: MakeClient, truth: Truth) -> None:
    """And one that is deleted when it is to leave anyway is gone, without a time limit to wait for."""
    client: Client = make_client()
    registration = client.register("payments", 8080, id="a").wait_registered(LIMIT)
    draining = in_background(lambda: registration.drain(delay=3600.0))
    assert node_of(registration).wait(lambda node: registration._owned.leaving and node.settled, LIMIT)
    before = truth.get(path_of(registration))
    assert before is not None
    truth.delete(path_of(registration))
    truth.wait(path_of(registration), lambda node: node is not None and node.data == before.data)
    with once_before(client, Multi, lambda: truth.delete(path_of(registration))):
        registration.drain(delay=0.0)
    assert_ends(draining)
    assert registration.state is RegistrationState.CLOSED
    assert truth.get(path_of(registration)) is None


def test_parents_are_made_once_for_many(make_client: MakeClient, truth: Truth, namespace: str) -> None:
    """A namespace that is gone costs as many requests as it has levels, whatever the number of registrations."""
    client = make_client()
    many = client.register_many(entries(100))
    wait_all(many)
    before = [truth.get(path_of(registration)).stat.czxid for registration in many]
    parents = [f"{namespace}/services/payments", f"{namespace}/services", namespace]
    with once_before(client, Create, lambda: None) as requests:
        truth.call(Multi([Delete(path) for path in [*map(path_of, many), *parents]]))
        for registration, czxid in zip(many, before, strict=True):
            truth.wait(path_of(registration), lambda node, czxid=czxid: node is not None and node.stat.czxid != czxid)
        wait_all(many)
        seen_to(client, *many)
    assert requests["Create"] <= 2 * len(parents)
    for registration in many[::10]:
        assert_stands(truth, client, registration)
