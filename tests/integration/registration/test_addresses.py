"""Where an instance is advertised, and where it is probed, with real sockets and a real ZooKeeper."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import MakeClient
from tests.integration.registration.helpers import HOST, path_of, stored, wait_stored
from tests.support import LIMIT, Recorder, Truth, wait_registration
from zkdiscovery import (
    Client,
    InvalidInstance,
    OperationTimeout,
    Registration,
    RegistrationConflict,
    RegistrationState,
    Status,
)
from zkdiscovery.registration import readiness
from zkdiscovery.registration.interfaces import own_addresses
from zkdiscovery.testing import ZookeeperServer

NAME = socket.gethostname()


@pytest.fixture
def resolver_that_hangs(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[str]]]:
    """Lookups take until their name is in the table. Literal addresses are as ever."""
    table: dict[str, list[str]] = {}
    changed, over = threading.Condition(), threading.Event()
    original = socket.getaddrinfo

    class Table(dict[str, list[str]]):
        def __setitem__(self, name: str, addresses: list[str]) -> None:
            with changed:
                super().__setitem__(name, addresses)
                changed.notify_all()

    table = Table()

    def getaddrinfo(host: str, port: object, *args: object, **options: object) -> object:
        if not isinstance(host, str) or not host.endswith(".example"):
            return original(host, port, *args, **options)  # type: ignore[arg-type]
        with changed:
            changed.wait_for(lambda: host in table or over.is_set())
        return [answer for each in table.get(host, []) for answer in original(each, port, type=socket.SOCK_STREAM)]  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield table
    with changed:
        over.set()
        changed.notify_all()


def port_of(server: ZookeeperServer) -> int:
    return int(server.hosts.rpartition(":")[2])


def test_registering_waits_for_no_name_and_the_address_comes_with_the_connection(
    make_client: MakeClient,
    truth: Truth,
    zkdiscovery_server: ZookeeperServer,
    resolver_that_hangs: dict[str, list[str]],
) -> None:
    port = port_of(zkdiscovery_server)
    client = make_client(f"zk1.example:{port}").start()
    times = []
    for number in range(1, 11):
        began = time.perf_counter()
        registration = client.register("payments", number)
        times.append(time.perf_counter() - began)
    assert min(times) < 0.001
    assert sum(times) < 1.0, "a lookup was waited for"
    assert registration.state is RegistrationState.PENDING
    assert registration.instance.port == 10
    assert registration.instance.id.startswith(f"{NAME}@"), "a forecast"
    with pytest.raises(RegistrationConflict, match="is registered by this client already"):
        client.register("payments", 10)
    resolver_that_hangs["zk1.example"] = ["127.0.0.1"]
    registration.wait_registered(LIMIT)
    assert registration.instance.id == f"{NAME}@127.0.0.1:10"
    assert stored(truth, registration) == registration.instance
    with pytest.raises(RegistrationConflict, match="is registered by this client already"):
        client.register("payments", 10)


def test_what_is_given_needs_no_connection(make_client: MakeClient, resolver_that_hangs: dict[str, list[str]]) -> None:
    del resolver_that_hangs
    registration = make_client("zk1.example:2181").register("payments", 8080, host=HOST)
    assert (registration.instance.host, registration.instance.id) == (HOST, f"{NAME}@{HOST}:8080")


def test_one_that_waits_for_its_address_can_be_closed(
    make_client: MakeClient, resolver_that_hangs: dict[str, list[str]]
) -> None:
    del resolver_that_hangs
    client = make_client("zk1.example:2181")
    for options in ({}, {"ready": "listening"}):
        registration = client.register("payments", 8080, **options)
        registration.close()
        assert registration.state is RegistrationState.CLOSED


def test_a_server_on_each_machine_makes_nobody_advertise_loopback(
    make_client: MakeClient,
    truth: Truth,
    zkdiscovery_server: ZookeeperServer,
    resolver_that_hangs: dict[str, list[str]],
) -> None:
    """`hosts` begins with the server on this machine; the others are known only after the first connection."""
    others = [address.host for address in own_addresses() if address.carries and ":" not in address.host]
    if not others:
        pytest.skip("this machine has loopback alone")
    client = make_client(f"{zkdiscovery_server.hosts},zk2.example:1")
    registration = client.register("payments", 8080)
    assert registration.instance.host != "127.0.0.1"
    client.wait_connected(LIMIT)
    resolver_that_hangs["zk2.example"] = [others[0]]
    registration.wait_registered(LIMIT)
    assert registration.instance.host == others[0]
    assert stored(truth, registration) == registration.instance
    with pytest.raises(InvalidInstance, match=r"127\.0\.0\.1 is reachable from this machine alone"):
        client.register("payments", 8081, host="127.0.0.1")


def test_loopback_is_judged_once_the_names_of_zookeeper_are_known(
    make_client: MakeClient, zkdiscovery_server: ZookeeperServer, resolver_that_hangs: dict[str, list[str]]
) -> None:
    client = make_client(f"{zkdiscovery_server.hosts},zk2.example:1")
    registration = client.register("payments", 8080, host="127.0.0.1")
    with pytest.raises(InvalidInstance, match=r"while ZooKeeper is at zk2\.example"):
        registration.wait_registered(LIMIT)
    resolver_that_hangs["zk2.example"] = ["127.0.0.1"]
    wait_registration(registration, RegistrationState.REGISTERED)
    assert registration.wait_registered(LIMIT).error is None


def test_an_interface_and_a_network(make_client: MakeClient, truth: Truth) -> None:
    client = make_client()
    for port, host in ((1, "if:lo"), (2, "127.0.0.0/8")):
        registration = client.register("payments", port, host=host).wait_registered(LIMIT)
        assert registration.instance.id == f"{NAME}@127.0.0.1:{port}"
        assert stored(truth, registration) == registration.instance
    missing = client.register("payments", 3, host="if:nowhere9")
    with pytest.raises(InvalidInstance, match=r"^host: this machine has no address of 'if:nowhere9'"):
        missing.wait_registered(LIMIT)
    assert missing.state is RegistrationState.PENDING
    missing.close()
    assert missing.state is RegistrationState.CLOSED


def test_what_was_chosen_is_logged_once(make_client: MakeClient, caplog: pytest.LogCaptureFixture) -> None:
    client = make_client()
    for port in range(1, 4):
        client.register("payments", port).wait_registered(LIMIT)
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("advertising")]
    assert told == ["advertising 127.0.0.1: of the interface that leads to ZooKeeper, lo"]


# -- port 0 --


def test_a_port_that_is_told_later(make_client: MakeClient, truth: Truth, namespace: str) -> None:
    client = make_client()
    registration, other = client.register("payments", 0, ready="listening"), client.register("payments", 0, id="b")
    with pytest.raises(InvalidInstance, match=r"port of .* is not known yet: tell it by update\(port=…\)"):
        _ = registration.instance
    with pytest.raises(OperationTimeout, match=r"its port is not known yet; tell it by update\(port=…\)"):
        registration.wait_registered(0.0)
    registration.update(version="2")
    for wrong in (0, 70_000, "80"):
        with pytest.raises(InvalidInstance, match="port must be an integer"):
            registration.update(port=wrong)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        registration.update(port=port)
        found = wait_stored(
            truth, f"{namespace}/services/payments/{NAME}@127.0.0.1:{port}", lambda found: found.status is Status.UP
        )
    assert (found.port, found.version) == (port, "2")
    assert registration.instance == found
    with pytest.raises(InvalidInstance, match="can't update port"):
        registration.update(port=port + 1)
    other.update(port=8080)
    assert other.wait_registered(LIMIT).instance.port == 8080
    assert truth.children(f"{namespace}/services/payments") == sorted(["b", found.id])


def test_the_decorated_function_tells_its_port(make_client: MakeClient) -> None:
    seen: Recorder[int] = Recorder()

    @make_client().registered("payments", port=0)
    def serve(registration: Registration) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            registration.update(port=server.getsockname()[1])
            registration.wait_registered(LIMIT)
            seen(registration.instance.port - server.getsockname()[1])

    serve()
    assert seen.items == [0]


def test_one_without_a_port_can_be_closed(make_client: MakeClient, truth: Truth, namespace: str) -> None:
    client = make_client().wait_connected(LIMIT)
    registration = client.register("payments", 0)
    registration.close()
    assert registration.state is RegistrationState.CLOSED
    assert truth.children(f"{namespace}/services/payments") == []


# -- readiness --


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def pausing(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Waits until the probe has tried in vain once more."""
    tried = threading.Semaphore(0)
    original = readiness.accepts

    def accepts(*arguments: object) -> bool:
        found = original(*arguments)  # type: ignore[arg-type]
        if not found:
            tried.release()
        return found

    monkeypatch.setattr(readiness, "accepts", accepts)

    def wait() -> None:
        assert tried.acquire(timeout=LIMIT)

    return wait


