"""Health checks of instances that leave, that are cut off, that are shared, and that a fork copies."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.conftest import MakeClient
from tests.integration.registration.checked import BROKEN, FINE, Service, check, register, wait_status
from tests.integration.registration.helpers import events, path_of, stored
from tests.support import LIMIT, Recorder, Truth, wait_registration, wait_until
from zkdiscovery import (
    AsyncClient,
    CheckResult,
    CheckState,
    ClientClosed,
    CommandCheck,
    InvalidInstance,
    OperationTimeout,
    Registration,
    RegistrationState,
    Status,
    TcpCheck,
    TtlCheck,
)
from zkdiscovery.testing import FaultProxy, ZookeeperServer


def test_deregistered_after_a_while_and_back(make_client: MakeClient, truth: Truth, service: Service) -> None:
    registration = register(make_client(), service, deregister_after=0.3)
    wait_status(truth, registration, Status.UP)
    path = path_of(registration)
    states: Recorder[RegistrationState] = Recorder()
    registration.on_change(lambda changed: states(changed.state))
    for _ in range(2):
        with events(truth, path) as seen:
            service.says(BROKEN)
            truth.wait(path, lambda node: node is None)
            assert seen.items[-2:] == ["CHANGED", "DELETED"], "it deregisters, so nobody keeps it as a suspect"
        assert registration.state is RegistrationState.DEREGISTERED
        assert registration.why == "its checks have failed for long: the check GET http/ready fails: " + BROKEN[9:]
        with pytest.raises(OperationTimeout, match="its checks have failed for long"):
            registration.wait_registered(0.05)
        registration.update(version="2")
        service.says(FINE)
        wait_status(truth, registration, Status.UP)
        registration.wait_registered(LIMIT)
        assert stored(truth, registration).version == "2"
        assert registration.state is RegistrationState.REGISTERED
    states.wait(lambda items: RegistrationState.DEREGISTERED in items)


def test_closing_one_that_is_deregistered(make_client: MakeClient, truth: Truth, service: Service) -> None:
    client = make_client()
    registration = register(client, service, deregister_after=0.05)
    wait_status(truth, registration, Status.UP)
    service.says(BROKEN)
    wait_registration(registration, RegistrationState.DEREGISTERED)
    registration.close()
    assert registration.state is RegistrationState.CLOSED
    service.says(FINE)
    again = register(client, service)
    wait_status(truth, again, Status.UP)


def test_the_checks_end_when_it_leaves(make_client: MakeClient, truth: Truth, service: Service) -> None:
    client = make_client()
    registration = register(client, service, check(), CommandCheck(["sleep", "600"], timeout=600.0))
    wait_until(lambda: service.answers > 3)
    began = time.monotonic()
    client.drain()
    client.close()
    assert time.monotonic() - began < 15, "the command was killed"
    asked = service.answers
    assert not any(thread.name == "zkdiscovery-health" for thread in threading.enumerate())
    assert service.answers == asked
    assert registration.health[0].result is CheckResult.PASS


def test_checks_go_on_without_zookeeper(
    zkdiscovery_proxy: FaultProxy, make_client: MakeClient, truth: Truth, service: Service
) -> None:
    client = make_client(zkdiscovery_proxy.address, session_timeout=20.0)
    registration = register(client, service)
    wait_status(truth, registration, Status.UP)
    zkdiscovery_proxy.refuse()
    service.says(BROKEN)
    wait_until(lambda: registration.instance.status is Status.DOWN)
    assert stored(truth, registration).status is Status.UP
    zkdiscovery_proxy.heal()
    wait_status(truth, registration, Status.DOWN)


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"checks": TcpCheck()}, "checks must be a list of checks"),
    ({"checks": ["/ready"]}, "a check must be an HttpCheck, a TcpCheck or the like: got '/ready'"),
    ({"checks": [TtlCheck(1), TtlCheck(2)]}, "one TtlCheck is enough"),
    ({"checks": [CommandCheck(["no-such-program"])]}, "there is no program 'no-such-program' here"),
    ({"deregister_after": 5}, "deregister_after needs checks"),
    ({"checks": [TcpCheck()], "deregister_after": 0}, "deregister_after must be seconds, more than 0"),
    ({"checks": [TcpCheck()], "deregister_after": 5, "on_conflict": "share"}, "can't be combined with on_conflict"),
]


@pytest.mark.parametrize(("options", "message"), MISTAKES)
def test_mistakes_are_told_and_nothing_is_registered(
    make_client: MakeClient, options: dict[str, Any], message: str
) -> None:
    client = make_client()
    with pytest.raises(InvalidInstance, match=message):
        client.register_many(
            [{"service": "payments", "port": 1, "host": "127.0.0.1"}, {"service": "b", "port": 1, **options}]
        )
    client.register("payments", 1, host="127.0.0.1")


def test_a_decorated_function_is_checked(make_client: MakeClient, truth: Truth, service: Service) -> None:
    client = make_client()

    @client.registered("payments", service.port, host="127.0.0.1", id="a", checks=[check()])
    def serve(registration: Registration) -> None:
        wait_status(truth, registration, Status.UP)
        service.says(BROKEN)
        wait_status(truth, registration, Status.DOWN)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(serve).result(LIMIT)


def test_processes_that_share_a_registration_check_it_each(
    make_client: MakeClient, truth: Truth, service: Service
) -> None:
    client = make_client()
    registration = register(client, service, on_conflict="share")
    wait_status(truth, registration, Status.UP)
    service.says(BROKEN)
    wait_status(truth, registration, Status.DOWN)


def test_on_an_event_loop(zkdiscovery_server: ZookeeperServer, namespace: str, service: Service) -> None:
    asyncio.run(checked_on_a_loop(zkdiscovery_server.hosts, namespace, service))


async def checked_on_a_loop(hosts: str, namespace: str, service: Service) -> None:
    async with AsyncClient(hosts, namespace=namespace) as client:
        registration = client.register(
            "payments", service.port, host="127.0.0.1", checks=[check(), TtlCheck(600)], deregister_after=600
        )
        changed = asyncio.Event()
        registration.on_change(lambda _: changed.set())
        await registration.wait_registered(LIMIT)
        registration.beat()
        async with asyncio.timeout(LIMIT):
            while registration.instance.status is not Status.UP:
                changed.clear()
                await changed.wait()
        assert [report.state for report in registration.health] == [CheckState.PASSING] * 2


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_in_a_forked_child_nothing_is_checked(make_client: MakeClient, truth: Truth, service: Service) -> None:
    registration = register(make_client(), service, check(), TtlCheck(600))
    registration.beat()
    wait_status(truth, registration, Status.UP)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        passed = [report.state for report in registration.health] == [CheckState.PASSING] * 2
        try:
            registration.beat()
        except ClientClosed:
            os._exit(0 if passed and threading.active_count() == 1 else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    asked = service.answers
    wait_until(lambda: service.answers > asked + 5)
    assert registration.instance.status is Status.UP
