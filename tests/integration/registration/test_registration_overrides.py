"""What operators put above the owners' wishes, and what else others write into our nodes."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.conftest import MakeClient
from tests.integration.registration.helpers import events, path_of, seen_to, stored, wait_stored
from tests.support import LIMIT, Truth, counting, node_of, wait_epoch, wait_registration, wait_view
from zkdiscovery import (
    Client,
    InvalidInstance,
    InvalidName,
    NodeMissing,
    NodeNotEmpty,
    NotConnected,
    Override,
    Registration,
    RegistrationState,
    Status,
    UndecodableNode,
)
from zkdiscovery.testing.ports import free_port


@pytest.fixture
def operator(make_client: MakeClient) -> Client:
    return make_client()


@pytest.fixture
def owner(make_client: MakeClient) -> Client:
    return make_client()


@pytest.fixture
def registration(owner: Client) -> Registration:
    return owner.register("payments", 8080, id="a", weight=2.0, metadata={"k": "v"}).wait_registered(LIMIT)


def wait_adopted(registration: Registration, status: Status) -> None:
    """Wait until the owner knows."""
    assert node_of(registration).wait(lambda _: registration.instance.status is status, LIMIT)


def test_an_override_is_in_force_and_adopted(
    operator: Client, make_client: MakeClient, truth: Truth, registration: Registration
) -> None:
    view = make_client().discover("payments").wait_ready(LIMIT)
    before = registration.instance
    with counting(operator.wait_connected(LIMIT)) as requests:
        answer = operator.override("payments", "a", status=Status.OUT_OF_SERVICE, weight=0.5)
    assert requests == {"Sync": 1, "GetData": 1, "SetData": 1}
    override = Override(Status.OUT_OF_SERVICE, 0.5, base_status=Status.UP, base_weight=2.0)
    assert answer == before.with_(status=Status.OUT_OF_SERVICE, weight=0.5, override=override)
    assert answer.own == before
    wait_view(view, lambda _: not view.available)
    wait_adopted(registration, Status.OUT_OF_SERVICE)
    registration.wait_registered(LIMIT)
    assert stored(truth, registration) == registration.instance == answer


def test_an_override_is_kept_over_expiries_and_updates(
    operator: Client,
    owner: Client,
    truth: Truth,
    registration: Registration,
    zkdiscovery_expire: Callable[[Client], None],
) -> None:
    operator.override("payments", "a", status=Status.OUT_OF_SERVICE)
    wait_adopted(registration, Status.OUT_OF_SERVICE)
    registration.update(weight=4.0, version="2")
    registration.set_status(Status.DOWN)
    for epoch in (2, 3):
        zkdiscovery_expire(owner)
        wait_epoch(owner, epoch)
        seen_to(owner, registration)
        registration.wait_registered(LIMIT)
        instance = stored(truth, registration)
        assert (instance.status, instance.weight, instance.version) == (Status.OUT_OF_SERVICE, 4.0, "2")
    # Once it is cleared, what the owner has wanted meanwhile is in force.
    assert operator.clear_override("payments", "a").status is Status.DOWN
    wait_adopted(registration, Status.DOWN)
    zkdiscovery_expire(owner)
    wait_epoch(owner, 4)
    seen_to(owner, registration)
    assert stored(truth, registration).status is Status.DOWN


def test_an_override_is_told_of(
    operator: Client,
    make_client: MakeClient,
    registration: Registration,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In the log of the owner once, in what it says of itself, and by views."""

    def told() -> list[str]:
        return [f"{r.levelname} {r.getMessage()}" for r in caplog.records if "an operator has" in r.getMessage()]

    view = make_client().discover("payments").wait_ready(LIMIT)
    operator.override("payments", "a", status="OUT_OF_SERVICE")
    wait_adopted(registration, Status.OUT_OF_SERVICE)
    registration.wait_registered(LIMIT)
    expected = ["WARNING an operator has set 'a' of 'payments' to OUT_OF_SERVICE instead of UP"]
    assert told() == expected
    assert registration.instance.override == Override(Status.OUT_OF_SERVICE, base_weight=2.0)
    wait_view(view, lambda _: not view.available)
    (standing,) = view.explain()
    assert standing.instance.override == registration.instance.override
    assert standing.why == "OUT_OF_SERVICE; an operator set OUT_OF_SERVICE instead of UP"
    # What the owner wants meanwhile is shown, and is no news of the operator's.
    registration.set_status("DOWN")
    registration.update(weight=3.0)
    wait_view(view, lambda _: view.explain()[0].instance.own.status is Status.DOWN)
    assert str(registration.instance.override) == "OUT_OF_SERVICE instead of DOWN"
    registration.set_status("UP")
    operator.override("payments", "a", weight=0)
    assert node_of(registration).wait(lambda _: registration.instance.weight == 0, LIMIT)
    expected.append("WARNING an operator has set 'a' of 'payments' to weight 0 instead of 3")
    wait_view(view, lambda _: view.explain()[0].picked)
    assert view.explain()[0].why == "an operator set weight 0 instead of 3"
    operator.clear_override("payments", "a")
    assert node_of(registration).wait(lambda _: registration.instance.override is None, LIMIT)
    expected.append("INFO an operator has cleared the override of 'a' of 'payments': UP, weight 3 again")
    wait_view(view, lambda _: view.explain()[0].why == "")
    registration.wait_registered(LIMIT)
    assert told() == expected


