"""Registering, updating and what is refused, on a server that is well."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest

from tests.conftest import MakeClient
from tests.integration.registration.helpers import (
    ADMIN,
    ALL,
    HOST,
    READ,
    SetAcl,
    lock_service,
    path_of,
    stored,
    wait_stored,
)
from tests.support import LIMIT, Recorder, Truth, core_of, counting, node_of, wait_registration, wait_until, wait_view
from zkdiscovery import (
    AccessDenied,
    ClientClosed,
    InvalidInstance,
    InvalidName,
    Registration,
    RegistrationConflict,
    RegistrationState,
    Status,
)
from zkdiscovery.registration import Registrar


def test_what_was_registered_stands_in_zookeeper(make_client: MakeClient, truth: Truth, namespace: str) -> None:
    before = time.time()
    registration = make_client(zone="eu-1").register(
        "payments", 8080, host=HOST, ports={"metrics": 9100}, tls_port=8443, weight=2.5, version="1.2",
        tags=["blue"], metadata={"team": "money"},
    )  # fmt: skip
    registration.wait_registered(LIMIT)
    assert registration.state is RegistrationState.REGISTERED
    assert registration.error is None
    assert path_of(registration) == f"{namespace}/services/payments/{socket.gethostname()}@{HOST}:8080"
    instance = stored(truth, registration)
    assert instance == registration.instance
    assert instance.zone == "eu-1"
    assert instance.status is Status.UP
    assert before - 0.001 <= instance.registered_at <= time.time() + 0.001
    node = truth.get(path_of(registration))
    assert node is not None
    assert node.stat.ephemeral_owner


def test_leaving_the_block_takes_it_out(make_client: MakeClient, truth: Truth) -> None:
    client = make_client()
    with client.register("payments", 8080, id="a") as registration:
        registration.wait_registered(LIMIT)
        assert stored(truth, registration)
    assert stored(truth, registration) is None
    assert registration.state is RegistrationState.CLOSED
    assert registration.error is None
    registration.close()


def test_an_id_can_be_registered_again_once_it_is_closed(make_client: MakeClient, truth: Truth) -> None:
    client = make_client()
    for weight in (1.0, 2.0, 3.0):
        with client.register("payments", 8080, id="a", weight=weight) as registration:
            registration.wait_registered(LIMIT)
            assert stored(truth, registration).weight == weight


def test_one_client_registers_an_id_once(make_client: MakeClient, truth: Truth, namespace: str) -> None:
    client = make_client()
    first = client.register("payments", 8080, id="a").wait_registered(LIMIT)
    with pytest.raises(RegistrationConflict, match="by this client already"):
        client.register("payments", 8081, id="a")
    with pytest.raises(RegistrationConflict, match="by this client already"):
        client.register_many([{"service": "payments", "port": port, "id": "twice"} for port in (1, 2)])
    assert truth.children(f"{namespace}/services/payments") == ["a"]
    assert first.state is RegistrationState.REGISTERED
    client.register("refunds", 8081, id="a").wait_registered(LIMIT)


def test_updates_replace_fields_and_keep_the_rest(make_client: MakeClient, truth: Truth) -> None:
    client = make_client()
    registration = client.register("payments", 8080, id="a", weight=2.0, metadata={"old": "1"}).wait_registered(LIMIT)
    first = registration.instance
    registration.update(metadata={"new": "2"}, version="2")
    registration.wait_registered(LIMIT)
    assert stored(truth, registration) == first.with_(metadata={"new": "2"}, version="2")
    with counting(client) as requests:
        registration.update(version="2")  # says nothing new
        registration.update(version="3")
        registration.wait_registered(LIMIT)
    assert stored(truth, registration).version == "3"
    assert requests == {"Multi": 1, "MultiRead": 1}


def test_of_many_fast_updates_the_last_one_stands(make_client: MakeClient, truth: Truth) -> None:
    registration = make_client().register("payments", 8080, id="a")
    for number in range(500):
        registration.update(metadata={"number": str(number)})
    registration.wait_registered(LIMIT)
    assert stored(truth, registration).metadata == {"number": "499"}
    assert registration.error is None


def test_updates_of_several_threads_lose_no_field(make_client: MakeClient, truth: Truth) -> None:
    registration = make_client().register("payments", 8080, id="a").wait_registered(LIMIT)

    def update(field: str, values: list[Any]) -> None:
        for value in values:
            registration.update(**{field: value})

    fields: dict[str, list[Any]] = {
        "weight": [float(n) for n in range(100)],
        "version": [str(n) for n in range(100)],
        "zone": [f"zone-{n}" for n in range(100)],
    }
    threads = [threading.Thread(target=update, args=item) for item in fields.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    registration.wait_registered(LIMIT)
    instance = stored(truth, registration)
    assert (instance.weight, instance.version, instance.zone) == (99.0, "99", "zone-99")


def test_statuses(make_client: MakeClient, truth: Truth) -> None:
    registration = make_client().register("payments", 8080, id="a", ready="manual").wait_registered(LIMIT)
    assert stored(truth, registration).status is Status.STARTING
    for status in (Status.UP, Status.DOWN, Status.OUT_OF_SERVICE, Status.UP):
        registration.set_status(status)
        registration.wait_registered(LIMIT)
        assert stored(truth, registration).status is status


def test_only_a_ready_instance_is_picked(make_client: MakeClient) -> None:
    view = make_client().discover("payments")
    registration = make_client().register("payments", 8080, id="a", ready="manual")
    wait_view(view, lambda snapshot: len(snapshot) == 1)
    assert not view.available
    registration.set_status(Status.UP)
    assert view.wait_ready(LIMIT).pick().id == "a"


def test_listening_means_up_once_the_port_accepts(make_client: MakeClient, truth: Truth) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        registration = make_client().register("payments", port, host="127.0.0.1", id="a", ready="listening")
        registration.wait_registered(LIMIT)
        assert stored(truth, registration).status is Status.STARTING
        server.listen()
        wait_stored(truth, path_of(registration), lambda instance: instance.status is Status.UP)


def test_a_status_set_while_the_port_is_waited_for_stands(
    make_client: MakeClient, truth: Truth, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        client = make_client()
        registration = client.register("shy", port, host="127.0.0.1", id="a", ready="listening")
        registration.set_status(Status.OUT_OF_SERVICE)
        server.listen()
        server.settimeout(LIMIT)
        server.accept()[0].close()
        wait_until(lambda: f"port {port} accepts connections: 'a' of 'shy' is ready" in caplog.text)
        registration.wait_registered(LIMIT)
        assert stored(truth, registration).status is Status.OUT_OF_SERVICE


def test_closing_ends_the_wait_for_the_port(make_client: MakeClient) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        client = make_client()
        registration = client.register(
            "never", server.getsockname()[1], host="127.0.0.1", id="a", ready="listening"
        ).wait_registered(LIMIT)
        registration.close()
        settled = threading.Event()
        core_of(client).checks.schedule(settled, settled.set)  # a look that was under way is over, with one thread
        assert settled.wait(LIMIT)
        server.listen()
        server.settimeout(0.6)  # seconds: longer than the longest pause between two looks
        with pytest.raises(TimeoutError):
            server.accept()


def test_a_thousand_that_wait_for_their_ports_need_four_threads(make_client: MakeClient) -> None:
    """There was a thread for each."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        client = make_client().wait_connected(LIMIT)
        before = threading.active_count()
        registrations = client.register_many(
            {"service": "payments", "port": port, "host": "127.0.0.1", "id": f"{number}", "ready": "listening"}
            for number in range(1000)
        )
        for registration in registrations:
            registration.wait_registered(LIMIT)
        assert threading.active_count() <= before + 4 + 1, "the threads of the checks, and the owner"
        server.listen(1000)
        for registration in registrations:
            wait_until(lambda registration=registration: registration.instance.status is Status.UP)


