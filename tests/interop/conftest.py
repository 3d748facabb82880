"""Java programs beside the SDK; `make interop` builds them and runs these tests. `make test` does neither."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from tests.interop.programs import Application, Peer, Program, curators_locks, taker
from zkdiscovery.testing import ZookeeperServer

GetProgram = Callable[[str], Program]


@pytest.fixture(scope="session")
def peer(zkdiscovery_server: ZookeeperServer) -> Iterator[Peer]:
    """Curator, and the classes that Spring Cloud Zookeeper puts above it."""
    with contextlib.closing(Peer(zkdiscovery_server.hosts)) as peer:
        yield peer


@pytest.fixture(scope="session")
def program(zkdiscovery_server: ZookeeperServer) -> Iterator[GetProgram]:
    """Whoever takes locks, by name: "Curator", or one of `turns.TAKERS`. Each is started once."""
    started: dict[str, Program] = {}
    with contextlib.ExitStack() as stack:

        def get(who: str) -> Program:
            if who not in started:
                hosts = zkdiscovery_server.hosts
                made = curators_locks(hosts) if who == "Curator" else taker(who, hosts)
                started[who] = stack.enter_context(contextlib.closing(made))
            return started[who]

        yield get


@pytest.fixture
def application(zkdiscovery_server: ZookeeperServer, namespace: str) -> Iterator[Application]:
    """A Spring Boot application that is registered in the test's namespace as `spring`, with metadata of its own."""
    options = {
        "spring.application.name": "spring",
        "spring.cloud.zookeeper.connect-string": zkdiscovery_server.hosts,
        "spring.cloud.zookeeper.discovery.instance-host": "127.0.0.1",
        "spring.cloud.zookeeper.discovery.root": f"{namespace}/services",
        "spring.cloud.zookeeper.discovery.metadata.status": "green",
        "spring.cloud.zookeeper.discovery.metadata.version": "1.2",
        "spring.cloud.loadbalancer.cache.enabled": "false",
    }
    with contextlib.closing(Application(options)) as application:
        yield application
