"""Engines of the tests. scripts/isolated.sh starts these tests, so that nothing of an engine is left on the machine."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.bridges.engines import Running
from tests.interop.docker.engine import Engine
from tests.interop.docker.images import build_python, build_web
from zkdiscovery import Client
from zkdiscovery.bridges.docker.place import MachineAddress
from zkdiscovery.bridges.docker.source import EngineSource, SwarmSource
from zkdiscovery.testing.ports import free_port

Follow = Callable[..., Running]


@pytest.fixture(scope="session", autouse=True)
def _isolated() -> None:
    if os.environ.get("ZKDISCOVERY_ISOLATED") != "1":
        pytest.exit("these tests start container engines: run `make interop-docker`, or scripts/isolated.sh", 1)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine with the images web:1 and web:2, hasty:1 and hasty:2, which end at once on SIGTERM, plain:1, which has
    no health check, and python:1."""
    with Engine(tmp_path_factory.mktemp("engine")) as engine:
        for version in ("1", "2"):
            build_web(engine, f"web:{version}", version=version)
            build_web(engine, f"hasty:{version}", version=version, last=0.0)
        build_web(engine, "plain:1", health=None)
        build_python(engine, "python:1")
        yield engine


@pytest.fixture(autouse=True)
def _clean(engine: Engine) -> Iterator[None]:
    """Leave to the next test no container, and no socket.

    The client library of Docker leaves a socket that can't connect to the garbage collector.
    """
    yield
    engine.remove_all()
    gc.collect()


@pytest.fixture(scope="module")
def swarm(engine: Engine) -> Engine:
    """The engine as the manager of a Swarm of its own."""
    engine.swarm_init(free_port())
    return engine


@pytest.fixture
def follow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Follow]:
    """Starts bridges of engines, or of the Swarms that they manage, and ends them after the test."""
    with ExitStack() as stack:

        def start(client: Client, host: str | Path, *, swarm: bool = False) -> Running:
            monkeypatch.setenv("DOCKER_HOST", str(host))
            address = MachineAddress(client.slot.current().session.known_addresses)
            source = SwarmSource(address) if swarm else EngineSource(address)
            running = stack.enter_context(Running(client, source))
            source.identity()  # it has found the engine before another one gets another DOCKER_HOST
            return running

        yield start
