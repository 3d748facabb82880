"""The right to read is withdrawn and given back: ZooKeeper tells neither by an event."""

from __future__ import annotations

import pytest

from tests.conftest import MakeClient
from tests.faults.discovery.helpers import live, quiesce
from tests.integration.discovery.helpers import Written, ids
from tests.integration.znodes.helpers import NO_READING, OPEN, SetAcl
from tests.support import LIMIT, Truth, core_of, wait_view
from zkdiscovery import NoInstanceAvailable
from zkdiscovery.testing import FaultProxy


def test_a_parent_that_can_not_be_listed_any_more(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy, payments: Written, truth: Truth
) -> None:
    """Curator: no permission. What is known serves on as stale, what fails says why, and it comes back by itself."""
    payments.add("a", "b")
    client = make_client(zkdiscovery_proxy.address)
    view = client.discover("payments").wait_ready(LIMIT, at_least=2)
    other = client.discover("other")
    truth.call(SetAcl(payments.path, NO_READING))
    payments.add("c")
    wait_view(view, lambda snapshot: ids(snapshot) == {"a", "b", "c"})  # the watch stands; only lists are refused
    zkdiscovery_proxy.drop()
    wait_view(other, lambda snapshot: snapshot.version > 2 and not snapshot.stale)
    quiesce(client)
    assert view.snapshot.stale
    assert {view.pick().id for _ in range(50)} == {"a", "b", "c"}
    for fail in (lambda: view.pick(exclude=["a", "b", "c"]), lambda: view.wait_ready(0.0, at_least=4)):
        with pytest.raises(NoInstanceAvailable, match=f"; not read for .* s: .*{payments.path}: the ACL forbids it"):
            fail()
    payments.remove("a")
    truth.call(SetAcl(payments.path, OPEN))
    wait_view(view, lambda snapshot: live(view) and ids(snapshot) == {"b", "c"})
    payments.add("d")
    wait_view(view, lambda snapshot: ids(snapshot) == {"b", "c", "d"})


def test_all_nodes_become_unreadable_at_once(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy, payments: Written, truth: Truth
) -> None:
    """An operator's slip with ACLs is no mass loss: nobody is a suspect, each is rejected with its reason."""
    payments.add("a", "b", "c", "d")
    view = make_client(zkdiscovery_proxy.address).discover("payments").wait_ready(LIMIT, at_least=4)
    for name in "abcd":
        truth.call(SetAcl(f"{payments.path}/{name}", NO_READING))
    zkdiscovery_proxy.drop()
    snapshot = wait_view(view, lambda snapshot: len(snapshot.rejected) == 4)
    assert (snapshot.instances, snapshot.suspects) == ((), ())
    assert all("the ACL forbids it" in reason for reason in snapshot.rejected.values())
    with pytest.raises(NoInstanceAvailable, match="4 rejected"):
        view.pick()
    for name in "abcd":
        truth.call(SetAcl(f"{payments.path}/{name}", OPEN))
        payments.change(name)
    wait_view(view, lambda snapshot: ids(snapshot) == set("abcd") and not snapshot.rejected)


def test_the_watch_is_refused(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy, payments: Written, caplog: pytest.LogCaptureFixture
) -> None:
    """kazoo #727: an error code that nobody knows kills kazoo's thread. Here it is an answer like any other."""
    payments.add("a")
    client = make_client(zkdiscovery_proxy.address).wait_connected(LIMIT)
    refused: list[int] = []

    def unknown(chunk: bytes) -> bytes:
        if len(refused) < 2 and len(chunk) >= 20 and int.from_bytes(chunk[4:8], "big", signed=True) > 0:
            refused.append(1)
            others = chunk[4 + int.from_bytes(chunk[:4], "big") :]  # the list's answer may have come with it
            return (16).to_bytes(4, "big") + chunk[4:16] + (-31337).to_bytes(4, "big", signed=True) + others
        return chunk

    zkdiscovery_proxy.alter("server_to_client", unknown)
    view = client.discover("payments").wait_ready(LIMIT)
    assert view.pick().id == "a"
    assert len(refused) == 2, "the watch, and the watch again"
    assert core_of(client).session.generation == 1, "no connection was lost"
    assert "the server answered with the unknown error code -31337" in caplog.text
