"""What happens to many registrations for one cause is one line in the log, with their number and some names."""

from __future__ import annotations

import logging
import re

import pytest

from tests.conftest import MakeClient
from tests.integration.registration.helpers import HOST, lock_service, path_of, seen_to
from tests.support import LIMIT, Truth, wait_registration, wait_until
from zkdiscovery import AccessDenied, RegistrationConflict, RegistrationState
from zkdiscovery.registration import Options, readiness
from zkdiscovery.session import Create, Multi
from zkdiscovery.testing import FaultProxy

MANY = 300


def entries(service: str = "payments") -> list[Options]:
    return [{"service": service, "port": port, "host": HOST, "id": f"i{port}"} for port in range(1, MANY + 1)]


def lines(caplog: pytest.LogCaptureFixture, text: str) -> list[str]:
    """What was logged as a warning or worse."""
    messages = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    return [message for message in messages if text in message]


def test_closed_one_by_one_without_a_server(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_client(zkdiscovery_proxy.address)
    many = client.register_many(entries())
    for registration in many:
        registration.wait_registered(LIMIT)
    zkdiscovery_proxy.refuse()
    for registration in many:
        registration.close(timeout=0.0)
    client.close(0.5)
    (line,) = lines(caplog, "vanish with the session")
    assert f"{path_of(many[0])}, " in line
    assert line.endswith(f" and {MANY - 3} more")


def test_refused(make_client: MakeClient, truth: Truth, namespace: str, caplog: pytest.LogCaptureFixture) -> None:
    lock_service(truth, namespace, "locked")
    client = make_client()
    many = client.register_many(entries("locked"))
    for registration in many:
        with pytest.raises(AccessDenied):
            registration.wait_registered(LIMIT)
    seen_to(client, *many)
    (line,) = lines(caplog, "can't be kept as wanted")
    assert f" and {MANY - 3} more can't be kept" in line
    assert "the ACL forbids it" in line


def test_in_conflict(make_client: MakeClient, truth: Truth, namespace: str, caplog: pytest.LogCaptureFixture) -> None:
    service = f"{namespace}/services/payments"
    truth.create(service)
    acl = truth.session.leaf_acl
    truth.call(Multi([Create(f"{service}/i{port}", b"", acl) for port in range(1, MANY + 1)]))
    client = make_client()
    many = client.register_many([{**entry, "on_conflict": "refuse"} for entry in entries()])
    for registration in many:
        wait_registration(registration, RegistrationState.CONFLICT)
        assert isinstance(registration.error, RegistrationConflict)
        assert str(registration.error).startswith(f"{path_of(registration)} belongs to another owner")
    seen_to(client, *many)
    (line,) = lines(caplog, "belongs to another owner")
    assert f" and {MANY - 3} more: " in line


def test_registered(make_client: MakeClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "zkdiscovery")
    for registration in make_client().register_many(entries()):
        registration.wait_registered(LIMIT)
    wait_until(lambda: any("registered" in record.message for record in caplog.records))
    (record,) = [record for record in caplog.records if record.message.startswith("registered")]
    assert record.levelno == logging.INFO
    assert f"'i1' of 'payments' at {HOST}:1, " in record.message
    assert record.message.endswith(f" and {MANY - 3} more, first as UP")


def test_ports_on_which_nothing_listens(
    make_client: MakeClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "SILENT", 0.0)  # seconds
    made = make_client().register_many(
        [{**entry, "host": "127.0.0.1", "ready": "listening"} for entry in entries()[:5]],
    )
    wait_until(lambda: lines(caplog, "nothing has listened"))
    (line,) = lines(caplog, "nothing has listened")
    assert len(re.findall(r"127\.0\.0\.1:\d, the port of 'i\d' of 'payments'", line)) == 3  # whichever looked first
    assert " and 2 more: not ready, so nobody calls it. Start the server there, or register the port" in line
    assert made[0].why == "nothing listens at 127.0.0.1:1"


def test_nodes_that_are_left_out(
    make_client: MakeClient, truth: Truth, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    service = f"{namespace}/services/payments"
    truth.create(service)
    acl = truth.session.leaf_acl
    truth.call(Multi([Create(f"{service}/bad-{number}", b"nonsense", acl) for number in range(MANY)]))
    client = make_client()
    view = client.discover("payments").wait_ready(LIMIT, at_least=0)
    assert len(view.snapshot.rejected) == MANY
    assert len(lines(caplog, "left out")) == 1
    client.instances("payments", LIMIT)
    assert all(f" and {MANY - 3} more: " in line for line in lines(caplog, "left out"))
    assert len(lines(caplog, "left out")) == 2