def test_changes_are_told_in_order(make_client: MakeClient) -> None:
    client = make_client()
    registration = client.register("payments", 8080, id="a")
    states: Recorder[RegistrationState] = Recorder()
    registration.on_change(lambda changed: states(changed.state))
    registration.wait_registered(LIMIT)
    registration.close()
    told = states.wait(lambda items: RegistrationState.CLOSED in items)
    order = list(RegistrationState)
    assert told == sorted(told, key=order.index)


def test_callbacks_may_close_and_raise(make_client: MakeClient, truth: Truth, namespace: str) -> None:
    truth.create(f"{namespace}/services/payments/a", ephemeral=True)
    registration = make_client().register("payments", 8080, id="a", on_conflict="wait")
    told: Recorder[RegistrationState] = Recorder()

    def close(changed: Registration) -> None:
        if changed.state is RegistrationState.REGISTERED:
            changed.close()
            told(changed.state)
            raise ValueError("on purpose")

    registration.on_change(close)
    truth.delete(f"{namespace}/services/payments/a")
    told.wait(lambda states: states == [RegistrationState.CLOSED])
    assert stored(truth, registration) is None


INVALID: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"service": "a/b"}, InvalidName, "must not contain '/'"),
    ({"service": ""}, InvalidName, "must not be empty"),
    ({"service": None}, InvalidInstance, "service must be given"),
    ({"port": None}, InvalidInstance, "port must be given"),
    ({"id": ".."}, InvalidName, r"must not be empty, '\.', '\.\.'"),
    ({"id": "a\nb"}, InvalidName, "must not contain"),
    ({"id": "x" * 256}, InvalidName, "longer than 255 bytes"),
    ({"port": -1}, InvalidInstance, "port must be an integer from 1 to 65535"),
    ({"port": "80"}, InvalidInstance, "port must be an integer"),
    ({"ports": {"metrics": 70_000}}, InvalidInstance, "port 'metrics'"),
    ({"tls_port": -1}, InvalidInstance, "tls_port must be"),
    ({"weight": -1}, InvalidInstance, "weight must be"),
    ({"weight": float("nan")}, InvalidInstance, "weight must be"),
    ({"host": "http://x"}, InvalidInstance, "host"),
    ({"host": "0.0.0.0"}, InvalidInstance, "address to listen on"),
    ({"metadata": {"big": "x" * 70_000}}, InvalidInstance, "the limit is 65536"),
    ({"metadata": {"weight": "1"}}, InvalidInstance, "must not have the key 'weight'"),
    ({"metadata": {"number": 1}}, InvalidInstance, "map strings to strings"),
    ({"tags": "blue"}, InvalidInstance, "sequence of strings"),
    ({"ready": "soon"}, InvalidInstance, "ready must be one of now, listening, manual"),
    ({"on_conflict": "fight"}, InvalidInstance, "on_conflict must be one of replace, wait, refuse"),
    ({"drain_delay": -1}, InvalidInstance, "drain_delay must be seconds"),
    ({"drain_delay": float("inf")}, InvalidInstance, "drain_delay must be seconds"),
    ({"drain_delay": "5"}, InvalidInstance, "drain_delay must be seconds"),
    ({"colour": "red"}, InvalidInstance, "unknown fields: colour"),
]


