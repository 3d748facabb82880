"""Health checks of instances in ZooKeeper: when the status is written, and when it is not."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.conftest import MakeClient
from tests.integration.registration.helpers import events, path_of, stored, wait_stored
from tests.support import LIMIT, Recorder, Truth, core_of, counting, wait_registration, wait_until
from zkdiscovery import (
    AsyncClient,
    CheckResult,
    CheckState,
    Client,
    ClientClosed,
    CommandCheck,
    HttpCheck,
    InvalidInstance,
    OperationTimeout,
    Registration,
    RegistrationState,
    Status,
    TcpCheck,
    TtlCheck,
)
from zkdiscovery.registration import Checkers, checks
from zkdiscovery.testing import FaultProxy, ZookeeperServer

FAST: dict[str, Any] = {"interval": 0.02, "timeout": 5.0, "failure_threshold": 2, "success_threshold": 2, "grace": 0.0}
BROKEN = "HTTP/1.1 503 Service Unavailable"
FINE = "HTTP/1.1 204 No Content"


class Service:
    """A server of HTTP on a real port, whose answers a test decides; None: it accepts, and says nothing.

    Attributes:
        port: its port.
        answers: how often it was asked.
    """

    def __init__(self, answer: Callable[[int], str | None] = lambda _: FINE) -> None:
        self.answer = answer
        self.answers = 0
        self._held: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def says(self, answer: str | None) -> None:
        """Answer so from now on."""
        self.answer = lambda _: answer

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            answer = self.answer(self.answers)
            self.answers += 1
            if answer is None:
                self._held.append(connection)
                continue
            with connection:
                if connection.recv(65_536):
                    connection.sendall(f"{answer}\r\nContent-Length: 0\r\n\r\n".encode())

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()
        for connection in self._held:
            connection.close()


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.close()


def check(**options: Any) -> HttpCheck:
    return HttpCheck("/ready", **{**FAST, **options})


def register(client: Client, service: Service, *given: Any, **options: Any) -> Registration:
    return client.register(
        "payments", service.port, host="127.0.0.1", id="a", checks=given or [check()], **options
    ).wait_registered(LIMIT)


def wait_status(truth: Truth, registration: Registration, status: Status) -> None:
    wait_stored(truth, path_of(registration), lambda instance: instance.status is status)


def test_from_starting_to_up_to_down_and_back(make_client: MakeClient, truth: Truth, service: Service) -> None:
    service.says(BROKEN)
    registration = register(make_client(), service, check(grace=3600.0, interval=0.02))
    wait_until(lambda: service.answers > 3)
    assert stored(truth, registration).status is Status.STARTING
    assert registration.why == "the check GET http/ready has not passed yet: 503 Service Unavailable"
    service.says(FINE)
    wait_status(truth, registration, Status.UP)
    (report,) = registration.health
    assert (report.name, report.state, report.result) == ("GET http/ready", CheckState.PASSING, CheckResult.PASS)
    assert report.message == "204 No Content"
    assert abs(time.time() - report.since) < 60
    service.says(BROKEN)
    wait_status(truth, registration, Status.DOWN)
    assert registration.why == "the check GET http/ready fails: 503 Service Unavailable"
    service.says(FINE)
    wait_status(truth, registration, Status.UP)
    assert registration.why == ""


def test_every_third_failure_writes_nothing(make_client: MakeClient, service: Service) -> None:
    service.answer = lambda number: BROKEN if number % 3 == 2 else FINE
    client = make_client()
    registration = register(client, service)
    wait_until(lambda: registration.instance.status is Status.UP)
    registration.wait_registered(LIMIT)
    with counting(client) as requests:
        before = service.answers
        wait_until(lambda: service.answers > before + 60)
    assert not {"Multi", "SetData", "Create", "Delete"} & set(requests), requests
    assert registration.instance.status is Status.UP


def test_a_hung_service_is_down_within_its_thresholds(make_client: MakeClient, truth: Truth, service: Service) -> None:
    registration = register(make_client(), service, check(timeout=0.2))
    wait_status(truth, registration, Status.UP)
    statuses: list[Status] = []  # at the beginning of each run that hangs

    def hang(_number: int) -> None:
        statuses.append(registration.instance.status)

    service.answer = hang
    wait_status(truth, registration, Status.DOWN)
    wait_until(lambda: len(statuses) > 2)
    assert statuses[:3] == [Status.UP, Status.UP, Status.DOWN]
    assert registration.health[0].message == "no answer within 0.2 s"


def test_a_check_never_overtakes_itself(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    running, most, runs = 0, 0, 0
    lock = threading.Lock()

    class Probe:
        def run(self, _target: object) -> checks.Outcome:
            nonlocal running, most, runs
            with lock:
                running, runs = running + 1, runs + 1
                most = max(most, running)
            threading.Event().wait(0.03)
            with lock:
                running -= 1
            return checks.Outcome(CheckResult.PASS, "")

        def close(self) -> None:
            """Nothing."""

    monkeypatch.setattr(TcpCheck, "probe", lambda _self: Probe())
    client = make_client()
    client.register("payments", 1, host="127.0.0.1", checks=[TcpCheck(interval=0.001)])
    wait_until(lambda: runs > 20)
    assert most == 1


def test_a_thousand_checks_need_few_threads(make_client: MakeClient, service: Service) -> None:
    client = make_client().wait_connected(LIMIT)
    before = threading.active_count()
    checkers = core_of(client).feature(Checkers)
    running, most = 0, 0
    lock, run = threading.Lock(), checkers.run

    def counted(probe: Any, target: Any) -> checks.Outcome:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        try:
            return run(probe, target)
        finally:
            with lock:
                running -= 1

    checkers.run = counted  # type: ignore[method-assign]
    registrations = client.register_many(
        {
            "service": "payments", "port": service.port, "host": "127.0.0.1", "id": f"{number}",
            "checks": [TcpCheck(interval=600.0, timeout=20.0)],
        }
        for number in range(1000)
    )  # fmt: skip
    for registration in registrations:
        wait_until(lambda registration=registration: registration.instance.status is Status.UP, 50.0)
    assert most <= 32
    assert threading.active_count() <= before + 32 + 1, "the threads of the checks, and the owner"


def test_all_checks_together_decide(make_client: MakeClient, truth: Truth, service: Service) -> None:
    registration = register(make_client(), service, check(), TcpCheck(**FAST), CommandCheck(["true"], **FAST))
    wait_status(truth, registration, Status.UP)
    assert [report.name for report in registration.health] == ["GET http/ready", "TCP", "true"]
    service.says(BROKEN)
    wait_status(truth, registration, Status.DOWN)
    assert [report.state for report in registration.health] == [
        CheckState.FAILING, CheckState.PASSING, CheckState.PASSING
    ]  # fmt: skip


def test_trouble_of_our_own_writes_nothing_and_is_told_once(
    make_client: MakeClient, service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_client()
    registration = register(client, service)
    wait_until(lambda: registration.instance.status is Status.UP)
    registration.wait_registered(LIMIT)
    refused = 0

    def refuse(*_: object) -> socket.socket:
        nonlocal refused
        refused += 1
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(checks, "open_connection", refuse)
    with counting(client) as requests:
        wait_until(lambda: refused > 20)
        wait_until(lambda: "can't check 'a' of 'payments' by GET http/ready" in caplog.text)
        wait_until(lambda: refused > 40)
    assert "Multi" not in requests
    (report,) = registration.health
    assert (report.state, report.result) == (CheckState.PASSING, CheckResult.UNKNOWN)
    assert registration.instance.status is Status.UP
    assert caplog.text.count("can't check") == 1


def test_beats(make_client: MakeClient, truth: Truth, service: Service) -> None:
    registration = register(make_client(), service, TtlCheck(0.5))
    assert stored(truth, registration).status is Status.STARTING
    registration.beat()
    wait_status(truth, registration, Status.UP)
    wait_status(truth, registration, Status.DOWN)
    assert registration.why == "the check TTL of 0.5 s fails: no beat for 0.5 s"
    registration.beat()
    wait_status(truth, registration, Status.UP)
    wait_status(truth, registration, Status.DOWN)
    registration.close()
    with pytest.raises(ClientClosed):
        registration.beat()


def test_a_beat_without_a_check_is_a_mistake(make_client: MakeClient, service: Service) -> None:
    with pytest.raises(InvalidInstance, match=r"waits for a beat: register it with checks=\[TtlCheck\(15\)\]"):
        register(make_client(), service).beat()


def test_what_a_user_sets_stands_until_up_is_set(make_client: MakeClient, truth: Truth, service: Service) -> None:
    registration = register(make_client(), service)
    wait_status(truth, registration, Status.UP)
    registration.set_status(Status.OUT_OF_SERVICE)
    service.says(BROKEN)
    wait_until(lambda: registration.health[0].state is CheckState.FAILING)
    registration.wait_registered(LIMIT)
    assert stored(truth, registration).status is Status.OUT_OF_SERVICE
    registration.set_status(Status.UP)
    wait_status(truth, registration, Status.DOWN)
    service.says(FINE)
    wait_status(truth, registration, Status.UP)


def test_an_override_of_an_operator_stands_above_the_checks(
    make_client: MakeClient, truth: Truth, service: Service
) -> None:
    registration = register(make_client(), service, deregister_after=0.1)
    wait_status(truth, registration, Status.UP)
    operator = make_client()
    operator.override("payments", "a", status=Status.OUT_OF_SERVICE)
    wait_until(lambda: registration.instance.override is not None)
    service.says(BROKEN)
    wait_until(lambda: registration.instance.own.status is Status.DOWN)
    asked = service.answers
    wait_until(lambda: service.answers > asked + 20)
    registration.wait_registered(LIMIT)
    assert stored(truth, registration).status is Status.OUT_OF_SERVICE
    operator.clear_override("payments", "a")
    wait_registration(registration, RegistrationState.DEREGISTERED)


def test_with_listening_the_checks_begin_once_the_port_accepts(make_client: MakeClient, truth: Truth) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        registration = make_client().register(
            "payments", port, host="127.0.0.1", id="a", ready="listening", checks=[TcpCheck(**FAST)]
        )
        registration.wait_registered(LIMIT)
        wait_until(lambda: "nothing listens at" in registration.why)
        assert registration.health[0].result is None
        assert stored(truth, registration).status is Status.STARTING
        server.listen(1024)
        wait_status(truth, registration, Status.UP)


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
            assert seen.items[-2:] == ["CHANGED", "DELETED"], "a goodbye, so nobody keeps it as a suspect"
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
