"""The end of a session: said to the server, within its time limit, and no thread left."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import pytest

from tests.integration.session.conftest import MakeSession
from tests.integration.session.helpers import heard
from tests.support import LIMIT, Truth
from zkdiscovery.errors import ClientClosed, SessionExpired
from zkdiscovery.session import EPHEMERAL, Create, GetData, State
from zkdiscovery.testing import FaultProxy, ZookeeperServer
from zkdiscovery.testing.wire import RawSession


def test_closing_ends_the_session_at_the_server(make_session: MakeSession, truth: Truth, namespace: str) -> None:
    session = make_session()
    path = f"{namespace}/mine"
    truth.create(f"{namespace}/other")
    session.call(Create(path, b"", session.leaf_acl, EPHEMERAL), deadline=time.monotonic() + LIMIT)
    assert truth.get(path) is not None
    assert session.close(LIMIT)
    assert truth.get(path) is None
    assert session.state is State.CLOSED


def test_closing_leaves_no_thread(make_session: MakeSession) -> None:
    before = set(threading.enumerate())
    session = make_session()
    session.maintenance.schedule("task", lambda: None)
    names = {thread.name for thread in set(threading.enumerate()) - before}
    assert names == {"zkdiscovery-connection", "zkdiscovery-maintenance"}
    assert session.close(LIMIT)
    assert set(threading.enumerate()) <= before


def test_closing_while_cut_off(make_session: MakeSession, zkdiscovery_proxy: FaultProxy) -> None:
    session = make_session(zkdiscovery_proxy.address)
    changes = heard(session)
    zkdiscovery_proxy.refuse()
    changes.wait(bool)
    start = time.monotonic()
    assert session.close(2.0)
    assert time.monotonic() - start < 2.5
    assert session.state is State.CLOSED


def test_closing_while_a_server_does_not_answer(make_session: MakeSession, zkdiscovery_proxy: FaultProxy) -> None:
    session = make_session(zkdiscovery_proxy.address, session_timeout=10.0)
    zkdiscovery_proxy.pause()
    start = time.monotonic()
    assert session.close(1.0), "the thread that waits for an answer is woken"
    assert time.monotonic() - start < 2.0


def test_closing_before_anything_answered(make_session: MakeSession, zkdiscovery_proxy: FaultProxy) -> None:
    """There is no server to tell, so nothing is waited for."""
    zkdiscovery_proxy.pause()
    session = make_session(zkdiscovery_proxy.address, connect=False, connect_timeout=20.0)
    session.start()
    zkdiscovery_proxy.wait_connections(1)
    start = time.monotonic()
    assert session.close(10.0)
    assert time.monotonic() - start < 2.0


def test_closing_in_the_moment_of_connecting(make_session: MakeSession, zkdiscovery_server: ZookeeperServer) -> None:
    """close() comes after the handshake and before the channel is open: the session must still end at the server."""
    session = make_session(connect=False)
    closed: list[bool] = []
    connecting = threading.Event()
    original = session.links.link_connected
    credentials: Any = None

    def late(link: Any, found: Any, *args: Any) -> None:
        nonlocal credentials
        credentials = found
        connecting.set()
        assert link._kazoo.stopped.wait(LIMIT)
        original(link, found, *args)

    session.links.link_connected = late  # type: ignore[method-assign]
    closer = threading.Thread(target=lambda: closed.append(session.close(LIMIT)))
    session.start()
    assert connecting.wait(LIMIT)
    closer.start()
    closer.join(LIMIT)
    assert closed == [True]
    with pytest.raises(SessionExpired):
        RawSession(
            zkdiscovery_server.hosts.split(",")[0], session_id=credentials.session_id, password=credentials.password
        )


def test_closing_twice_and_before_the_start(make_session: MakeSession) -> None:
    session = make_session(connect=False)
    assert session.close(1.0)
    assert session.close(1.0)
    session.start()
    assert session.state is State.CLOSED
    future = session.submit(GetData("/"), deadline=time.monotonic() + 1.0)
    assert isinstance(future.exception(0), ClientClosed)


def test_closing_logs_no_loss_of_contact(make_session: MakeSession, caplog: pytest.LogCaptureFixture) -> None:
    session = make_session()
    assert session.close(LIMIT)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
