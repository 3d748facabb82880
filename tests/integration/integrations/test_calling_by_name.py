"""httpx, requests and aiohttp call services by name: where requests go, what servers see, what responses say."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
import urllib3

from tests.integration.docs.samples import free_port
from tests.integration.integrations.conftest import MakeLibrary, Watching, register
from tests.integration.integrations.libraries import Library
from tests.integration.integrations.web import Web
from tests.support import LIMIT, wait_until
from zkdiscovery import AsyncClient, Client, ClientClosed, Maglev, NoInstanceAvailable
from zkdiscovery.integrations.requests import Adapter
from zkdiscovery.testing import static_client


def test_a_name_stands_for_all_instances(
    client: Client, library: Library, web: Web, stack: ExitStack, balancer: Watching
) -> None:
    other = stack.enter_context(Web())
    register(client, "payments", web.port, other.port)
    replies = [library.call("http://payments.zk/echo?page=2#part") for _ in range(4)]
    assert {reply.told["port"] for reply in replies} == {web.port, other.port}
    for reply in replies:
        assert (reply.status, reply.told["host"], reply.told["query"]) == (200, "payments.zk", "page=2")
        assert reply.url.partition("#")[0] == "http://payments.zk/echo?page=2"
    assert balancer.of("a") == balancer.of("b") == (0, 2, 0)


def test_the_registry_knows_the_port(client: Client, library: Library, web: Web) -> None:
    register(client, "payments", web.port)
    reply = library.call("http://payments.zk:99/echo")
    assert (reply.told["port"], reply.told["host"], reply.url) == (
        web.port,
        "payments.zk:99",
        "http://payments.zk:99/echo",
    )


@pytest.mark.parametrize("host", ["payments.zk", "PAYMENTS.zk"])
def test_a_name_with_capital_letters(host: str, client: Client, make_library: MakeLibrary, web: Web) -> None:
    register(client, "Payments", web.port)
    with pytest.raises(make_library().connect_error) as caught:
        make_library().call(f"http://{host}/echo")
    assert isinstance(caught.value.__cause__, NoInstanceAvailable)
    assert make_library(only="Payments").call(f"http://{host}/echo").told["port"] == web.port


def test_redirects(client: Client, library: Library, web: Web, stack: ExitStack) -> None:
    stock, outside = stack.enter_context(Web()), stack.enter_context(Web())
    register(client, "payments", web.port)
    register(client, "stock", stock.port)
    reply = library.call("http://payments.zk/relative")
    assert (reply.url, reply.told["port"]) == ("http://payments.zk/echo?relative", web.port)
    reply = library.call("http://payments.zk/redirect?to=http://stock.zk/echo")
    assert (reply.url, reply.told["port"], reply.told["host"]) == ("http://stock.zk/echo", stock.port, "stock.zk")
    address = f"127.0.0.1:{outside.port}"
    reply = library.call(f"http://payments.zk/redirect?to=http://{address}/echo")
    assert (reply.url, reply.told["port"], reply.told["host"]) == (f"http://{address}/echo", outside.port, address)


def test_cookies_are_the_services(client: Client, library: Library, web: Web, stack: ExitStack) -> None:
    other = stack.enter_context(Web())
    register(client, "payments", web.port, other.port)
    register(client, "stock", web.port)
    library.call("http://payments.zk/cookie")
    assert [library.call("http://payments.zk/echo").told["cookie"] for _ in range(2)] == ["seen=yes"] * 2
    assert library.call("http://stock.zk/echo").told["cookie"] is None


def test_connections_are_reused(client: Client, library: Library, web: Web) -> None:
    register(client, "payments", web.port)
    assert len({library.call("http://payments.zk/echo").told["from"] for _ in range(5)}) == 1


def test_a_generator_is_sent(client: Client, library: Library, web: Web) -> None:
    """Also after a connection that could not be made: nothing of it was sent."""
    register(client, "payments", free_port(), web.port)
    for _ in range(2):
        reply = library.call("http://payments.zk/echo", parts=[b"one ", b"two ", b"three"])
        assert (reply.told["method"], reply.told["body"]) == ("POST", "one two three")


@pytest.mark.parametrize(("status", "fails"), [(404, False), (429, True), (500, True), (503, True)])
def test_statuses(status: int, fails: bool, client: Client, library: Library, web: Web, balancer: Watching) -> None:
    register(client, "payments", web.port)
    web.status = status
    reply = library.call("http://payments.zk/echo")
    assert reply.status == status
    assert isinstance(reply.raised, library.status_error)
    assert "http://payments.zk/echo" in str(reply.raised)
    assert balancer.of("a") == (0, not fails, fails)


def test_a_key_chooses_the_instance(client: Client, make_library: MakeLibrary, web: Web, stack: ExitStack) -> None:
    other = stack.enter_context(Web())
    register(client, "payments", web.port, other.port)
    library = make_library(balancer=Maglev(), key=lambda request: str(request.url).partition("?")[2])
    for key in ("one", "two", "three", "four"):
        ports = {library.call(f"http://payments.zk/echo?{key}").told["port"] for _ in range(3)}
        view = client.discover("payments", balancer=Maglev())
        assert ports == {view.pick(key).port}


# -- nothing to call --


def test_an_unknown_service(library: Library) -> None:
    with pytest.raises(
        library.connect_error, match="no instance of 'nobody' can be picked: none is registered"
    ) as caught:
        library.call("http://nobody.zk/echo")
    assert isinstance(caught.value.__cause__, NoInstanceAvailable)


def test_no_zookeeper(make_library: MakeLibrary, stack: ExitStack, library_type: type[Library]) -> None:
    nowhere = Client(f"127.0.0.1:{free_port()}")
    stack.callback(nowhere.close, 1.0)
    library = stack.enter_context(library_type(nowhere))
    with pytest.raises((library.connect_error, library.timeout_error)) as caught:
        library.call("http://payments.zk/echo", timeout=0.3)
    if isinstance(caught.value, library.connect_error):
        assert isinstance(caught.value.__cause__, NoInstanceAvailable)
        assert "not loaded yet" in str(caught.value)


def test_a_client_that_was_closed(client: Client, library: Library, web: Web) -> None:
    register(client, "payments", web.port)
    library.call("http://payments.zk/echo")
    client.close()
    with pytest.raises(library.connect_error) as caught:
        library.call("http://payments.zk/echo")
    assert isinstance(caught.value.__cause__, ClientClosed)


# -- TLS --


def test_tls_is_checked_for_the_name_of_the_service(
    client: Client, make_library: MakeLibrary, certificates: dict[str, Path], stack: ExitStack, web: Web
) -> None:
    secure = stack.enter_context(Web(certificates["payments.zk"]))
    register(client, "payments", web.port, tls_port=secure.port)
    register(client, "stock", web.port, tls_port=secure.port)
    library = make_library(authority=certificates["payments.zk"])
    for _ in range(2):
        reply = library.call("https://payments.zk/echo")
        assert (reply.told["port"], reply.told["host"]) == (secure.port, "payments.zk")
    assert secure.sni == ["payments.zk"], "one connection, with the name of the service"
    assert library.call("http://payments.zk/echo").told["port"] == web.port
    # The connection to the same address, whose certificate was checked for another name, is not used.
    with pytest.raises(library.connect_error, match=r"stock\.zk|[Cc]ertificate"):
        library.call("https://stock.zk/echo")
    assert set(secure.sni) == {"payments.zk", "stock.zk"}


def test_tls_needs_a_tls_port(client: Client, library: Library, web: Web) -> None:
    register(client, "payments", web.port)
    said = "1 UP but without a `tls_port`; https calls only instances that are registered with a `tls_port`"
    with pytest.raises(library.connect_error, match=said) as caught:
        library.call("https://payments.zk/echo")
    assert "where" not in f"{caught.value} {caught.value.__cause__}", "the caller gave none"


# -- proxies --


def test_proxies_are_for_the_outside(
    library_type: type[Library], client: Client, web: Web, stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = stack.enter_context(Web())
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
    library = stack.enter_context(library_type(client))
    register(client, "payments", web.port)
    assert library.call("http://payments.zk/echo").told["port"] == web.port
    reply = library.call("http://outside.example/echo")
    assert (reply.told["port"], reply.told["host"]) == (proxy.port, "outside.example")
    assert library.call("http://payments.zk/redirect?to=http://outside.example/echo").told["port"] == proxy.port


def test_instances_that_come_later_are_called(client: Client, library: Library, web: Web) -> None:
    with pytest.raises(library.connect_error):
        library.call("http://payments.zk/echo")
    register(client, "payments", web.port)
    view = client.discover("payments").wait_ready(LIMIT)
    wait_until(lambda: view.available)
    assert library.call("http://payments.zk/echo").status == 200


def test_both_clients_and_none(library_type: type[Library], client: Client, web: Web, stack: ExitStack) -> None:
    """An `AsyncClient` for a library that blocks too, and a client without ZooKeeper for tests."""
    register(client, "payments", web.port)
    for each in (AsyncClient.of(client), static_client({"payments": [f"127.0.0.1:{web.port}"]})):
        library = stack.enter_context(library_type(each))
        assert library.call("http://payments.zk/echo").told["host"] == "payments.zk"


def test_an_instance_with_an_ipv6_address(client: Client, library: Library, stack: ExitStack) -> None:
    web = stack.enter_context(Web(host="::1"))
    client.register("payments", web.port, host="::1").wait_registered(LIMIT)
    assert library.call("http://payments.zk/echo").told["host"] == "payments.zk"


def test_forms_of_time_limits_of_requests(client: Client, web: Web) -> None:
    register(client, "payments", web.port)
    forms = [None, 5, 5.0, (5.0, 5.0), (None, 5.0), urllib3.Timeout(5.0), urllib3.Timeout(connect=5.0)]
    for form in forms:
        with requests.Session() as session:
            session.mount("http://", Adapter(client))
            assert session.get("http://payments.zk/echo", timeout=form).ok  # type: ignore[arg-type]
