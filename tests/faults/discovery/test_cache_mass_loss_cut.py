"""Instances whose sessions expire while the consumer can't see it."""

from __future__ import annotations

from contextlib import ExitStack

from tests.conftest import MakeClient
from tests.integration.discovery.helpers import CODEC, ids, make
from tests.support import LIMIT, Recorder, Truth, wait_state, wait_view
from zkdiscovery import Change, Guard, Settings, State
from zkdiscovery.testing import FaultProxy, ZookeeperServer
from zkdiscovery.testing.wire import RawSession


def test_four_of_five_expire_while_the_consumer_is_cut_off(
    make_client: MakeClient,
    zkdiscovery_proxy: FaultProxy,
    zkdiscovery_server: ZookeeperServer,
    truth: Truth,
    namespace: str,
) -> None:
    """Real sessions that end by their timeouts: suspects as designed, then let go, one that returns is no suspect."""
    path = f"{namespace}/services/payments"
    host = zkdiscovery_server.hosts.split(",")[0]
    truth.create(path)
    make_client().register("payments", 8080, id="alive", host="127.0.0.1").wait_registered(LIMIT)
    lost = ("l1", "l2", "l3", "l4")
    client = make_client(zkdiscovery_proxy.address, settings=Settings(guard=Guard(hold=1.5)))
    view = client.discover("payments").wait_ready(LIMIT)
    with ExitStack() as stack:
        for name in lost:
            owner = RawSession(host, session_timeout=1.5)
            stack.callback(owner.disconnect)
            owner.create(f"{path}/{name}", CODEC.encode(make("payments", name)), ephemeral=True)
        view.wait_ready(LIMIT, at_least=5)
        changes: Recorder[Change] = Recorder()
        view.on_change(changes)
        zkdiscovery_proxy.refuse()
        wait_state(client, State.SUSPENDED)
    for name in lost:
        truth.wait(f"{path}/{name}", lambda node: node is None)
    assert ids(view.instances) == {"alive", *lost}, "what is known serves on"
    zkdiscovery_proxy.heal()
    snapshot = wait_view(view, lambda snapshot: not snapshot.stale)
    assert (ids(snapshot), ids(snapshot.suspects)) == ({"alive"}, set(lost))
    assert {view.pick().id for _ in range(50)} == {"alive"}
    truth.create(f"{path}/l1", CODEC.encode(make("payments", "l1")))
    wait_view(view, lambda snapshot: ids(snapshot) == {"alive", "l1"} and "l1" not in ids(snapshot.suspects))
    wait_view(view, lambda snapshot: not snapshot.suspects)
    assert ids(view.instances) == {"alive", "l1"}
    changes.wait(lambda seen: seen[-1].after is view.snapshot)
    removed = [instance.id for change in changes.items for instance in change.removed]
    assert sorted(removed) == sorted(lost), "told once, when they became suspects"
