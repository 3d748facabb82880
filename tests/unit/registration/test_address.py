"""The address to advertise: what counts in which order, what is refused, and that nothing is resolved."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence

import pytest

from zkdiscovery.errors import InvalidInstance
from zkdiscovery.registration import address
from zkdiscovery.registration.address import (
    Choice,
    Given,
    choose,
    forecast,
    given_host,
    given_listen_port,
    settled,
    source_towards,
)
from zkdiscovery.registration.interfaces import OwnAddress, own_addresses

ZOOKEEPER = {"10.1.0.9": ("10.1.0.9",)}
LOCAL = {"127.0.0.1": ("127.0.0.1",)}
ANYWHERE_4, ANYWHERE_6 = address._ANYWHERE
NO_ENVIRONMENT: dict[str, str] = {}

Routes = Callable[[dict[str, str]], None]
Servers = Mapping[str, Sequence[str]]


@pytest.fixture(autouse=True)
def nothing_is_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("a name is resolved")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.fixture
def routes(monkeypatch: pytest.MonkeyPatch) -> Routes:
    """Sets this machine's routing table: own address by target."""

    def set_routes(table: dict[str, str]) -> None:
        monkeypatch.setattr(address, "source_towards", table.get)

    set_routes({})
    return set_routes


def own(*entries: str) -> list[OwnAddress]:
    """`eth0 10.0.0.5`: an address of an interface that leads to other machines; lo and docker0 do not."""
    pairs = [entry.split() for entry in entries]
    return [OwnAddress(name, host, carries=name not in {"lo", "docker0"}) for name, host in pairs]


def chosen(
    host: str | None,
    servers: Servers,
    environ: Mapping[str, str] = NO_ENVIRONMENT,
    own: Sequence[OwnAddress] = (),
) -> Choice:
    """As `register` finds the address."""
    given = given_host(host, environ)
    at_once = settled(given, servers)
    choice = choose(given, servers, own)
    assert at_once in {None, choice.host}
    return choice


def advertised(
    host: str | None,
    servers: Servers,
    environ: Mapping[str, str] = NO_ENVIRONMENT,
    own: Sequence[OwnAddress] = (),
) -> str:
    return chosen(host, servers, environ, own).host


def test_the_order(routes: Routes) -> None:
    environ = {"ZKDISCOVERY_ADVERTISE_HOST": "from.env", "POD_IP": "10.2.2.2"}
    routes({"10.1.0.9": "10.1.0.5", ANYWHERE_4: "192.168.0.5"})
    assert advertised("given.example", ZOOKEEPER, environ) == "given.example"
    assert advertised(None, ZOOKEEPER, environ) == "from.env"
    assert advertised(None, ZOOKEEPER, {"POD_IP": "10.2.2.2"}) == "10.2.2.2"
    assert advertised(None, ZOOKEEPER) == "10.1.0.5"
    assert advertised(None, {"zk1": ()}) == "192.168.0.5"


def test_the_process_environment_is_read_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    for host in ("one.example", "two.example"):
        monkeypatch.setenv("ZKDISCOVERY_ADVERTISE_HOST", host)
        assert given_host(None) == Given(host, "ZKDISCOVERY_ADVERTISE_HOST")


def test_a_blank_variable_counts_as_not_set() -> None:
    assert advertised(None, ZOOKEEPER, {"ZKDISCOVERY_ADVERTISE_HOST": "  ", "POD_IP": " 10.2.2.2\n"}) == "10.2.2.2"


@pytest.mark.parametrize("host", ["10.0.0.7", "orders.example.org", "fd00::7", "::ffff:10.0.0.7", "orders_1"])
def test_what_is_given_is_taken_as_it_is(host: str) -> None:
    assert advertised(host, ZOOKEEPER) == host
    assert settled(given_host(host), {"zk1": ()}) == host


@pytest.mark.parametrize(
    "host", ["", " ", "http://orders", "orders:8080", "[::1]", "a b", "10.0.0.7/24", "10.0.0.0/33", "if:", "if: ", 7]
)
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(InvalidInstance, match=r"^host: host must"):
        given_host(host)


def test_what_is_no_host_is_refused_by_the_name_of_its_variable() -> None:
    for text in ("orders:8080", "if:", "10.0.0.7/24"):
        with pytest.raises(InvalidInstance, match=r"^POD_IP: host must"):
            given_host(None, {"POD_IP": text})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "::0", "::ffff:0.0.0.0"])
def test_an_address_to_listen_on_is_refused(host: str) -> None:
    with pytest.raises(InvalidInstance, match=r"^host: .* is an address to listen on.*set ZKDISCOVERY_ADVERTISE_HOST"):
        given_host(host)
    with pytest.raises(InvalidInstance, match=r"^POD_IP: .* is an address to listen on"):
        given_host(None, {"POD_IP": host})


