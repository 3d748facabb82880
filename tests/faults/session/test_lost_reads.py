"""Reads whose request or answer is lost on the way: repeated within their time limit, unseen by who asked."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.conftest import MakeClient
from tests.integration.discovery.helpers import Written, ids
from tests.integration.session.conftest import MakeSession
from tests.support import LIMIT, core_of
from zkdiscovery import Client
from zkdiscovery.errors import NotConnected
from zkdiscovery.session import GetChildren, GetData, Sync
from zkdiscovery.session.requests import Request
from zkdiscovery.testing import FaultProxy

both = pytest.mark.parametrize("lost", ["request", "reply"])


@both
@pytest.mark.parametrize(
    ("kind", "request_"), [("sync", Sync("/")), ("get_data", GetData("/")), ("get_children", GetChildren("/"))]
)
def test_a_read_is_repeated(
    make_session: MakeSession, zkdiscovery_proxy: FaultProxy, kind: str, request_: Request, lost: str
) -> None:
    """Sent once it says what became of it; as a read it is asked again."""
    session = make_session(zkdiscovery_proxy.address)
    lose = zkdiscovery_proxy.lose_request if lost == "request" else zkdiscovery_proxy.lose_reply
    loss = lose(kind)
    with pytest.raises(NotConnected) as raised:
        session.call(request_, deadline=time.monotonic() + LIMIT)
    assert loss.wait(LIMIT)
    assert raised.value.outcome_unknown, "whether it arrived, nobody can tell"
    session.wait_connected(LIMIT)
    loss = lose(kind)
    session.read(request_, timeout=LIMIT)
    assert loss.wait(0.0)
    assert (session.epoch, session.generation) == (1, 3)


@both
@pytest.mark.parametrize("kind", ["get_children", "multi_read"])
def test_a_one_off_read_of_instances(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy, payments: Written, kind: str, lost: str
) -> None:
    """It has two steps, and begins anew if the second one is lost."""
    payments.add("a", "b")
    client = make_client(zkdiscovery_proxy.address).wait_connected(LIMIT)
    lose: Callable[..., object] = zkdiscovery_proxy.lose_request if lost == "request" else zkdiscovery_proxy.lose_reply
    lose(kind)
    assert ids(client.instances("payments", timeout=LIMIT)) == {"a", "b"}
    assert core_of(client).session.generation == 2


@pytest.mark.parametrize("kind", ["connect", "ping", "multi_read"])
def test_a_handshake_is_begun_anew(make_client: MakeClient, zkdiscovery_proxy: FaultProxy, kind: str) -> None:
    """Its parts: the greeting, the bulk read that shows the server's age; then the pings of an idle connection."""
    client: Client = make_client(zkdiscovery_proxy.address, session_timeout=1.0)
    loss = zkdiscovery_proxy.lose_reply(kind)
    client.start()
    assert loss.wait(LIMIT)
    client.wait_connected(LIMIT)
    assert client.instances("payments", timeout=LIMIT) == []
