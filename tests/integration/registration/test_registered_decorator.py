"""`@client.registered`: registered while the function runs."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.conftest import MakeClient
from tests.integration.registration.helpers import events, path_of, stored, wait_stored
from tests.support import LIMIT, Truth, core_of
from zkdiscovery import Client, InvalidInstance, Registration, RegistrationConflict, RegistrationState, Status
from zkdiscovery.registration import Registrar


@pytest.fixture
def client(make_client: MakeClient) -> Client:
    return make_client()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A socket that does not listen yet."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        yield server


def test_a_function_with_the_registration(client: Client, truth: Truth) -> None:
    seen: list[Registration] = []

    @client.registered("payments", 8080, id="a", ready="now")
    def serve(registration: Registration) -> str:
        """Serves."""
        seen.append(registration.wait_registered(LIMIT))
        assert stored(truth, registration).status is Status.UP
        return "result"

    assert core_of(client).feature(Registrar).open() == []  # nothing happens before the call
    assert serve() == "result"
    assert serve.__name__ == "serve"
    assert serve.__doc__ == "Serves."
    assert [registration.state for registration in seen] == [RegistrationState.CLOSED]
    assert stored(truth, seen[0]) is None
    assert serve() == "result"  # each call is a registration of its own
    assert len(seen) == 2
    assert seen[0] is not seen[1]


def test_a_function_without_arguments(client: Client, truth: Truth, namespace: str) -> None:
    services = f"{namespace}/services/payments"

    @client.registered("payments", 8080, id="a", ready="now")
    def serve() -> int:
        (owned,) = core_of(client).feature(Registrar).open()
        assert owned.node.wait(lambda node: node.settled, LIMIT)
        assert truth.children(services) == ["a"]
        return 7

    assert serve() == 7
    assert truth.children(services) == []


def test_it_is_up_once_its_port_listens(client: Client, truth: Truth, listener: socket.socket) -> None:
    @client.registered("payments", listener.getsockname()[1], host="127.0.0.1", id="a")
    def serve(registration: Registration) -> None:
        registration.wait_registered(LIMIT)
        assert stored(truth, registration).status is Status.STARTING
        listener.listen()
        wait_stored(truth, path_of(registration), lambda instance: instance.status is Status.UP)

    serve()


@pytest.mark.parametrize("error", [ValueError("on purpose"), KeyboardInterrupt(), SystemExit(3)], ids=repr)
def test_however_it_ends_it_is_drained(client: Client, truth: Truth, namespace: str, error: BaseException) -> None:
    @client.registered("payments", 8080, id="a", ready="now", drain_delay=0.01)
    def serve(registration: Registration) -> None:
        registration.wait_registered(LIMIT)
        raise error

    with events(truth, f"{namespace}/services/payments/a") as seen:
        with pytest.raises(type(error)) as caught:
            serve()
        assert caught.value is error
        assert truth.children(f"{namespace}/services/payments") == []
    assert seen.items == ["CREATED", "CHANGED", "DELETED"]


def test_what_can_t_be_registered_is_not_called(client: Client) -> None:
    called = threading.Event()

    @client.registered("payments", -1)
    def invalid() -> None:
        called.set()

    @client.registered("payments", 8080, id="a")
    def taken() -> None:
        called.set()

    client.register("payments", 8081, id="a")
    with pytest.raises(InvalidInstance):
        invalid()
    with pytest.raises(RegistrationConflict):
        taken()
    assert not called.is_set()