def test_an_override_of_foreign_text_leaves_it_alone(
    operator: Client, make_client: MakeClient, truth: Truth, namespace: str
) -> None:
    """An instance of Spring's, which has names of ours in its own metadata, before, during and after an override."""
    spring = "org.springframework.cloud.zookeeper.discovery.ZookeeperInstance"
    metadata = {"instance_status": "UP", "status": "green", "version": "1\n2", "tags": "a,\x1bb", "weight": "heavy"}
    stored = {
        "name": "payments", "id": "a", "address": "10.0.0.7", "port": 8080, "sslPort": None,
        "payload": {"@class": spring, "id": "payments-1", "name": "payments", "metadata": metadata},
        "registrationTimeUTC": 1_700_000_000_000, "serviceType": "DYNAMIC", "uriSpec": None,
    }  # fmt: skip
    path = f"{namespace}/services/payments/a"
    truth.create(path, json.dumps(stored).encode())
    view = make_client().discover("payments").wait_ready(LIMIT)
    assert (view.pick().status, view.pick().metadata["status"]) == (Status.UP, "green")
    operator.override("payments", "a", status="OUT_OF_SERVICE", weight=5.0)
    wait_view(view, lambda _: not view.available)
    aside = json.loads(truth.get(path).data)["payload"]["metadata"]
    assert aside == metadata | {"instance_status": "OUT_OF_SERVICE", "zkdiscovery.weight": "5"}
    operator.clear_override("payments", "a")
    wait_view(view, lambda _: len(view.available) == 1)
    assert json.loads(truth.get(path).data) == stored | {"enabled": True}


def test_an_override_that_is_cleared_stays_cleared(operator: Client, owner: Client, truth: Truth) -> None:
    """What stands then is byte for byte what the owner once wrote, and all the same it is the operator's word."""
    registration = owner.register("payments", 8080, id="a").wait_registered(LIMIT)
    before = truth.get(path_of(registration)).data
    for _ in range(3):
        operator.override("payments", "a", weight=3.0)
        assert node_of(registration).wait(lambda _: registration.instance.weight == 3.0, LIMIT)
        registration.wait_registered(LIMIT)
        assert operator.clear_override("payments", "a").weight == 1.0
        assert node_of(registration).wait(lambda _: registration.instance.weight == 1.0, LIMIT)
        registration.wait_registered(LIMIT)
        seen_to(owner, registration)
        assert truth.get(path_of(registration)).data == before


def test_an_override_follows_another(operator: Client, truth: Truth, registration: Registration) -> None:
    operator.override("payments", "a", status=Status.DOWN)
    operator.override("payments", "a", weight=7.0)
    wait_adopted(registration, Status.UP)
    registration.wait_registered(LIMIT)
    assert wait_stored(truth, path_of(registration), lambda instance: instance.weight == 7.0).status is Status.UP
    operator.clear_override("payments", "a")
    instance = wait_stored(truth, path_of(registration), lambda instance: instance.weight == 2.0)
    assert instance.status is Status.UP


def test_an_override_and_an_update_at_once_lose_nothing(
    operator: Client, truth: Truth, registration: Registration
) -> None:
    for number in range(20):
        registration.update(version=str(number))
        operator.override("payments", "a", weight=float(number))
        registration.update(zone=str(number))
        wait_stored(
            truth,
            path_of(registration),
            lambda instance, number=number: (
                (instance.version, instance.zone, instance.weight) == (str(number), str(number), float(number))
            ),
        )


