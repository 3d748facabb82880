"""Sessions on an ensemble of three: moved from member to member, never to older data."""

from __future__ import annotations

import time
from contextlib import ExitStack

from tests.faults.conftest import MakeEnsembleClient
from tests.faults.discovery.helpers import others
from tests.integration.discovery.helpers import Written
from tests.integration.session.helpers import heard
from tests.support import LIMIT, Recorder, Truth, core_of, wait_state, wait_view
from zkdiscovery import Client, State
from zkdiscovery.session import EPHEMERAL, Create
from zkdiscovery.testing import FaultProxy, ZookeeperEnsemble, zookeeper_ensemble
from zkdiscovery.testing.wire import RawSession


def soon() -> float:
    return time.monotonic() + LIMIT


def test_a_session_goes_from_member_to_member(
    ensemble: ZookeeperEnsemble, ensemble_namespace: str, make_ensemble_client: MakeEnsembleClient
) -> None:
    """One session all the while; its ephemeral stands, its watches are set again at each member."""
    client, proxies = make_ensemble_client(session_timeout=4.0)
    client.wait_connected(LIMIT)
    session = core_of(client).session
    identity = session.session_id
    servers = set()
    with Truth(ensemble.hosts) as truth:
        payments = Written(truth, ensemble_namespace)
        payments.add("a", weight=0.0)
        view = client.discover("payments")
        registration = client.register("payments", 8080, id="mine", host="127.0.0.1").wait_registered(LIMIT)
        for number in range(1, 4):
            serving = next(proxy for proxy in proxies if proxy.address == session.server)
            serving.refuse()
            wait_state(client, State.SUSPENDED)
            session.wait_connected(LIMIT)
            assert session.server != serving.address
            servers.add(session.server)
            payments.change("a", weight=float(number))
            wait_view(view, lambda snapshot, n=number: {i.id: i.weight for i in snapshot} == {"a": n, "mine": 1.0})
            serving.heal()
        node = truth.get(f"{payments.path}/mine")
    assert node is not None
    assert (node.stat.ephemeral_owner, node.stat.version) == (identity, 0), "written once"
    assert (session.session_id, session.epoch, session.generation) == (identity, 1, 4)
    assert registration.error is None
    assert len(servers) >= 2


def test_a_session_that_somebody_moves_away(
    ensemble: ZookeeperEnsemble, ensemble_namespace: str, make_ensemble_client: MakeEnsembleClient
) -> None:
    """SESSION_MOVED, as after a reconnect whose old connection lingers (ZOOKEEPER-710): a new connection, no expiry."""
    follower, other = others(ensemble)
    client, _ = make_ensemble_client(members=(follower,), session_timeout=10.0)
    client.wait_connected(LIMIT)
    session = core_of(client).session
    credentials = session.credentials
    assert credentials is not None
    with Truth(other.hosts) as truth:
        truth.create(f"{ensemble_namespace}/other")
    path = f"{ensemble_namespace}/mine"
    moved = RawSession(other.hosts, session_id=credentials.session_id, password=credentials.password)
    try:

        def create(deadline: float, _generation: int) -> None:
            session.call(Create(path, b"", session.leaf_acl, EPHEMERAL), deadline=deadline)

        session.retry(create, LIMIT)
        with Truth(other.hosts) as truth:
            assert truth.get(path) is not None
    finally:
        moved.disconnect()
    assert (session.session_id, session.epoch) == (credentials.session_id, 1)


def test_no_older_state_is_read_in_a_new_session() -> None:
    """kazoo's `_reset()` forgets the last transaction seen: a client moved to a follower that lags goes back in time.

    Shown where it can happen: with local sessions, which a follower grants without asking its leader.
    """
    config = {"localSessionsEnabled": "true", "localSessionsUpgradingEnabled": "true", "syncLimit": "40"}
    with ExitStack() as stack:
        ensemble = stack.enter_context(zookeeper_ensemble(source="local", config=config))
        (follower, other), leader = others(ensemble), ensemble.leader()
        to_follower, *to_others = (
            stack.enter_context(FaultProxy(member.hosts)) for member in (follower, leader, other)
        )
        to_follower.refuse()
        payments = Written(stack.enter_context(Truth(leader.hosts)), ensemble.namespace)
        payments.add("a", weight=1.0)
        hosts = ",".join(proxy.address for proxy in (to_follower, *to_others))
        client = stack.enter_context(Client(hosts, namespace=ensemble.namespace, session_timeout=10.0))
        view = client.discover("payments").wait_ready(LIMIT)
        session = core_of(client).session
        seen: Recorder[float] = Recorder()
        view.on_change(lambda change: seen(change.after.instances[0].weight))
        lagging = stack.enter_context(RawSession(follower.hosts))
        lagging.request(9, b"\0\0\0\1/")  # sync: it has what was written so far
        ensemble.isolate(follower)
        payments.change("a", weight=2.0)
        wait_view(view, lambda snapshot: snapshot.instances[0].weight == 2.0)
        states = heard(session)
        for proxy in to_others:
            proxy.refuse()
        wait_state(client, State.SUSPENDED)
        to_follower.heal()
        accepted = to_follower.accepted
        while to_follower.accepted < accepted + 3:  # it was tried, and tried again
            to_follower.wait_connections(1, LIMIT)
            to_follower.wait_connections(0, LIMIT)
        assert [change.state for change in states.items] == [State.SUSPENDED]
        assert view.snapshot.stale
        for other_session in (lagging, stack.enter_context(RawSession(follower.hosts))):
            assert b'"weight":"2' not in old(other_session, f"{payments.path}/a"), "it serves others all the while"
        for proxy in to_others:
            proxy.heal()
        payments.change("a", weight=3.0)
        wait_view(view, lambda snapshot: not snapshot.stale and snapshot.instances[0].weight == 3.0)
        ensemble.heal()
    assert seen.items == sorted(seen.items)


def old(session: RawSession, path: str) -> bytes:
    """The node's data as this member knows it."""
    text = path.encode()
    return session.request(4, len(text).to_bytes(4, "big") + text + b"\0", path)
