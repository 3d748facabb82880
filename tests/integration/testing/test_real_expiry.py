"""Real session expiry, on a real server."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from zkdiscovery.errors import SessionExpired
from zkdiscovery.testing import FaultProxy, ZookeeperServer, expire_session
from zkdiscovery.testing.wire import RawSession

if TYPE_CHECKING:
    from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

pytestmark = [pytest.mark.server, pytest.mark.container]


@pytest.fixture
def path(zkdiscovery_server: ZookeeperServer) -> str:
    """For an ephemeral node; beside the namespace, for its parent must be there."""
    return f"{zkdiscovery_server.namespace}-ephemeral"


@pytest.fixture
def observer(zkdiscovery_server: ZookeeperServer) -> Iterator[RawSession]:
    with RawSession(zkdiscovery_server.hosts) as session:
        yield session


def holder(session: RawSession, server: str) -> Any:
    """What `expire_session` asks of a client."""
    credentials = SimpleNamespace(password=session.password)
    its = SimpleNamespace(session_id=session.session_id, server=server, credentials=credentials)
    return SimpleNamespace(slot=SimpleNamespace(current=lambda: SimpleNamespace(session=its)))


def test_the_ephemerals_are_gone_and_the_session_is_told(
    zkdiscovery_server: ZookeeperServer, observer: RawSession, path: str
) -> None:
    session = RawSession(zkdiscovery_server.hosts)
    session.create(path, ephemeral=True)
    expire_session(session.session_id, session.password, zkdiscovery_server.hosts)
    assert not observer.exists(path)
    with pytest.raises(ConnectionError):
        session.exists(path)
    session.disconnect()
    with pytest.raises(SessionExpired, match=f"0x{session.session_id:x}"):
        RawSession(zkdiscovery_server.hosts, session_id=session.session_id, password=session.password)


def test_by_whatever_has_a_session(zkdiscovery_server: ZookeeperServer, observer: RawSession, path: str) -> None:
    session = RawSession(zkdiscovery_server.hosts)
    session.create(path, ephemeral=True)
    session.disconnect()
    expire_session(holder(session, zkdiscovery_server.hosts))
    assert not observer.exists(path)


def test_a_session_that_is_over_already(zkdiscovery_server: ZookeeperServer) -> None:
    session = RawSession(zkdiscovery_server.hosts)
    session.close()
    with pytest.raises(SessionExpired):
        expire_session(holder(session, zkdiscovery_server.hosts))


def test_a_wrong_password_ends_nothing(zkdiscovery_server: ZookeeperServer) -> None:
    session = RawSession(zkdiscovery_server.hosts)
    with pytest.raises(SessionExpired):
        expire_session(session.session_id, bytes(16), zkdiscovery_server.hosts)
    session.disconnect()  # the server has closed the connection, but not the session
    with RawSession(zkdiscovery_server.hosts, session_id=session.session_id, password=session.password) as continued:
        assert continued.session_id == session.session_id


@pytest.mark.parametrize("lost", [1, 2])
def test_an_answer_is_lost(zkdiscovery_server: ZookeeperServer, observer: RawSession, path: str, lost: int) -> None:
    """The session may have ended or not; in both cases it is gone afterwards, and that is no error."""
    session = RawSession(zkdiscovery_server.hosts)
    session.create(path, ephemeral=True)
    session.disconnect()
    answers = itertools.count(1)

    def pass_on(chunk: bytes) -> bytes:
        if next(answers) == lost:
            raise ConnectionError("this answer is lost")
        return chunk

    with FaultProxy(zkdiscovery_server.hosts) as proxy:
        proxy.alter("server_to_client", pass_on)
        expire_session(holder(session, proxy.address))
    assert not observer.exists(path)