@pytest.mark.parametrize(("wrong", "error", "message"), INVALID, ids=lambda value: str(value)[:40])
def test_invalid_input_registers_nothing(
    make_client: MakeClient, truth: Truth, namespace: str, wrong: dict[str, Any], error: type[Exception], message: str
) -> None:
    client = make_client()
    good = {"service": "payments", "port": 8080, "host": HOST}
    with pytest.raises(error, match=message):
        client.register_many([{**good, "id": "fine"}, {**good, **wrong}])  # type: ignore[list-item]
    assert core_of(client).feature(Registrar).open() == []
    client.register("refunds", 8080, id="b").wait_registered(LIMIT)  # had anything been wanted, it would be there
    assert truth.children(f"{namespace}/services") == ["refunds"]


@pytest.mark.parametrize(
    "change",
    [
        {"weight": -1.0},
        {"metadata": {"big": "x" * 70_000}},
        {"tls_port": 0},
        {"host": "10.0.0.2"},
        {"status": Status.DOWN},
        {"id": "b"},
    ],
    ids=str,
)
def test_an_invalid_update_changes_nothing(make_client: MakeClient, truth: Truth, change: dict[str, Any]) -> None:
    registration = make_client().register("payments", 8080, id="a").wait_registered(LIMIT)
    before = registration.instance
    with pytest.raises(InvalidInstance):
        registration.update(version="2", **change)
    with pytest.raises(InvalidInstance):
        registration.set_status("ASLEEP")  # type: ignore[arg-type]
    registration.wait_registered(LIMIT)
    assert registration.instance == before
    assert stored(truth, registration) == before


