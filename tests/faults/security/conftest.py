"""One authority and one secure server for all tests of this folder, and clients of it."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.faults.security.helpers import Authority, SecureServer, secure_server, settings
from tests.support import Truth
from zkdiscovery import Client

MakeSecure = Callable[..., Client]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl, to make certificates")
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture(scope="session")
def secure(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[SecureServer]:
    directory = tmp_path_factory.mktemp("secure")
    with secure_server(directory, authority, authority.sign("localhost"), authority.sign("shop")) as server:
        yield server


@pytest.fixture
def place() -> str:
    """A namespace of the secure server that nobody else uses."""
    return f"/{secrets.token_hex(6)}"


@pytest.fixture
def plain_truth(secure: SecureServer) -> Iterator[Truth]:
    """The secure server by its plain port, as nobody in particular."""
    with Truth(secure.server.hosts) as view:
        yield view


@pytest.fixture
def make_secure(secure: SecureServer, place: str) -> Iterator[MakeSecure]:
    """Makes clients of the secure server, over TLS if `tls` is given; closes them."""
    with ExitStack() as stack:

        def make(hosts: str | None = None, **given: Any) -> Client:
            hosts = hosts or (secure.tls_hosts if "tls" in given else secure.server.hosts)
            client = Client(hosts, namespace=place, settings=settings(**given))
            stack.callback(client.close, 3.0)
            return client

        yield make
