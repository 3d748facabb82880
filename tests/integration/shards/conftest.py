"""Fixtures of the tests of shards."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.aio.conftest import MakeAsync, make_async
from tests.integration.shards.helpers import NAME, Consuming
from tests.integration.shards.members import Group, group
from tests.support import wait_until
from zkdiscovery import Client
from zkdiscovery.testing import ZookeeperServer

__all__ = ["MakeAsync", "make_async"]

Consume = Callable[..., Consuming]


@pytest.fixture
def root(namespace: str) -> str:
    """Where the nodes of the shards "orders" are."""
    return f"{namespace}/shards/{NAME}"


@pytest.fixture
def consume() -> Iterator[Consume]:
    """Makes a client a member, on a thread; ends it after the test."""
    with ExitStack() as stack:

        def start(client: Client, count: int | None = 8, weight: float = 1.0) -> Consuming:
            return stack.enter_context(Consuming(client, count, weight))

        yield start


@pytest.fixture
def processes(zkdiscovery_server: ZookeeperServer, namespace: str, tmp_path: Path) -> Iterator[Group]:
    """Members that are processes, with 12 shards."""
    with group(zkdiscovery_server.hosts, namespace, 12, tmp_path) as members:
        yield members


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    wait_until(lambda: not [one for one in threading.enumerate() if one.name.startswith("zkdiscovery-shards")])