def test_a_closed_registration_takes_no_changes(make_client: MakeClient) -> None:
    registration = make_client().register("payments", 8080, id="a").wait_registered(LIMIT)
    registration.close()
    for call in (
        lambda: registration.update(weight=2.0),
        lambda: registration.set_status(Status.DOWN),
        registration.reclaim,
        lambda: registration.wait_registered(LIMIT),
    ):
        with pytest.raises(ClientClosed, match="'a' of 'payments' was closed"):
            call()


def test_a_closed_client_takes_no_registrations(make_client: MakeClient) -> None:
    client = make_client()
    registration = client.register("payments", 8080, id="a").wait_registered(LIMIT)
    registrar = core_of(client).feature(Registrar)
    client.close()
    assert registration.state is RegistrationState.CLOSED
    with pytest.raises(ClientClosed):
        client.register("payments", 8080, id="b")
    with pytest.raises(ClientClosed):  # by a thread that was on its way
        registrar.register([{"service": "payments", "port": 8080, "id": "b"}], Registration)
    assert registrar.open() == []


def test_a_refused_registration_says_why_and_goes_on_trying(
    make_client: MakeClient, truth: Truth, namespace: str
) -> None:
    parent = lock_service(truth, namespace, "payments")
    registration = make_client().register("payments", 8080, id="a")
    with pytest.raises(AccessDenied, match="ACL forbids it") as caught:
        registration.wait_registered(LIMIT)
    assert caught.value.path == f"{parent}/a"
    assert registration.state is RegistrationState.PENDING
    assert isinstance(registration.error, AccessDenied)
    with pytest.raises(AccessDenied) as again:
        registration.wait_registered(LIMIT)
    assert again.value is not caught.value  # each has a traceback of its own
    truth.delete(parent)
    wait_registration(registration, RegistrationState.REGISTERED)
    assert registration.error is None
    assert registration.wait_registered(LIMIT) is registration


def test_a_refused_update_says_why_and_the_next_one_passes(make_client: MakeClient, truth: Truth) -> None:
    registration = make_client().register("payments", 8080, id="a").wait_registered(LIMIT)
    path = path_of(registration)
    truth.call(SetAcl(path, READ | ADMIN))
    registration.update(version="2")
    with pytest.raises(AccessDenied):
        registration.wait_registered(LIMIT)
    assert registration.state is RegistrationState.REGISTERED
    truth.call(SetAcl(path, ALL))
    wait_stored(truth, path, lambda instance: instance.version == "2")
    assert node_of(registration).wait(lambda node: node.error is None, LIMIT)


def test_a_callback_that_is_a_coroutine_function_is_refused(make_client: MakeClient) -> None:
    registration = make_client().register("payments", 8080, id="a")

    async def told(_: Registration) -> None: ...

    with pytest.raises(TypeError, match="plain function"):
        registration.on_change(told)
