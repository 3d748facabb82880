"""The pytest plugin: a real ZooKeeper, an ensemble, a client, a fault proxy and session expiry as fixtures.

Loaded by pytest before a coverage tool may have started, so it imports nothing but pytest until a fixture is used.
With pytest-xdist each worker has servers of its own.
"""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from zkdiscovery.client import Client
    from zkdiscovery.testing import FaultProxy, ZookeeperEnsemble, ZookeeperServer

_Servers = TypeVar("_Servers")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that choose where the server comes from, and its version."""
    group = parser.getgroup("zkdiscovery")
    group.addoption(
        "--zkdiscovery-source",
        default="auto",
        choices=["auto", "hosts", "container", "local"],
        help="where the ZooKeeper of the zkdiscovery_* fixtures comes from: the servers of ZKDISCOVERY_TEST_HOSTS,"
        " a container, a local installation; auto (the default) tries them in this order",
    )
    group.addoption(
        "--zkdiscovery-version",
        help="the version of that ZooKeeper, such as 3.9.5, or 3.9 for any of that line;"
        " if not given that of ZKDISCOVERY_ZOOKEEPER_VERSION, else any",
    )


@pytest.fixture(scope="session")
def zkdiscovery_server(request: pytest.FixtureRequest) -> Iterator[ZookeeperServer]:
    """A running ZooKeeper for the whole session; a test that stops it restarts it."""
    from zkdiscovery.testing import zookeeper_server  # noqa: PLC0415 - see the module's docstring

    with _started(zookeeper_server(**_chosen(request.config))) as server:
        yield server


@pytest.fixture(scope="session")
def zkdiscovery_ensemble(request: pytest.FixtureRequest) -> Iterator[ZookeeperEnsemble]:
    """Three servers that form an ensemble, for the whole session; a test that changes it calls its `repair`."""
    from zkdiscovery.testing import zookeeper_ensemble  # noqa: PLC0415

    with _started(zookeeper_ensemble(**_chosen(request.config))) as ensemble:
        yield ensemble


def _chosen(config: pytest.Config) -> dict[str, Any]:
    return {name: config.getoption(f"--zkdiscovery-{name}") for name in ("source", "version")}


@contextlib.contextmanager
def _started(servers: AbstractContextManager[_Servers]) -> Iterator[_Servers]:
    """Start the servers for the time of the block; the test fails with the reason if there are none."""
    from zkdiscovery.errors import NoServerForTests  # noqa: PLC0415

    with contextlib.ExitStack() as stack:
        try:
            started = stack.enter_context(servers)
        except NoServerForTests as error:
            pytest.fail(str(error), pytrace=False)
        yield started


@pytest.fixture
def zkdiscovery_client(zkdiscovery_server: ZookeeperServer) -> Iterator[Client]:
    """A started client on a namespace of its own, which is removed afterwards.

    Its settings are the defaults; `ZKDISCOVERY_*` has no effect.
    """
    from zkdiscovery.client import Client  # noqa: PLC0415
    from zkdiscovery.errors import ZkDiscoveryError  # noqa: PLC0415
    from zkdiscovery.settings import settings_without_environment  # noqa: PLC0415

    namespace = f"{zkdiscovery_server.namespace}/{secrets.token_hex(4)}"
    client = Client(settings=settings_without_environment(hosts=zkdiscovery_server.hosts, namespace=namespace))
    client.start()
    try:
        yield client
    finally:
        client.close(timeout=5.0)
        # The test may have taken the server down. What stays goes with the server, or with its own namespace.
        with contextlib.suppress(OSError, ZkDiscoveryError):
            zkdiscovery_server.remove_tree(namespace)


@pytest.fixture
def zkdiscovery_proxy(zkdiscovery_server: ZookeeperServer) -> Iterator[FaultProxy]:
    """A fault proxy before the server; a client made by the test connects to its `address`."""
    from zkdiscovery.testing import FaultProxy  # noqa: PLC0415

    with FaultProxy(zkdiscovery_server.hosts.split(",")[0]) as proxy:
        yield proxy


@pytest.fixture
def zkdiscovery_expire(zkdiscovery_server: ZookeeperServer) -> Callable[[Client], None]:
    """A function that expires a client's session on the server, even while a proxy cuts the client off."""
    from zkdiscovery.errors import SessionExpired  # noqa: PLC0415
    from zkdiscovery.testing import expire_session  # noqa: PLC0415

    def expire(client: Client) -> None:
        credentials = client.slot.current().session.credentials
        if credentials is not None:
            # Over in any case: the server may cut off the answer to the request that ends it.
            with contextlib.suppress(SessionExpired):
                expire_session(credentials.session_id, credentials.password, zkdiscovery_server.hosts)

    return expire
