"""Fixtures of the tests of bridges."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.integration.bridges.engines import Engine, Running
from tests.support import wait_until
from zkdiscovery import Client

StartBridge = Callable[..., Running]


@pytest.fixture
def start_bridge() -> Iterator[StartBridge]:
    """Starts bridges, and ends them after the test."""
    with ExitStack() as stack:

        def start(client: Client, engine: Engine) -> Running:
            return stack.enter_context(Running(client, engine.bridged()))

        yield start


@pytest.fixture(params=[False, True], ids=["engine", "cluster"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """One engine, and one cluster."""
    return Engine(clustered=request.param)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    wait_until(lambda: not [one for one in threading.enumerate() if one.name == "bridge of the test"])
