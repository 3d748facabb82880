"""Ids that `register` chooses: what they are made of, and whose entries they may replace."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest

from tests.conftest import MakeClient
from tests.integration.registration.helpers import HOST, events, path_of, seen_to, stored
from tests.support import LIMIT, Truth, counting, wait_epoch, wait_registration
from zkdiscovery import Client, Instance, InvalidInstance, RegistrationConflict, RegistrationState
from zkdiscovery.codecs.curator import CuratorCodec
from zkdiscovery.registration.machine import machine

NAME = socket.gethostname()
OURS, OTHER = machine(), "00000000-0000-4000-8000-000000000000"


def entry(id: str, *, of: str | None, host: str = HOST, port: int = 8080) -> bytes:
    """What stands in ZooKeeper for an instance of a machine; None: with an id that a user chose."""
    return CuratorCodec().encode(Instance("payments", host, port, id=id, machine=of, registered_at=1.0))


@pytest.mark.parametrize(("host", "shown"), [(HOST, HOST), ("fd00::7", "[fd00::7]"), ("web.example", "web.example")])
def test_the_id_names_machine_and_address(
    make_client: MakeClient, truth: Truth, namespace: str, host: str, shown: str
) -> None:
    registration = make_client().register("payments", 8080, host=host).wait_registered(LIMIT)
    assert path_of(registration) == f"{namespace}/services/payments/{NAME}@{shown}:8080"
    found = stored(truth, registration)
    assert found == registration.instance
    assert found.machine == OURS


def test_an_id_that_was_chosen_has_no_mark(make_client: MakeClient, truth: Truth) -> None:
    registration = make_client().register("payments", 8080, id="a").wait_registered(LIMIT)
    assert stored(truth, registration).machine is None


def test_the_mark_is_kept_by_updates_and_is_no_field_of_the_owner(make_client: MakeClient, truth: Truth) -> None:
    client = make_client()
    registration = client.register("payments", 8080, host=HOST)
    registration.update(metadata={"k": "v"})
    registration.wait_registered(LIMIT)
    assert stored(truth, registration).machine == OURS
    with pytest.raises(InvalidInstance, match="can't update machine"):
        registration.update(machine=OTHER)
    with pytest.raises(InvalidInstance, match="unknown fields: machine"):
        client.register_many([{"service": "payments", "port": 1, "machine": OTHER}])  # type: ignore[typeddict-unknown-key]


def test_a_successor_on_the_same_machine_takes_the_id_at_once(
    make_client: MakeClient, truth: Truth, namespace: str
) -> None:
    path = f"{namespace}/services/payments/{NAME}@{HOST}:8080"
    truth.create(path, entry(f"{NAME}@{HOST}:8080", of=OURS), ephemeral=True)
    with events(truth, path) as seen:
        registration = make_client().register("payments", 8080, host=HOST).wait_registered(LIMIT)
        assert stored(truth, registration) == registration.instance
    assert seen.items == ["DELETED", "CREATED", "CHANGED"]


def test_an_id_that_a_user_chose_is_replaced_whoever_has_it(
    make_client: MakeClient, truth: Truth, namespace: str
) -> None:
    truth.create(f"{namespace}/services/payments/a", entry("a", of=OTHER), ephemeral=True)
    truth.create(f"{namespace}/services/payments/{NAME}@{HOST}:8080", entry("b", of=None), ephemeral=True)
    client = make_client()
    for registration in (client.register("payments", 1, id="a"), client.register("payments", 8080, host=HOST)):
        assert registration.wait_registered(LIMIT).state is RegistrationState.REGISTERED


def test_the_id_of_another_machine_is_waited_for_and_then_a_conflict_that_names_both(
    make_client: MakeClient, truth: Truth, namespace: str
) -> None:
    path = f"{namespace}/services/payments/{NAME}@{HOST}:8080"
    data = entry(f"{NAME}@{HOST}:8080", of=OTHER)
    truth.create(path, data, ephemeral=True)
    began = time.monotonic()
    registration = make_client(session_timeout=1.0).register("payments", 8080, host=HOST)
    wait_registration(registration, RegistrationState.WAITING)
    wait_registration(registration, RegistrationState.CONFLICT)
    granted = registration._core.session.timeout
    assert 2 * granted <= time.monotonic() - began
    with pytest.raises(RegistrationConflict, match=f"boot id {OTHER}, while this is .* {OURS}: two machines have one"):
        registration.wait_registered(LIMIT)
    assert truth.get(path).data == data
    registration.reclaim()
    registration.wait_registered(LIMIT)
    assert stored(truth, registration) == registration.instance


def test_the_id_of_another_machine_that_died_is_taken_when_its_session_ends(
    make_client: MakeClient, truth: Truth, namespace: str
) -> None:
    path = f"{namespace}/services/payments/{NAME}@{HOST}:8080"
    truth.create(path, entry(f"{NAME}@{HOST}:8080", of=OTHER), ephemeral=True)
    registration = make_client(session_timeout=30.0).register("payments", 8080, host=HOST)
    wait_registration(registration, RegistrationState.WAITING)
    truth.delete(path)
    registration.wait_registered(LIMIT)
    assert stored(truth, registration) == registration.instance


def leave_entries(truth: Truth, namespace: str) -> dict[str, str]:
    """What stands there before: by id, why it stays; "" if it is a leftover."""
    entries = {
        f"old@{HOST}:8080": (OURS, HOST, 8080, ""),
        f"old@{HOST}:8081": (OURS, HOST, 8081, "another port"),
        f"other@{HOST}:8080": (OTHER, HOST, 8080, "another machine"),
        f"moved@{HOST}:8080": (OURS, "10.0.0.9", 8080, "another host"),
        f"chosen@{HOST}:8080": (None, HOST, 8080, "an id that was chosen"),
        f"unknown@{HOST}:8080": ("unknown", HOST, 8080, "a machine that is not known"),
    }
    for name, (of, host, port, _) in entries.items():
        truth.create(f"{namespace}/services/payments/{name}", entry(name, of=of, host=host, port=port), ephemeral=True)
    truth.create(f"{namespace}/services/payments/garbage@{HOST}:8080", b"garbage", ephemeral=True)
    return {name: why for name, (_, _, _, why) in entries.items()} | {f"garbage@{HOST}:8080": "no instance"}


def test_what_a_container_of_another_name_left_at_the_same_address_is_removed(
    make_client: MakeClient, truth: Truth, namespace: str
) -> None:
    before = leave_entries(truth, namespace)
    registration = make_client().register("payments", 8080, host=HOST).wait_registered(LIMIT)
    truth.wait(f"{namespace}/services/payments/old@{HOST}:8080", lambda node: node is None)
    assert truth.children(f"{namespace}/services/payments") == sorted(
        [registration.instance.id, *(name for name, why in before.items() if why)]
    )


def test_an_owner_that_lives_comes_back_and_both_stay(
    make_client: MakeClient, truth: Truth, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "first")
    first = make_client().register("payments", 8080, host=HOST).wait_registered(LIMIT)
    created = truth.get(path_of(first)).stat.czxid
    monkeypatch.setattr(socket, "gethostname", lambda: "second")
    second = make_client().register("payments", 8080, host=HOST).wait_registered(LIMIT)
    truth.wait(path_of(first), lambda node: node is not None and node.stat.czxid > created)
    first.wait_registered(LIMIT)
    assert {first.state, second.state} == {RegistrationState.REGISTERED}
    assert truth.children(f"{namespace}/services/payments") == [f"first@{HOST}:8080", f"second@{HOST}:8080"]


def test_looking_for_leftovers_costs_one_list_for_each_service(
    make_client: MakeClient, zkdiscovery_expire: Callable[[Client], None]
) -> None:
    client = make_client()
    client.wait_connected(LIMIT)
    with counting(client) as requests:
        many = client.register_many(
            [{"service": name, "port": port, "host": HOST} for name in ("a", "b") for port in range(1, 101)]
        )
        many.append(client.register("c", 8080, id="chosen"))
        for registration in many:
            registration.wait_registered(LIMIT)
        seen_to(client, *many)  # the worker has looked for leftovers before
        assert requests["GetChildren"] == 2
        assert requests["Delete"] == 0
        zkdiscovery_expire(client)
        wait_epoch(client, 2)
        for registration in many:
            registration.wait_registered(LIMIT)
        seen_to(client, *many)
    assert requests["GetChildren"] == 2