def test_a_proxy_that_accepts_before_the_program_does_makes_nothing_ready(
    make_client: MakeClient, truth: Truth, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A published port: docker-proxy listens at the advertised one from the start, the program at another later."""
    failed = pausing(monkeypatch)
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        registration = make_client().register(
            "payments", proxy.getsockname()[1], host="127.0.0.1", listen_port=closed_port, ready="listening"
        )
        registration.wait_registered(LIMIT)
        for _ in range(3):
            failed()
        assert stored(truth, registration).status is Status.STARTING
        with socket.create_server(("127.0.0.1", closed_port)):
            wait_stored(truth, path_of(registration), lambda found: found.status is Status.UP)


def test_the_listen_port_of_the_environment(
    make_client: MakeClient, truth: Truth, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client()
    with socket.create_server(("127.0.0.1", 0)) as program:
        monkeypatch.setenv("ZKDISCOVERY_LISTEN_PORT", str(program.getsockname()[1]))
        registration = client.register("payments", 18085, host=HOST, ready="listening")
        found = wait_stored(truth, path_of(registration), lambda found: found.status is Status.UP)
    assert (found.host, found.port) == (HOST, 18085)
    monkeypatch.setenv("ZKDISCOVERY_LISTEN_PORT", "http")
    with pytest.raises(InvalidInstance, match=r"^ZKDISCOVERY_LISTEN_PORT must be an integer"):
        client.register("payments", 18086)


def test_an_advertised_address_that_is_not_of_this_machine_is_not_probed(
    make_client: MakeClient, truth: Truth, closed_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    registration = make_client().register("payments", closed_port, host=HOST, ready="listening")
    registration.wait_registered(LIMIT)
    ours = next(address.host for address in own_addresses() if address.host not in {"127.0.0.1", "::1"})
    with socket.create_server((ours, closed_port), family=socket.AF_INET6 if ":" in ours else socket.AF_INET):
        found = wait_stored(truth, path_of(registration), lambda found: found.status is Status.UP)
    assert found.host == HOST
    assert "a task of" not in caplog.text


@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
def test_a_program_that_listens_on_ipv6_alone(
    make_client: MakeClient, truth: Truth, closed_port: int, first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It listens before it is registered, or after."""
    failed = pausing(monkeypatch)
    try:
        server = socket.socket(socket.AF_INET6)
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.bind(("::1", closed_port))
    except OSError:
        pytest.skip("this machine has no IPv6")
    with server:
        if first:
            server.listen()
        registration = make_client().register("payments", closed_port, ready="listening").wait_registered(LIMIT)
        if not first:
            failed()
            assert registration.instance.id == f"{NAME}@127.0.0.1:{closed_port}"
            server.listen()
        found = wait_stored(truth, path_of(registration), lambda found: found.status is Status.UP)
    assert found.host == "::1"
    assert found.id == (f"{NAME}@[::1]:{closed_port}" if first else f"{NAME}@127.0.0.1:{closed_port}")
    assert found.url == f"http://[::1]:{closed_port}"


def test_a_program_that_listens_on_ipv4_alone_is_advertised_on_ipv4_though_zookeeper_has_both(
    make_client: MakeClient,
    truth: Truth,
    zkdiscovery_server: ZookeeperServer,
    resolver_that_hangs: dict[str, list[str]],
) -> None:
    resolver_that_hangs["zk.example"] = ["::1", "127.0.0.1"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        client: Client = make_client(f"zk.example:{port_of(zkdiscovery_server)}")
        registration = client.register("payments", server.getsockname()[1], ready="listening")
        registration.wait_registered(LIMIT)
        found = wait_stored(truth, path_of(registration), lambda found: found.status is Status.UP)
    assert found.host == "127.0.0.1"