LOOPBACK = ["127.0.0.1", "127.0.1.1", "::1", "::ffff:127.0.0.1", "localhost", "LocalHost.", "db.localhost"]
ELSEWHERE: list[Servers] = [
    ZOOKEEPER,
    {"fd00::9": ("fd00::9",)},
    {},
    {"127.0.0.1": ("127.0.0.1",), "10.1.0.9": ("10.1.0.9",)},
    {"localhost": (), "zk2": ("10.1.0.9",)},
]
HERE: list[Servers] = [
    LOCAL,
    {"::1": ("::1",)},
    {"localhost": ("127.0.0.1", "::1")},
    {"localhost": ()},
    {"0.0.0.0": ("0.0.0.0",)},
    {"zookeeper.local": ("127.0.1.1",)},
    {"127.0.0.1": ("127.0.0.1",), "localhost": ()},
]


@pytest.mark.parametrize("host", LOOPBACK)
@pytest.mark.parametrize("servers", ELSEWHERE, ids=str)
def test_loopback_is_refused_while_a_zookeeper_is_elsewhere(host: str, servers: Servers) -> None:
    with pytest.raises(InvalidInstance, match=r"^host: .* is reachable from this machine alone.*give host="):
        settled(given_host(host), servers)


@pytest.mark.parametrize("host", LOOPBACK)
@pytest.mark.parametrize("servers", HERE, ids=str)
def test_loopback_is_taken_where_all_of_zookeeper_is_on_loopback(host: str, servers: Servers) -> None:
    assert settled(given_host(host), servers) == host
    assert advertised(host, servers) == host


def test_loopback_waits_for_what_the_names_of_zookeeper_mean() -> None:
    servers = {"127.0.0.1": ("127.0.0.1",), "zk2": ()}
    assert settled(given_host("127.0.0.1"), servers) is None
    with pytest.raises(InvalidInstance, match=r"while ZooKeeper is at zk2"):
        choose(given_host("127.0.0.1"), servers, [])


def test_each_machine_that_lists_its_own_server_first_advertises_what_the_others_reach(routes: Routes) -> None:
    servers = {"127.0.0.1": ("127.0.0.1",), "zk2": ("10.1.0.9",)}
    routes({"127.0.0.1": "127.0.0.1", "10.1.0.9": "10.1.0.5", ANYWHERE_4: "192.168.0.5"})
    choice = chosen(None, servers, own=own("lo 127.0.0.1", "eth0 10.1.0.5"))
    assert (choice.host, choice.vague) == ("10.1.0.5", False)
    choice = chosen(None, {"127.0.0.1": ("127.0.0.1",), "zk2": ()}, own=own("lo 127.0.0.1", "eth0 192.168.0.5"))
    assert (choice.host, choice.vague) == ("192.168.0.5", True), "no name is resolved yet: worth a wait"


def test_a_name_of_zookeeper_that_means_loopback(routes: Routes) -> None:
    servers = {"zookeeper.local": ("127.0.1.1",)}
    routes({"127.0.1.1": "127.0.0.1", ANYWHERE_4: "192.168.0.5"})
    assert advertised("localhost", servers) == "localhost"
    assert advertised(None, servers) == "127.0.0.1"


@pytest.mark.parametrize("servers", [{"unknown": ()}, {"10.9.9.9": ("10.9.9.9",)}, {}], ids=str)
def test_the_default_route_where_nothing_leads_to_zookeeper(servers: Servers, routes: Routes) -> None:
    routes({ANYWHERE_6: "fd00::5"})
    choice = chosen(None, servers)
    assert choice.host == "fd00::5"
    assert "default route" in choice.why
    assert choice.vague


@pytest.mark.parametrize("useless", ["127.0.0.1", "0.0.0.0", "::", "::1", "fe80::1%eth0"])
def test_an_address_that_clients_can_not_use_is_never_found(useless: str, routes: Routes) -> None:
    routes({"10.1.0.9": useless, ANYWHERE_4: useless, ANYWHERE_6: "fd00::5"})
    assert advertised(None, ZOOKEEPER) == "fd00::5"
    assert forecast(Given(), ZOOKEEPER) == "fd00::5"
    routes({"10.1.0.9": useless, ANYWHERE_4: useless, ANYWHERE_6: useless})
    with pytest.raises(InvalidInstance, match=r"no route to ZooKeeper at 10\.1\.0\.9.*set ZKDISCOVERY_ADVERTISE_HOST"):
        choose(Given(), ZOOKEEPER, own("lo 127.0.0.1", "lo ::1", "eth0 fe80::1"))
    assert forecast(Given(), ZOOKEEPER) == socket.gethostname()


def test_a_machine_without_any_route_has_one_address_at_best(routes: Routes) -> None:
    assert advertised(None, ZOOKEEPER, own=own("lo 127.0.0.1", "eth0 fe80::1", "eth0 10.3.0.5")) == "10.3.0.5"
    with pytest.raises(InvalidInstance, match=r"nor one to anywhere.*give host="):
        choose(Given(), {}, [])


