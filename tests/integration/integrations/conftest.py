"""What the tests of the callers share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import MakeClient
from tests.integration.integrations.libraries import LIBRARIES, Library
from tests.integration.integrations.web import Web, make_certificate
from tests.support import LIMIT
from zkdiscovery import Client, RoundRobin
from zkdiscovery.balancing import Endpoint, Picker

MakeLibrary = Callable[..., Library]


class Watching:
    """Round robin, as a balancer that shows its endpoints."""

    def __init__(self) -> None:
        self.endpoints: dict[str, Endpoint] = {}

    def build(self, endpoints: Sequence[Endpoint]) -> Picker:
        """Keep the endpoints, and build."""
        self.endpoints |= {endpoint.instance.id: endpoint for endpoint in endpoints}
        return RoundRobin().build(endpoints)

    def of(self, id: str) -> tuple[int, int, int]:
        """Calls in flight, successes and failures of an instance."""
        endpoint = self.endpoints[id]
        return endpoint.in_flight, endpoint.successes, endpoint.failures


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out httpx's line for each request, and the machine's proxies and authorities."""
    caplog.set_level(logging.WARNING, logger="httpx")
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def client(make_client: MakeClient) -> Client:
    """A client with the session of the test."""
    return make_client()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """For what a test opens."""
    with ExitStack() as opened:
        yield opened


@pytest.fixture
def web(stack: ExitStack) -> Web:
    """A server."""
    return stack.enter_context(Web())


@pytest.fixture
def balancer() -> Watching:
    """The balancer of the library's views."""
    return Watching()


@pytest.fixture(params=LIBRARIES, ids=lambda library: library.__name__)
def library_type(request: pytest.FixtureRequest) -> type[Library]:
    """One library after the other."""
    kind: type[Library] = request.param
    return kind


@pytest.fixture
def make_library(library_type: type[Library], client: Client, balancer: Watching, stack: ExitStack) -> MakeLibrary:
    """Makes a client of the library, with the client, the balancer, and options of the view."""

    def make(**options: object) -> Library:
        return stack.enter_context(library_type(client, **{"balancer": balancer, **options}))  # type: ignore[arg-type]

    return make


@pytest.fixture
def library(make_library: MakeLibrary) -> Library:
    """A client of the library."""
    return make_library()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Certificates by the hosts that they are for."""
    folder = tmp_path_factory.mktemp("certificates")
    return {name: make_certificate(folder, name) for name in ("payments.zk", "stock.zk")}


def register(client: Client, service: str, *ports: int, **options: int) -> None:
    """Register instances on loopback, called `a`, `b` and so on, and wait until all see them."""
    made = [
        client.register(service, port, host="127.0.0.1", id=name, **options)  # type: ignore[arg-type]
        for name, port in zip("abcdef", ports, strict=False)
    ]
    for registration in made:
        registration.wait_registered(LIMIT)