def test_an_override_of_a_leftover_needs_no_owner(
    operator: Client, owner: Client, truth: Truth, registration: Registration
) -> None:
    data = truth.get(path_of(registration)).data
    path = path_of(registration)[:-1] + "persistent"
    truth.create(path, data)
    operator.override("payments", "persistent", status=Status.DOWN)
    assert wait_stored(truth, path, lambda instance: instance.status is Status.DOWN).weight == 2.0
    operator.clear_override("payments", "persistent")
    wait_stored(truth, path, lambda instance: instance.status is Status.UP)


@pytest.mark.parametrize("data", [b"", b"\xff garbage", b"{}", b'{"override": {"status": "DOWN"}}'], ids=str)
def test_garbage_in_our_node_is_replaced_by_ours(truth: Truth, registration: Registration, data: bytes) -> None:
    ours = truth.get(path_of(registration)).data
    truth.set(path_of(registration), data)
    restored = truth.wait(path_of(registration), lambda node: node is not None and node.data == ours)
    assert restored is not None
    assert restored.stat.version == 2
    assert registration.state is RegistrationState.REGISTERED


def test_what_others_write_beside_an_override_is_taken_back(truth: Truth, registration: Registration) -> None:
    path = path_of(registration)
    ours = truth.get(path).data
    truth.set(path, ours.replace(b'"port":8080', b'"port":6666'))
    truth.wait(path, lambda node: node is not None and node.data == ours)


def test_a_node_deleted_from_outside_is_restored(truth: Truth, registration: Registration) -> None:
    path = path_of(registration)
    before = truth.get(path)
    with events(truth, path) as seen:
        for _ in range(3):
            czxid = truth.get(path).stat.czxid
            truth.delete(path)
            restored = truth.wait(path, lambda node, czxid=czxid: node is not None and node.stat.czxid != czxid)
            assert restored.data == before.data
            assert restored.stat.ephemeral_owner == before.stat.ephemeral_owner
    assert seen.items == ["DELETED", "CREATED"] * 3


def test_a_removed_live_instance_comes_back(operator: Client, truth: Truth, registration: Registration) -> None:
    czxid = truth.get(path_of(registration)).stat.czxid
    assert operator.remove("payments", "a")
    truth.wait(path_of(registration), lambda node: node is not None and node.stat.czxid != czxid)
    wait_registration(registration, RegistrationState.REGISTERED)


def test_leftovers_are_removed_for_good(operator: Client, truth: Truth, namespace: str) -> None:
    truth.create(f"{namespace}/services/payments/old", b"left")
    assert operator.remove("payments", "old")
    assert truth.children(f"{namespace}/services/payments") == []
    assert not operator.remove("payments", "old")
    truth.create(f"{namespace}/services/payments/old/child")
    with pytest.raises(NodeNotEmpty):
        operator.remove("payments", "old")


def test_overrides_that_make_no_sense_are_refused(
    operator: Client, truth: Truth, registration: Registration, namespace: str
) -> None:
    before = truth.get(path_of(registration))
    with pytest.raises(InvalidInstance, match="give a status, a weight, or both"):
        operator.override("payments", "a")
    with pytest.raises(InvalidInstance, match="status must be one of"):
        operator.override("payments", "a", status="ASLEEP")  # type: ignore[arg-type]
    with pytest.raises(InvalidInstance, match="status must be one of"):
        operator.override("payments", "a", status=7, weight=1.0)  # type: ignore[arg-type]
    with pytest.raises(InvalidInstance, match="weight must be"):
        operator.override("payments", "a", weight=-1.0)
    with pytest.raises(InvalidName):
        operator.override("payments", "a/b", weight=1.0)
    with pytest.raises(NodeMissing, match=r"read .*/payments/nobody: the node does not exist"):
        operator.override("payments", "nobody", weight=1.0)
    with pytest.raises(NodeMissing):
        operator.clear_override("payments", "nobody")
    truth.create(f"{namespace}/services/payments/garbage", b"\xff")
    with pytest.raises(UndecodableNode):
        operator.override("payments", "garbage", weight=1.0)
    assert truth.get(path_of(registration)) == before


def test_operators_without_a_server_hear_of_it_in_time(make_client: MakeClient) -> None:
    operator = make_client(f"127.0.0.1:{free_port()}")
    for call in (
        lambda: operator.override("payments", "a", weight=1.0, timeout=0.05),
        lambda: operator.clear_override("payments", "a", timeout=0.05),
        lambda: operator.remove("payments", "a", timeout=0.05),
    ):
        with pytest.raises(NotConnected, match="no connection to ZooKeeper at"):
            call()
