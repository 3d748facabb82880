"""Fixtures of our own tests; those for users are in zkdiscovery.pytest_plugin."""

from __future__ import annotations

import gc
import secrets
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from kazoo.client import KazooClient

from tests.support import LIMIT, Truth
from zkdiscovery import Client
from zkdiscovery.testing import FaultProxy, ZookeeperServer

MakeClient = Callable[..., Client]

# A busy machine is no defect: pytest limits the time of a whole test.
settings.register_profile("zkdiscovery", deadline=None)
settings.load_profile("zkdiscovery")

# Children inherit that a signal is ignored, SIGINT and SIGQUIT in the background of a script, SIGHUP under nohup: those
# that tests send it to would never end. They don't inherit a handler.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files whose tests may take longest, so that none of them runs alone at the end."""
    longest: dict[Path, float] = {}
    for item in items:
        mark = item.get_closest_marker("timeout")
        longest[item.path] = max(longest.get(item.path, 0.0), mark.args[0] if mark else 0.0)
    items.sort(key=lambda item: longest[item.path], reverse=True)


def pytest_collection_finish() -> None:
    """Keep what was collected out of the garbage collector's work.

    With the items of all tests there are a million objects, which each full collection would look at for half a second.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture
def namespace(zkdiscovery_server: ZookeeperServer) -> str:
    """A namespace that no other test uses."""
    return f"{zkdiscovery_server.namespace}/{secrets.token_hex(4)}"


@pytest.fixture
def truth(zkdiscovery_server: ZookeeperServer) -> Iterator[Truth]:
    """ZooKeeper behind the SDK's back."""
    with Truth(zkdiscovery_server.hosts) as view:
        yield view


@pytest.fixture
def make_client(
    zkdiscovery_server: ZookeeperServer, namespace: str, request: pytest.FixtureRequest
) -> Iterator[MakeClient]:
    """Makes clients of one namespace, 4 s session timeout unless told otherwise; closes them."""
    # A proxy is closed later, and healed before the clients close: each that has registered would wait for its limit.
    proxied = "zkdiscovery_proxy" in request.fixturenames
    proxy: FaultProxy | None = request.getfixturevalue("zkdiscovery_proxy") if proxied else None
    with ExitStack() as stack:

        def make(hosts: str | None = None, **options: Any) -> Client:
            options = {"namespace": namespace, "session_timeout": 4.0, **options}
            client = Client(hosts or zkdiscovery_server.hosts, **options)
            stack.callback(client.close, 3.0)
            return client

        yield make
        if proxy is not None:
            proxy.heal()


@pytest.fixture
def kazoo(zkdiscovery_server: ZookeeperServer) -> Iterator[KazooClient]:
    """A client of kazoo alone."""
    client = KazooClient(zkdiscovery_server.hosts)
    client.start(LIMIT)
    yield client
    client.stop()
    client.close()
