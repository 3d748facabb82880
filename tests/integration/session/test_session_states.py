"""States, epochs and generations, through everything that can happen to a connection."""

from __future__ import annotations

import struct
import time
from typing import Any

import pytest

from tests.integration.session.conftest import MakeSession
from tests.integration.session.helpers import FullBacklog, expire, heard
from tests.support import LIMIT, Truth
from zkdiscovery.errors import ClientClosed, NotConnected, UnsupportedServer
from zkdiscovery.session import EPHEMERAL, Create, State, StateChange, Sync
from zkdiscovery.session.transport.connection import Connection
from zkdiscovery.testing import FaultProxy, ZookeeperServer


def test_states_epochs_and_generations(
    make_session: MakeSession, zkdiscovery_proxy: FaultProxy, zkdiscovery_server: ZookeeperServer
) -> None:
    session = make_session(zkdiscovery_proxy.address, connect=False)
    changes = heard(session)
    assert (session.state, session.epoch, session.generation) == (State.NEW, 0, 0)
    session.start()
    session.wait_connected(LIMIT)
    zkdiscovery_proxy.drop()
    changes.wait(lambda seen: len(seen) == 3)
    expire(session, zkdiscovery_server)
    changes.wait(lambda seen: len(seen) == 6)
    assert session.close(LIMIT)
    assert changes.items == [
        StateChange(State.CONNECTED, State.NEW, 1, 1),
        StateChange(State.SUSPENDED, State.CONNECTED, 1, 1),
        StateChange(State.CONNECTED, State.SUSPENDED, 1, 2),
        StateChange(State.SUSPENDED, State.CONNECTED, 1, 2),
        StateChange(State.EXPIRED, State.SUSPENDED, 1, 2),
        StateChange(State.CONNECTED, State.EXPIRED, 2, 3),
        StateChange(State.CLOSED, State.CONNECTED, 2, 3),
    ]
    with pytest.raises(ClientClosed):
        session.wait_connected(1.0)


def test_no_server_at_start_then_it_comes_up(make_session: MakeSession, own_server: ZookeeperServer) -> None:
    own_server.stop()
    try:
        session = make_session(own_server.hosts, connect=False)
        session.start()
        with pytest.raises(NotConnected) as raised:
            session.wait_connected(0.5)
        for part in (f"no connection to ZooKeeper at {own_server.hosts}", "within 0.5 s", "Connection refused"):
            assert part in str(raised.value)
        assert session.state is State.NEW
    finally:
        own_server.restart()
    session.wait_connected(LIMIT)
    assert (session.epoch, session.generation) == (1, 1)


def test_no_address_at_start(make_session: MakeSession) -> None:
    session = make_session("nobody.invalid:2181", connect=False)
    session.start()
    with pytest.raises(NotConnected, match=r"within 0\.3 s"):
        session.wait_connected(0.3)


