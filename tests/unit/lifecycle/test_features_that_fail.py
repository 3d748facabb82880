"""A feature of users that fails harms neither the other features nor the other clients."""

from __future__ import annotations

import logging
import os
import signal

import pytest

from tests.support import core_of
from zkdiscovery import Client, ClientClosed, Feature, Instance, InvalidInstance, Phase, RegistrationState, Status
from zkdiscovery.codecs.curator import CuratorCodec
from zkdiscovery.testing import static_client


class Timeless(Feature):
    """Tells nothing of use about the time that it needs."""

    phase = Phase.OWNED

    def time_to_close(self) -> float:
        raise RuntimeError("no idea")


class Refusing(Feature):
    """Can't be closed."""

    phase = Phase.HOLDS

    def begin_close(self, deadline: float) -> None:
        raise RuntimeError("not now")


class Forkless(Feature):
    """Can't be forked."""

    def forked(self) -> None:
        raise RuntimeError("not here")


class NoDraining(CuratorCodec):
    """A wire format without DRAINING."""

    def encode(self, instance: Instance, previous: bytes | None = None) -> bytes:
        if instance.status is Status.DRAINING:
            raise InvalidInstance("there is no such status")
        return super().encode(instance, previous)


def test_a_client_is_closed_though_nobody_knows_how_long_that_takes(caplog: pytest.LogCaptureFixture) -> None:
    client = static_client()
    registration = client.register("payments", 8080)
    client.feature(Timeless)
    client.close()
    assert registration.state is RegistrationState.CLOSED
    assert "how long its closing takes" in caplog.text


def test_one_that_fails_to_close_stops_none_of_the_others() -> None:
    client = static_client()
    client.feature(Refusing)
    registration = client.register("payments", 8080)
    with pytest.raises(RuntimeError, match="not now"):
        client.close()
    assert registration.state is RegistrationState.CLOSED
    with pytest.raises(ClientClosed):
        client.instances("payments")


def test_what_can_not_be_encoded_as_draining_is_deleted_all_the_same() -> None:
    client = static_client()
    core_of(client).codec = NoDraining()
    registrations = [client.register("payments", port, drain_delay=0.1) for port in (8080, 8081)]
    registrations[0].close()
    assert registrations[0].state is RegistrationState.CLOSED
    client.drain()
    assert registrations[1].state is RegistrationState.CLOSED


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_one_that_can_not_be_forked_leaves_the_others_of_the_child_alone(caplog: pytest.LogCaptureFixture) -> None:
    clients: list[Client] = [static_client(payments=["127.0.0.1:8080"]) for _ in range(3)]
    for client in clients:
        client.feature(Forkless)
    registrations = [client.register("orders", 8081) for client in clients]
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        logging.disable()
        new = [client.discover("payments").pick().port for client in clients]
        os._exit(0 if {r.state for r in registrations} == {RegistrationState.CLOSED} and new == [8080] * 3 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    for client in clients:
        client.close()
