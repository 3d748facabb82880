"""advertised_host: what counts in which order, what is refused, and that nothing blocks for long."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

import pytest

from zkdiscovery.errors import InvalidInstance
from zkdiscovery.registration import address
from zkdiscovery.registration.address import advertised_host

ZOOKEEPER = "10.1.0.9:2181"
ANYWHERE_4, ANYWHERE_6 = address._ANYWHERE
NO_ENVIRONMENT: dict[str, str] = {}

Routes = Callable[[dict[str, str]], None]


@pytest.fixture
def routes(monkeypatch: pytest.MonkeyPatch) -> Routes:
    """Sets this machine's routing table: own address by target."""

    def set_routes(table: dict[str, str]) -> None:
        monkeypatch.setattr(address, "_source_towards", table.get)

    set_routes({})
    return set_routes


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What the resolver knows."""
    table: dict[str, list[str]] = {}

    def getaddrinfo(host: str, port: object, *, type: int) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        if host not in table:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(socket.AF_INET, type, 0, "", (found, 0)) for found in table[host]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return table


def test_the_order(routes: Routes) -> None:
    environ = {"ZKDISCOVERY_ADVERTISE_HOST": "from.env", "POD_IP": "10.2.2.2"}
    routes({"10.1.0.9": "10.1.0.5", ANYWHERE_4: "192.168.0.5"})
    assert advertised_host("given.example", peer=ZOOKEEPER, environ=environ) == "given.example"
    assert advertised_host(None, peer=ZOOKEEPER, environ=environ) == "from.env"
    assert advertised_host(None, peer=ZOOKEEPER, environ={"POD_IP": "10.2.2.2"}) == "10.2.2.2"
    assert advertised_host(None, peer=ZOOKEEPER, environ=NO_ENVIRONMENT) == "10.1.0.5"
    assert advertised_host(None, peer=None, environ=NO_ENVIRONMENT) == "192.168.0.5"


def test_the_process_environment_is_read_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    for host in ("one.example", "two.example"):
        monkeypatch.setenv("ZKDISCOVERY_ADVERTISE_HOST", host)
        assert advertised_host(None, peer=None) == host


def test_a_blank_variable_counts_as_not_set() -> None:
    environ = {"ZKDISCOVERY_ADVERTISE_HOST": "  ", "POD_IP": " 10.2.2.2\n"}
    assert advertised_host(None, peer=ZOOKEEPER, environ=environ) == "10.2.2.2"


@pytest.mark.parametrize("host", ["10.0.0.7", "orders.example.org", "fd00::7", "::ffff:10.0.0.7", "orders_1"])
def test_what_is_given_is_taken_as_it_is(host: str) -> None:
    assert advertised_host(host, peer=ZOOKEEPER, environ=NO_ENVIRONMENT) == host


@pytest.mark.parametrize("host", ["", " ", "http://orders", "orders:8080", "[::1]", "a b", "10.0.0.7/24"])
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(InvalidInstance, match=r"^host: host must"):
        advertised_host(host, peer=ZOOKEEPER, environ=NO_ENVIRONMENT)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "::0", "::ffff:0.0.0.0"])
@pytest.mark.parametrize("peer", [ZOOKEEPER, "127.0.0.1:2181", None])
def test_an_address_to_listen_on_is_refused(host: str, peer: str | None) -> None:
    with pytest.raises(InvalidInstance, match=r"^host: .* is an address to listen on.*set ZKDISCOVERY_ADVERTISE_HOST"):
        advertised_host(host, peer=peer, environ=NO_ENVIRONMENT)
    with pytest.raises(InvalidInstance, match=r"^POD_IP: .* is an address to listen on"):
        advertised_host(None, peer=peer, environ={"POD_IP": host})


LOOPBACK = ["127.0.0.1", "127.0.1.1", "::1", "::ffff:127.0.0.1", "localhost", "LocalHost.", "db.localhost"]


@pytest.mark.parametrize("host", LOOPBACK)
@pytest.mark.parametrize("peer", [ZOOKEEPER, "[fd00::9]:2181", None])
def test_loopback_is_refused_while_zookeeper_is_elsewhere(host: str, peer: str | None) -> None:
    with pytest.raises(InvalidInstance, match=r"^host: .* is reachable from this machine alone.*give host="):
        advertised_host(host, peer=peer, environ=NO_ENVIRONMENT)


@pytest.mark.parametrize("host", LOOPBACK)
@pytest.mark.parametrize("peer", ["127.0.0.1:2181", "[::1]:2181", "localhost:2181", "0.0.0.0:2181", "::1"])
def test_loopback_is_taken_where_zookeeper_is_on_loopback(host: str, peer: str) -> None:
    assert advertised_host(host, peer=peer, environ=NO_ENVIRONMENT) == host


def test_a_name_of_zookeeper_that_means_loopback(names: dict[str, list[str]], routes: Routes) -> None:
    names["zookeeper.local"] = ["127.0.1.1"]
    routes({"127.0.1.1": "127.0.0.1", ANYWHERE_4: "192.168.0.5"})
    assert advertised_host("localhost", peer="zookeeper.local:2181", environ=NO_ENVIRONMENT) == "localhost"
    assert advertised_host(None, peer="zookeeper.local:2181", environ=NO_ENVIRONMENT) == "127.0.0.1"


def test_a_name_of_zookeeper_is_resolved(names: dict[str, list[str]], routes: Routes) -> None:
    names["zk1"] = ["10.1.0.8", "10.1.0.9"]
    routes({"10.1.0.9": "10.1.0.5", ANYWHERE_4: "192.168.0.5"})
    assert advertised_host(None, peer="zk1:2181", environ=NO_ENVIRONMENT) == "10.1.0.5"
    assert advertised_host(None, peer="zk1", environ=NO_ENVIRONMENT) == "10.1.0.5"


@pytest.mark.parametrize("peer", ["unknown:2181", "10.9.9.9:2181", None])
def test_the_default_route_where_nothing_leads_to_zookeeper(
    peer: str | None, names: dict[str, list[str]], routes: Routes, caplog: pytest.LogCaptureFixture
) -> None:
    routes({ANYWHERE_6: "fd00::5"})
    assert advertised_host(None, peer=peer, environ=NO_ENVIRONMENT) == "fd00::5"
    assert ("no route to ZooKeeper" in caplog.text) is (peer is not None)


@pytest.mark.parametrize("useless", ["127.0.0.1", "0.0.0.0", "::", "::1", "fe80::1%eth0"])
def test_an_address_that_clients_can_not_use_is_never_found(useless: str, routes: Routes) -> None:
    routes({"10.1.0.9": useless, ANYWHERE_4: useless, ANYWHERE_6: "fd00::5"})
    assert advertised_host(None, peer=ZOOKEEPER, environ=NO_ENVIRONMENT) == "fd00::5"
    routes({"10.1.0.9": useless, ANYWHERE_4: useless, ANYWHERE_6: useless})
    with pytest.raises(InvalidInstance, match=r"no route to ZooKeeper at 10\.1\.0\.9.*set ZKDISCOVERY_ADVERTISE_HOST"):
        advertised_host(None, peer=ZOOKEEPER, environ=NO_ENVIRONMENT)


def test_a_machine_without_any_route(routes: Routes) -> None:
    with pytest.raises(InvalidInstance, match=r"no route to anywhere.*give host="):
        advertised_host(None, peer=None, environ=NO_ENVIRONMENT)


def test_a_resolver_that_does_not_answer_costs_its_limit_and_no_more(
    monkeypatch: pytest.MonkeyPatch, routes: Routes
) -> None:
    asked, release = threading.Event(), threading.Event()
    limit = 0.1  # seconds

    def getaddrinfo(*_args: object, **_kwargs: object) -> list[object]:
        asked.set()
        assert release.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(address, "RESOLVE_TIMEOUT", limit)
    routes({ANYWHERE_4: "192.168.0.5"})
    began = time.monotonic()
    try:
        assert advertised_host(None, peer="zk1:2181", environ=NO_ENVIRONMENT) == "192.168.0.5"
        assert limit <= time.monotonic() - began < 10
        assert asked.is_set()
    finally:
        release.set()


def test_a_name_that_is_no_name_is_not_resolved_and_not_fatal(routes: Routes) -> None:
    routes({ANYWHERE_4: "192.168.0.5"})
    assert advertised_host(None, peer="x" * 300 + ":2181", environ=NO_ENVIRONMENT) == "192.168.0.5"


def test_the_kernel_says_which_address_leads_to_loopback() -> None:
    assert advertised_host(None, peer="127.0.0.1:2181", environ=NO_ENVIRONMENT) == "127.0.0.1"
    assert advertised_host(None, peer="localhost:2181", environ=NO_ENVIRONMENT) in {"127.0.0.1", "::1"}


def test_the_kernel_says_which_address_leads_to_loopback_over_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    assert advertised_host(None, peer="[::1]:2181", environ=NO_ENVIRONMENT) == "::1"


def test_no_packet_is_sent() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.setblocking(False)
        assert address._source_towards("127.0.0.1") == "127.0.0.1"
        with pytest.raises(BlockingIOError):
            listener.recv(1)
