"""What the balancer hears of calls by name: of errors, timeouts, and bodies that break, hang, or are closed early."""

from __future__ import annotations

import gc
import time
from contextlib import ExitStack

import httpx
import pytest

from tests.integration.docs.samples import free_port
from tests.integration.integrations.conftest import MakeLibrary, Watching, register
from tests.integration.integrations.libraries import Aiohttp, Library
from tests.integration.integrations.web import Deaf, Web
from tests.support import LIMIT, wait_until
from zkdiscovery import Client, Ejection
from zkdiscovery.integrations.httpx import Transport

TWICE = Ejection(consecutive=2)


def test_instances_that_refuse_are_passed_over(
    client: Client, make_library: MakeLibrary, web: Web, balancer: Watching
) -> None:
    register(client, "payments", free_port(), web.port)
    library = make_library(ejection=TWICE)
    for _ in range(8):
        assert library.call("http://payments.zk/echo").told["port"] == web.port
    assert balancer.of("a") == (0, 0, 2), "ejected"
    assert balancer.of("b") == (0, 8, 0)


def test_three_instances_at_most_are_tried(client: Client, library: Library, balancer: Watching) -> None:
    register(client, "payments", *(free_port() for _ in range(5)))
    with pytest.raises(library.connect_error) as caught:
        library.call("http://payments.zk/echo")
    assert not isinstance(caught.value, library.timeout_error)
    assert sum(endpoint.failures for endpoint in balancer.endpoints.values()) == 3
    assert any(note.startswith("sent to instance '") for note in caught.value.__notes__)


@pytest.mark.parametrize("path", ["hang", "stuck"])
def test_timeouts_are_failures(
    path: str, client: Client, make_library: MakeLibrary, web: Web, stack: ExitStack, balancer: Watching
) -> None:
    """Before the response, and within it."""
    register(client, "payments", web.port, stack.enter_context(Web()).port)
    library = make_library(ejection=TWICE)
    for failures in range(1, 5):
        with pytest.raises((library.timeout_error, library.body_error, library.connect_error)):
            library.call(f"http://payments.zk/{path}", timeout=0.2)
        wait_until(lambda failures=failures: balancer.of("a")[2] + balancer.of("b")[2] == failures)
    assert balancer.of("a")[0] == balancer.of("b")[0] == 0
    view = [endpoint for endpoint in balancer.endpoints.values() if endpoint.ejection and endpoint.ejection.until]
    assert view, "one is ejected"


def test_connections_that_are_never_made_are_failures(
    client: Client, library: Library, stack: ExitStack, balancer: Watching
) -> None:
    register(client, "payments", stack.enter_context(Deaf()).port)
    began = time.monotonic()
    with pytest.raises(library.timeout_error):
        library.call("http://payments.zk/echo", timeout=0.4)
    assert time.monotonic() - began < LIMIT
    assert balancer.of("a") == (0, 0, 1)


def test_a_body_that_breaks_is_a_failure(client: Client, library: Library, web: Web, balancer: Watching) -> None:
    register(client, "payments", web.port)
    with pytest.raises(library.body_error):
        library.call("http://payments.zk/broken")
    assert balancer.of("a") == (0, 0, 1)


def test_a_call_is_under_way_until_its_body_is_read(
    client: Client, library: Library, web: Web, balancer: Watching
) -> None:
    register(client, "payments", web.port)
    part, close = library.begin("http://payments.zk/stream")
    body = part()
    # aiohttp reads ahead, and gives the connection back when the whole body has come.
    assert balancer.of("a") == (1, 0, 0)
    web.go_on()
    with pytest.raises((StopIteration, StopAsyncIteration, RuntimeError)):
        while True:
            body += part()
    assert len(body) == 100 * 10_003
    assert balancer.of("a") == (0, 1, 0)
    close()
    assert balancer.of("a") == (0, 1, 0)


@pytest.mark.parametrize("path", ["stream", "stuck"])
def test_closing_a_body_early_is_no_failure(
    path: str, client: Client, library: Library, web: Web, balancer: Watching
) -> None:
    register(client, "payments", web.port)
    part, close = library.begin(f"http://payments.zk/{path}")
    part()
    assert balancer.of("a") == (1, 0, 0)
    close()
    assert balancer.of("a") == (0, 1, 0)


def test_a_body_that_is_dropped_is_not_under_way_for_ever(
    client: Client, library: Library, web: Web, balancer: Watching
) -> None:
    if isinstance(library, Aiohttp):
        pytest.skip("aiohttp keeps a response as long as its connection")
    register(client, "payments", web.port)
    part, close = library.begin("http://payments.zk/stuck")
    part()
    del part, close
    wait_until(lambda: (gc.collect(), balancer.of("a") == (0, 1, 0))[1])


def test_a_body_that_raises_is_no_failure(client: Client, library: Library, web: Web, balancer: Watching) -> None:
    register(client, "payments", web.port)
    with pytest.raises((ValueError, library.connect_error)):
        library.call("http://payments.zk/echo", parts=[b"one", ValueError("no more")])
    assert balancer.of("a") == (0, 0, 0)


def test_a_full_pool_is_no_failure(client: Client, web: Web, balancer: Watching) -> None:
    register(client, "payments", web.port)

    def small() -> httpx.HTTPTransport:
        return httpx.HTTPTransport(limits=httpx.Limits(max_connections=1))

    mounts = {"all://*.zk": Transport(client, transport=small, balancer=balancer)}
    with (
        httpx.Client(mounts=mounts, timeout=httpx.Timeout(LIMIT, pool=0.1)) as http,
        http.stream("GET", "http://payments.zk/stuck"),
        pytest.raises(httpx.PoolTimeout),
    ):
        http.get("http://payments.zk/echo")
    assert balancer.of("a") == (0, 1, 0)
