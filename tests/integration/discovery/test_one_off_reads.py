"""Reads without a watch."""

from __future__ import annotations

import time

import pytest

from tests.conftest import MakeClient
from tests.integration.discovery.helpers import Written, ids
from tests.integration.znodes.helpers import NO_READING, SetAcl
from tests.support import LIMIT, Truth, counting
from zkdiscovery import AccessDenied, InvalidName, NotConnected, Status
from zkdiscovery.session import Node
from zkdiscovery.session.requests import MultiRead
from zkdiscovery.testing import FaultProxy


def test_services_and_instances(make_client: MakeClient, payments: Written, truth: Truth, namespace: str) -> None:
    payments.add("b", "a", status=Status.DOWN)
    Written(truth, namespace, "catalogue").add("c")
    client = make_client().wait_connected(LIMIT)
    with counting(client) as requests:
        assert client.service_names() == ["catalogue", "payments"]
        assert [(instance.id, instance.status) for instance in client.instances("payments")] == [
            ("a", Status.DOWN),
            ("b", Status.DOWN),
        ]
    assert requests == {"GetChildren": 2, "MultiRead": 1}


def test_what_is_missing_is_empty(make_client: MakeClient) -> None:
    client = make_client()
    assert client.service_names() == []
    assert client.instances("payments") == []


def test_what_can_not_be_used_is_left_out_and_logged(
    make_client: MakeClient, payments: Written, truth: Truth, caplog: pytest.LogCaptureFixture
) -> None:
    payments.add("good", "secret")
    truth.create(f"{payments.path}/bad", b"nonsense")
    truth.call(SetAcl(f"{payments.path}/secret", NO_READING))
    assert ids(make_client().instances("payments")) == {"good"}
    for name, reason in (("bad", "no instance"), ("secret", "the ACL forbids it")):
        assert any(
            f"left out '{payments.path}/{name}'" in record.message and reason in record.message
            for record in caplog.records
        )


def test_a_node_that_the_server_refuses_for_a_reason_of_its_own_harms_no_other(
    make_client: MakeClient, payments: Written, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    payments.add("good", "bad")
    deserialize = MultiRead.deserialize

    def refuse(self: MultiRead, buffer: bytes, offset: int) -> list[Node | int]:
        results = deserialize(self, buffer, offset)
        return [-31337 if path.endswith("/bad") else result for path, result in zip(self.paths, results, strict=True)]

    monkeypatch.setattr(MultiRead, "deserialize", refuse)
    client = make_client()
    assert ids(client.instances("payments")) == {"good"}
    assert (
        f"left out '{payments.path}/bad': read {payments.path}/bad: the server answered with the unknown" in caplog.text
    )
    assert ids(client.discover("payments").wait_ready(LIMIT).instances) == {"good"}


def test_without_rights(make_client: MakeClient, payments: Written, truth: Truth) -> None:
    payments.add("a")
    truth.call(SetAcl(payments.path, NO_READING))
    with pytest.raises(AccessDenied, match=f"list the children of {payments.path}: the ACL forbids it"):
        make_client().instances("payments")


@pytest.mark.parametrize("name", ["", "a/b", ".."])
def test_names(make_client: MakeClient, name: str) -> None:
    with pytest.raises(InvalidName):
        make_client().instances(name)


def test_without_a_server_they_end_at_their_limit(make_client: MakeClient, zkdiscovery_proxy: FaultProxy) -> None:
    zkdiscovery_proxy.refuse()
    client = make_client(zkdiscovery_proxy.address)
    start = time.monotonic()
    with pytest.raises(NotConnected):
        client.service_names(timeout=0.2)
    with pytest.raises(NotConnected):
        client.instances("payments", timeout=0.2)
    assert 0.4 <= time.monotonic() - start < 1.5


def test_over_a_cut(make_client: MakeClient, zkdiscovery_proxy: FaultProxy, payments: Written) -> None:
    payments.add("a")
    client = make_client(zkdiscovery_proxy.address).wait_connected(LIMIT)
    zkdiscovery_proxy.drop()
    assert ids(client.instances("payments", timeout=LIMIT)) == {"a"}
    assert client.service_names(timeout=LIMIT) == ["payments"]