def test_a_first_host_that_does_not_answer_costs_a_second(
    make_session: MakeSession,
    zkdiscovery_proxy: FaultProxy,
    zkdiscovery_server: ZookeeperServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("random.shuffle", lambda hosts: None)
    zkdiscovery_proxy.blackhole()
    real = zkdiscovery_server.hosts.split(",")[0]
    session = make_session(f"{zkdiscovery_proxy.address},{real}", connect=False, session_timeout=10.0)
    start = time.monotonic()
    session.start()
    session.wait_connected(LIMIT)
    assert zkdiscovery_proxy.accepted == 1
    assert session.server == real
    assert 0.9 < time.monotonic() - start < 2.5


def test_a_host_that_hangs_before_it_accepts_costs_a_second(
    make_session: MakeSession, zkdiscovery_server: ZookeeperServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind a firewall that swallows: connect() itself gets no answer."""
    monkeypatch.setattr("random.shuffle", lambda hosts: None)
    with FullBacklog() as hung:
        real = zkdiscovery_server.hosts.split(",")[0]
        session = make_session(f"{hung.address},{real}", connect=False, session_timeout=10.0)
        start = time.monotonic()
        session.start()
        session.wait_connected(LIMIT)
        assert 0.9 < time.monotonic() - start < 2.5


def test_a_session_that_expired_while_cut_off(
    make_session: MakeSession, zkdiscovery_proxy: FaultProxy, zkdiscovery_server: ZookeeperServer
) -> None:
    session = make_session(zkdiscovery_proxy.address)
    changes = heard(session)
    zkdiscovery_proxy.refuse()
    changes.wait(lambda seen: len(seen) == 1)
    expire(session, zkdiscovery_server)
    assert (session.state, session.epoch) == (State.SUSPENDED, 1)
    zkdiscovery_proxy.heal()
    changes.wait(lambda seen: len(seen) == 3)
    assert [change.state for change in changes.items] == [State.SUSPENDED, State.EXPIRED, State.CONNECTED]
    assert session.epoch == 2


def test_an_answer_that_makes_no_sense_builds_the_connection_anew(
    make_session: MakeSession, zkdiscovery_proxy: FaultProxy
) -> None:
    """kazoo's thread dies of it, and the session goes on over a new one."""
    session = make_session(zkdiscovery_proxy.address)
    changes = heard(session)
    identity = session.session_id
    zkdiscovery_proxy.alter("server_to_client", lambda _: struct.pack(">i", 4) + bytes(4))
    pending = session.submit(Sync("/"), deadline=time.monotonic() + LIMIT)
    error = pending.exception(LIMIT)
    assert isinstance(error, NotConnected)
    assert error.outcome_unknown
    zkdiscovery_proxy.heal()
    changes.wait(lambda seen: bool(seen) and seen[-1].state is State.CONNECTED)
    assert (session.session_id, session.epoch, session.generation) == (identity, 1, 2)
    session.call(Sync("/"), deadline=time.monotonic() + LIMIT)


def test_a_thread_that_dies_before_the_first_connection_is_replaced(
    make_session: MakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaths = []

    def die(connection: Connection, _: object) -> Any:
        deaths.append(connection)
        monkeypatch.undo()
        raise RuntimeError("as if a system call failed in a new way")

    monkeypatch.setattr(Connection, "_connect_loop", die)
    session = make_session()
    assert (len(deaths), session.epoch) == (1, 1)


class Handshakes:
    """Reads the first message of each connection that passes a proxy."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.last_zxids: list[int] = []
        self.alone: list[bool] = []  # nothing was sent along with it
        proxy.alter("client_to_server", self._note)

    def _note(self, chunk: bytes) -> bytes:
        length, protocol, zxid = struct.unpack_from(">iiq", chunk + bytes(16))
        if length > 40 and protocol == 0:  # requests have their number, from 1, in this place
            self.last_zxids.append(zxid)
            self.alone.append(len(chunk) == 4 + length)
        return chunk


def test_the_highest_transaction_seen_goes_into_the_next_session(
    make_session: MakeSession,
    zkdiscovery_proxy: FaultProxy,
    zkdiscovery_server: ZookeeperServer,
    truth: Truth,
    namespace: str,
) -> None:
    """So that a server that lags is not read: after an expiry, too, where kazoo forgets it."""
    handshakes = Handshakes(zkdiscovery_proxy)
    session = make_session(zkdiscovery_proxy.address)
    changes = heard(session)
    truth.create(f"{namespace}/other")
    created = session.call(
        Create(f"{namespace}/mine", b"", session.leaf_acl, EPHEMERAL), deadline=time.monotonic() + LIMIT
    )
    expire(session, zkdiscovery_server)
    changes.wait(lambda seen: bool(seen) and seen[-1].epoch == 2 and seen[-1].state is State.CONNECTED)
    first, *others = handshakes.last_zxids
    assert first == 0
    assert len(others) == 2, "one by the old session, which has expired, and one by the new"
    assert min(others) >= created.czxid


def test_nothing_is_sent_along_with_the_handshake_of_a_known_session(
    make_session: MakeSession, zkdiscovery_proxy: FaultProxy, zkdiscovery_server: ZookeeperServer
) -> None:
    """A server that says that it has expired closes: with something unread it would reset, and could take that back."""
    handshakes = Handshakes(zkdiscovery_proxy)
    session = make_session(zkdiscovery_proxy.address)
    changes = heard(session)
    zkdiscovery_proxy.drop()
    changes.wait(lambda seen: bool(seen) and seen[-1].generation == 2)
    expire(session, zkdiscovery_server)
    changes.wait(lambda seen: seen[-1].epoch == 2 and seen[-1].state is State.CONNECTED)
    assert handshakes.alone == [False, True, True, False], "new, known, expired, new"


def test_lost_data_is_reported_and_overcome(
    make_session: MakeSession, own_server: ZookeeperServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A server with less data than was seen refuses its clients; kazoo would try for ever."""
    session = make_session(own_server.hosts, session_timeout=1.0)
    for number in range(20):
        session.call(Create(f"/lost-{number}", b"", session.leaf_acl), deadline=time.monotonic() + LIMIT)
    before, epoch = session.highest_zxid, session.epoch
    changes = heard(session)
    own_server.restart(wipe=True)
    changes.wait(lambda seen: bool(seen) and seen[-1].state is State.CONNECTED and session.epoch > epoch)
    assert session.highest_zxid < before
    assert [record.levelname for record in caplog.records if "data is lost" in record.message] == ["ERROR"]


def test_a_restarted_server_is_no_loss_of_data(
    make_session: MakeSession, own_server: ZookeeperServer, caplog: pytest.LogCaptureFixture
) -> None:
    session = make_session(own_server.hosts, session_timeout=1.0)
    changes = heard(session)
    own_server.restart()
    changes.wait(lambda seen: bool(seen) and seen[-1].state is State.CONNECTED)
    assert "data is lost" not in caplog.text


class OldServer:
    """Puts the answer of a server before 3.6 in the place of the answer to the bulk read that it does not know."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.answered = 0
        self._proxy = proxy
        proxy.alter("server_to_client", self._answer)

    def _answer(self, chunk: bytes) -> bytes:
        length, number, zxid = struct.unpack_from(">iiq", chunk + bytes(16))
        if number == 0 and len(chunk) > 4 + length:  # that of the handshake, and the other one with it
            return chunk[: 4 + length] + self._answer(chunk[4 + length :])
        if number != 1:
            return chunk
        self.answered += 1
        return struct.pack(">iiqi", 16, 1, zxid, -6)


def test_a_server_that_is_too_old(
    make_session: MakeSession, zkdiscovery_proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    old = OldServer(zkdiscovery_proxy)
    session = make_session(zkdiscovery_proxy.address, connect=False)
    session.start()
    start = time.monotonic()
    with pytest.raises(UnsupportedServer, match=f"{zkdiscovery_proxy.address} is older than 3.6; upgrade it") as raised:
        session.wait_connected(LIMIT)
    assert time.monotonic() - start < LIMIT / 2, "said at once, not at the time limit"
    assert raised.value.server == zkdiscovery_proxy.address
    assert session.state is State.NEW
    zkdiscovery_proxy.wait_connections(0)
    zkdiscovery_proxy.wait_connections(1)  # another server of an ensemble may be newer: it goes on trying
    assert sum("older than 3.6" in record.message for record in caplog.records if record.levelname == "ERROR") == 1
    assert old.answered >= 1
    zkdiscovery_proxy.heal()
    changes = heard(session)
    if session.state is not State.CONNECTED:
        changes.wait(bool)
    session.wait_connected(LIMIT)
    assert session.failure is None
