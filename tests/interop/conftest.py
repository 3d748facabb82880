"""Java programs beside the SDK; `make interop` builds them and runs these tests. `make test` does neither."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.interop.programs import Application, Peer
from zkdiscovery.testing import ZookeeperServer


@pytest.fixture(scope="session")
def peer(zkdiscovery_server: ZookeeperServer) -> Iterator[Peer]:
    """Curator, and the classes that Spring Cloud Zookeeper puts above it."""
    with contextlib.closing(Peer(zkdiscovery_server.hosts)) as peer:
        yield peer


@pytest.fixture
def application(zkdiscovery_server: ZookeeperServer, namespace: str) -> Iterator[Application]:
    """A Spring Boot application that is registered in the test's namespace as `spring`, with metadata of its own."""
    options = {
        "spring.application.name": "spring",
        "spring.cloud.zookeeper.discovery.root": f"{namespace}/services",
        "spring.cloud.zookeeper.discovery.metadata.status": "green",
        "spring.cloud.zookeeper.discovery.metadata.version": "1.2",
        "spring.cloud.loadbalancer.cache.enabled": "false",
    }
    with contextlib.closing(Application(zkdiscovery_server.hosts, options)) as application:
        yield application