def test_ipv4_is_preferred_and_ipv6_of_the_same_interface_goes_with_it(routes: Routes) -> None:
    addresses = own("lo 127.0.0.1", "eth0 10.1.0.5", "eth1 10.2.0.5", "eth0 fe80::1", "eth0 fd00::5", "eth1 fd01::5")
    both = {"zk": ("fd00::9", "10.1.0.9")}
    routes({"10.1.0.9": "10.1.0.5", "fd00::9": "fd00::5"})
    for servers in (both, {"zk": ("fd00::9",)}, ZOOKEEPER):
        choice = chosen(None, servers, own=addresses)
        assert (choice.host, choice.other) == ("10.1.0.5", "fd00::5")
    assert chosen(None, {"zk": ("fd00::9",)}, own=own("eth0 fd00::5", "eth1 10.2.0.5")).host == "fd00::5"


def test_interfaces_compete(routes: Routes) -> None:
    # What a task on an overlay network of Swarm has, and a bridge and an interface with a link-local address alone.
    addresses = own("lo 127.0.0.1", "eth0 10.0.1.3", "eth1 172.18.0.3", "docker0 172.17.0.1", "eth2 fe80::2")
    routes({"10.1.0.9": "172.18.0.3"})
    choice = chosen(None, ZOOKEEPER, own=addresses)
    assert (choice.host, choice.competing) == ("172.18.0.3", ("eth0 (10.0.1.3)",))
    assert chosen(None, ZOOKEEPER, own=addresses[2:]).competing == ()
    routes({"127.0.0.1": "127.0.0.1"})
    assert chosen(None, LOCAL, own=addresses).competing == ()


def test_an_interface() -> None:
    addresses = own("lo 127.0.0.1", "eth0 10.1.0.5", "eth1 fe80::7", "eth1 fd01::7", "eth1 10.2.0.7")
    choice = chosen("if:eth1", ZOOKEEPER, own=addresses)
    assert (choice.host, choice.other, choice.competing) == ("10.2.0.7", "fd01::7", ())
    assert advertised(None, ZOOKEEPER, {"ZKDISCOVERY_ADVERTISE_HOST": "if:eth0"}, addresses) == "10.1.0.5"
    assert advertised("if:lo", LOCAL, own=addresses) == "127.0.0.1"
    with pytest.raises(InvalidInstance, match=r"^host: this machine has no address of 'if:eth9'.*eth0 \(10\.1\.0\.5\)"):
        choose(Given("if:eth9", "host"), ZOOKEEPER, addresses)
    with pytest.raises(InvalidInstance, match="no address of 'if:lo' that clients can reach"):
        choose(Given("if:lo", "host"), ZOOKEEPER, addresses)


def test_a_network() -> None:
    addresses = own("lo 127.0.0.1", "eth0 172.18.0.3", "eth1 10.0.1.3", "eth2 10.0.2.3", "eth1 fd01::3")
    choice = chosen("10.0.0.0/8", ZOOKEEPER, own=addresses)
    assert (choice.host, choice.other, choice.competing) == ("10.0.1.3", None, ("eth2 (10.0.2.3)",))
    assert advertised(None, ZOOKEEPER, {"ZKDISCOVERY_ADVERTISE_HOST": "fd01::/16"}, addresses) == "fd01::3"
    with pytest.raises(InvalidInstance, match=r"^host: this machine has no address of '192\.168\.0\.0/16'"):
        choose(Given("192.168.0.0/16", "host"), ZOOKEEPER, addresses)


def test_the_port_to_listen_on() -> None:
    assert given_listen_port(8080, {"ZKDISCOVERY_LISTEN_PORT": "9090"}) == 8080
    assert given_listen_port(None, {"ZKDISCOVERY_LISTEN_PORT": " 9090 "}) == 9090
    assert given_listen_port(None, {"ZKDISCOVERY_LISTEN_PORT": " "}) is None
    for wrong in (0, 65536, True, "80"):
        with pytest.raises(InvalidInstance, match=r"^listen_port must be an integer from 1 to 65535"):
            given_listen_port(wrong, {})  # type: ignore[arg-type]
    for text in ("0", "65536", "http", "-1", "8.0", "²"):
        with pytest.raises(InvalidInstance, match=r"^ZKDISCOVERY_LISTEN_PORT must be an integer from 1 to 65535: got"):
            given_listen_port(None, {"ZKDISCOVERY_LISTEN_PORT": text})


def test_the_kernel_says_which_address_leads_to_loopback() -> None:
    assert advertised(None, LOCAL, own=own_addresses()) == "127.0.0.1"
    assert advertised(None, {"localhost": ()}, own=own_addresses()) == "127.0.0.1"


def test_the_kernel_says_which_address_leads_to_loopback_over_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    assert source_towards("::1") == "::1"
    choice = chosen(None, {"::1": ("::1",)}, own=own_addresses())
    assert (choice.host, choice.other) == ("127.0.0.1", "::1")


def test_no_packet_is_sent() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.setblocking(False)
        assert source_towards("127.0.0.1") == "127.0.0.1"
        with pytest.raises(BlockingIOError):
            listener.recv(1)


def test_the_system_tells_its_addresses() -> None:
    found = own_addresses()
    assert ("127.0.0.1", False) in {(address.host, address.carries) for address in found}
    for address_of_ours in found:
        if ":" not in address_of_ours.host:
            with socket.socket() as listener:
                listener.bind((address_of_ours.host, 0))  # refused if it is not ours
