"""Health checks of instances in ZooKeeper: when the status is written, and when it is not."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest

from tests.conftest import MakeClient
from tests.integration.registration.checked import BROKEN, FAST, FINE, Service, check, register, wait_status
from tests.integration.registration.helpers import stored
from tests.support import LIMIT, Truth, core_of, counting, wait_registration, wait_until
from zkdiscovery import (
    CheckResult,
    CheckState,
    ClientClosed,
    CommandCheck,
    InvalidInstance,
    RegistrationState,
    Status,
    TcpCheck,
    TtlCheck,
)
from zkdiscovery.registration import Checkers, checks
from zkdiscovery.registration.instance_health import InstanceHealth


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


def test_a_beat_that_meets_its_deadline_does_not_end_the_check(
    make_client: MakeClient, truth: Truth, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deadline passes while the beat is on its way, so the look and the beat come in either order."""
    registration = register(make_client(), service, TtlCheck(0.3))
    registration.beat()
    wait_status(truth, registration, Status.UP)
    note, main = InstanceHealth.note, threading.current_thread()

    def slow(health: InstanceHealth, *given: Any) -> None:
        if threading.current_thread() is main:
            wait_until(lambda: registration.health[0].state is CheckState.FAILING)
        note(health, *given)

    monkeypatch.setattr(InstanceHealth, "note", slow)
    registration.beat()
    wait_status(truth, registration, Status.UP)
    wait_status(truth, registration, Status.DOWN)


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
