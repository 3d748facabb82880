"""`base_path`: services where other software keeps them, and everything else below the namespace."""

from __future__ import annotations

from tests.conftest import MakeClient
from tests.support import LIMIT, Truth, wait_view
from zkdiscovery import Status


def test_services_are_there_and_elections_stay(make_client: MakeClient, truth: Truth, namespace: str) -> None:
    base = f"{namespace}-discovery"
    owner = make_client(base_path=base)
    other = make_client(base_path=f"{base}/", namespace=f"{namespace}-other")  # shares services, and nothing else
    view = other.discover("payments")
    registration = owner.register("payments", 8080, id="a").wait_registered(LIMIT)
    wait_view(view, lambda snapshot: [instance.id for instance in snapshot] == ["a"])
    assert truth.children(f"{base}/payments") == ["a"]
    assert truth.get(f"{namespace}/services") is None
    assert other.service_names() == ["payments"]
    assert [instance.id for instance in other.instances("payments")] == ["a"]
    other.override("payments", "a", status="OUT_OF_SERVICE")
    wait_view(view, lambda snapshot: [instance.status for instance in snapshot] == [Status.OUT_OF_SERVICE])
    with owner.election("nightly").campaign(timeout=LIMIT):
        assert owner.election_names() == ["nightly"]
        assert other.election_names() == []
        assert len(truth.children(f"{namespace}/elections/nightly")) == 1
    registration.close()
    wait_view(view, lambda snapshot: len(snapshot) == 0)
    assert not other.remove("payments", "a")
