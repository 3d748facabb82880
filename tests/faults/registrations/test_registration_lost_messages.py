"""A request or its answer is lost at each step of a registration's life: what is wanted is done, and done once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from tests.conftest import MakeClient
from tests.faults.registrations.helpers import Expire, assert_ends, assert_stands, entries, in_background, wait_all
from tests.integration.registration.helpers import events, path_of, seen_to, stored, wait_stored
from tests.support import LIMIT, Truth, core_of, node_of, wait_epoch, wait_registration
from zkdiscovery import Client, Registration, RegistrationState, Status
from zkdiscovery.testing import FaultProxy


class Scene(NamedTuple):
    """Who plays: a registration `a` that stands, its owner behind the proxy, an operator behind the same proxy."""

    owner: Client
    registration: Registration
    operator: Client
    truth: Truth
    expire: Expire

    def settled(self) -> None:
        self.registration.wait_registered(LIMIT)


def _expire(scene: Scene) -> None:
    scene.expire(scene.owner)
    wait_epoch(scene.owner, 2)
    seen_to(scene.owner, scene.registration)
    scene.settled()


def _update(scene: Scene) -> None:
    scene.registration.update(version="2")
    scene.settled()


def _set_status(scene: Scene) -> None:
    scene.registration.set_status(Status.DOWN)
    scene.settled()


def _drain(scene: Scene) -> None:
    assert_ends(in_background(lambda: scene.registration.drain(delay=0.01, timeout=LIMIT)))


def _close(scene: Scene) -> None:
    assert_ends(in_background(lambda: scene.registration.close(LIMIT)))


def _reclaim(scene: Scene) -> None:
    scene.registration.reclaim()
    scene.settled()


def _override(scene: Scene) -> None:
    answer = scene.operator.override("payments", "a", weight=3.0, timeout=LIMIT)
    assert answer.weight == 3.0
    assert node_of(scene.registration).wait(lambda _: scene.registration.instance.weight == 3.0, LIMIT)
    scene.settled()


def _clear_override(scene: Scene) -> None:
    scene.operator.clear_override("payments", "a", timeout=LIMIT)
    assert node_of(scene.registration).wait(lambda _: scene.registration.instance.weight == 1.0, LIMIT)
    scene.settled()


def _remove(scene: Scene) -> None:
    before = scene.truth.get(path_of(scene.registration))
    assert before is not None
    assert scene.operator.remove("payments", "a", timeout=LIMIT)
    scene.truth.wait(
        path_of(scene.registration), lambda node: node is not None and node.stat.czxid != before.stat.czxid
    )
    scene.settled()


ONCE, TWICE = ("reply", "request"), ("request, then reply", "request, then request")
WRITING = {"multi", "set_data", "delete"}
# What is done, the requests of which each is lost in turn, and what the node goes through, each step once.
STEPS: list[tuple[Callable[[Scene], None], list[str], list[str]]] = [
    (_expire, ["multi", "set_watches", "multi_read"], ["DELETED", "CREATED"]),
    (_update, ["multi", "multi_read"], ["CHANGED"]),
    (_set_status, ["multi", "multi_read"], ["CHANGED"]),
    (_drain, ["multi", "multi_read"], ["CHANGED", "DELETED"]),
    (_close, ["multi"], ["CHANGED", "DELETED"]),
    (_reclaim, ["multi", "multi_read"], ["DELETED", "CREATED", "CHANGED", "CHANGED"]),  # above the version replaced
    (_override, ["sync", "get_data", "set_data"], ["CHANGED"]),
    (_clear_override, ["sync", "get_data", "set_data"], ["CHANGED"]),
    (_remove, ["delete"], ["DELETED", "CREATED"]),
]


def lose(proxy: FaultProxy, what: str, kind: str) -> list[object]:
    """Lose the next messages of a kind: `what` names them in their order."""
    ways = {"request": proxy.lose_request, "reply": proxy.lose_reply}
    return [ways[each](kind) for each in what.split(", then ")]


@pytest.mark.parametrize(
    ("step", "kind", "history", "what"),
    [
        pytest.param(step, kind, history, what, id=f"{step.__name__[1:]}-{kind}-{what}")
        for step, kinds, history in STEPS
        for kind in kinds
        for what in (*ONCE, *(TWICE if kind in WRITING else ()))
    ],
)
def test_a_step_whose_messages_are_lost(
    zkdiscovery_proxy: FaultProxy,
    make_client: MakeClient,
    truth: Truth,
    zkdiscovery_expire: Expire,
    step: Callable[[Scene], None],
    kind: str,
    history: list[str],
    what: str,
) -> None:
    """peers.md defect 6: a lost reply to create on the second try is told as a success, one to delete as NoNode.

    Curator: missed response on an ephemeral create, here on each kind of request; ZooKeeper's events tell that nothing
    was done twice.
    """
    owner = make_client(zkdiscovery_proxy.address, session_timeout=10.0)
    operator = make_client(zkdiscovery_proxy.address, session_timeout=10.0).wait_connected(LIMIT)
    if step is _reclaim:
        registration = owner.register("payments", 8080, id="a", on_conflict="wait").wait_registered(LIMIT)
        make_client().register("payments", 8081, id="a").wait_registered(LIMIT)
        wait_registration(registration, RegistrationState.WAITING)
    else:
        registration = owner.register("payments", 8080, id="a").wait_registered(LIMIT)
    if step is _clear_override:
        operator.override("payments", "a", weight=3.0)
        assert node_of(registration).wait(lambda _: registration.instance.weight == 3.0, LIMIT)
        registration.wait_registered(LIMIT)
    told: list[object] = []
    registration.on_change(lambda changed: told.append(changed.error))
    with events(truth, path_of(registration)) as seen:
        lost = lose(zkdiscovery_proxy, what, kind)
        step(Scene(owner, registration, operator, truth, zkdiscovery_expire))
        assert all(each.wait(LIMIT) for each in lost)  # type: ignore[attr-defined]
        if step in {_drain, _close}:
            assert registration.state is RegistrationState.CLOSED
            assert stored(truth, registration) is None
        else:
            registration.wait_registered(LIMIT)
            seen_to(owner, registration)
            assert_stands(truth, owner, registration)
        seen.wait(lambda items: len(items) >= len(history))
        assert seen.items == history
    assert set(told) <= {None}
    assert core_of(owner).session.epoch == (2 if step is _expire else 1)


@pytest.mark.parametrize("what", ["reply", "request"])
@pytest.mark.parametrize("kind", ["create_container", "multi", "set_watches", "multi_read"])
@pytest.mark.parametrize("count", [1, 1200])
def test_a_first_registration_whose_messages_are_lost(
    zkdiscovery_proxy: FaultProxy,
    make_client: MakeClient,
    truth: Truth,
    namespace: str,
    count: int,
    kind: str,
    what: str,
) -> None:
    """One, and more than fit into one transaction: each is created once, whatever was executed and not answered."""
    client = make_client(zkdiscovery_proxy.address, session_timeout=10.0).wait_connected(LIMIT)
    created: list[str] = []
    watch = truth.session.watches.add(
        f"{namespace}/services", lambda event, path: created.append(path) if event.name == "CREATED" else None
    )
    watch.arm(generation=truth.session.generation, deadline=float("inf")).result(LIMIT)
    lost = lose(zkdiscovery_proxy, what, kind)
    many = client.register_many(entries(count))
    assert all(each.wait(LIMIT) for each in lost)  # type: ignore[attr-defined]
    wait_all(many)
    seen_to(client, *many)
    for registration in many[:: max(1, count // 10)]:
        assert_stands(truth, client, registration)
    parent = f"{namespace}/services/payments"
    assert len(truth.children(parent)) == count
    assert sorted(created) == sorted([f"{namespace}/services", parent, *map(path_of, many)])
    watch.close()


@pytest.mark.parametrize("what", ["reply", "request"])
def test_replacing_somebody_when_the_message_is_lost(
    zkdiscovery_proxy: FaultProxy, make_client: MakeClient, truth: Truth, namespace: str, what: str
) -> None:
    """The successor's node that stands already is its own, not another one to replace."""
    path = f"{namespace}/services/payments/a"
    truth.create(path, b"left", ephemeral=True)
    client = make_client(zkdiscovery_proxy.address, session_timeout=10.0).wait_connected(LIMIT)
    registration = client.register("payments", 8080, id="a", on_conflict="wait")
    wait_registration(registration, RegistrationState.WAITING)
    with events(truth, path) as seen:
        lost = lose(zkdiscovery_proxy, what, "multi")
        registration.reclaim()
        assert all(each.wait(LIMIT) for each in lost)  # type: ignore[attr-defined]
        registration.wait_registered(LIMIT)
        wait_stored(truth, path, lambda instance: instance.port == 8080)
        assert seen.items == ["DELETED", "CREATED", "CHANGED"]


@pytest.mark.parametrize("what", ["reply", "request"])
def test_the_deregistration_of_many_when_the_message_is_lost(
    zkdiscovery_proxy: FaultProxy, make_client: MakeClient, truth: Truth, namespace: str, what: str
) -> None:
    """The end of a client takes all out at once all the same, long before the session's time-out."""
    client = make_client(zkdiscovery_proxy.address, session_timeout=10.0)
    wait_all(client.register_many(entries(300)))
    lose(zkdiscovery_proxy, what, "multi")
    assert_ends(in_background(lambda: client.close(5.0)))
    assert truth.children(f"{namespace}/services/payments") == []
