"""Servers among `hosts` that say nothing: a break, or a blip within the promise, ends no term."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, MutableSequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeClient
from tests.integration.election.helpers import Campaigner
from tests.integration.session.helpers import FullBacklog, Names, SilentServers
from tests.stalls import run_without_stalls
from tests.support import LIMIT, Recorder
from zkdiscovery import Client, State, Term
from zkdiscovery.session.transport.servers import ATTEMPT
from zkdiscovery.testing import FaultProxy, ZookeeperServer, zookeeper_server
from zkdiscovery.testing.proxy import relay
from zkdiscovery.testing.wire import split_host_port

pytestmark = pytest.mark.links

SilentFirst = Callable[..., None]
T = 2.0  # seconds, where a test does not name another


@pytest.fixture
def silent_first(monkeypatch: pytest.MonkeyPatch) -> SilentFirst:
    """Has these servers, `ip:port`, tried before the others, as chance may have it."""

    def sort(*silent: str) -> None:
        def shuffle(addresses: MutableSequence[Any]) -> None:
            addresses[:] = sorted(addresses, key=lambda address: "{}:{}".format(*address[1:]) not in silent)

        monkeypatch.setattr(random, "shuffle", shuffle)

    return sort


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names)
    yield names
    names.answers.set()
    names.wait_idle()


def mature_term(client: Client) -> Term:
    """A term that has been renewed for a while."""
    term = Campaigner(client).start().wait_term()
    assert not term.wait_lost(0.45 * client.session_timeout)
    return term


@pytest.fixture(params=["takes no connection", "takes them and says nothing"])
def silent(request: pytest.FixtureRequest) -> Iterator[str]:
    """Address of a server that is silent, in one way or the other."""
    with FullBacklog() as backlog, ExitStack() as stack:
        if request.param == "takes no connection":
            yield backlog.address
        else:
            placeholder = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            yield f"127.0.0.1:{placeholder.getsockname()[1]}"


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("timeout", "blip"), [(1.5, 0.0), (4.0, 0.39)])
def test_one_silent_server_of_three(
    make_client: MakeClient,
    zkdiscovery_server: ZookeeperServer,
    silent: str,
    silent_first: SilentFirst,
    timeout: float,
    blip: float,
) -> None:
    def lead_through_it() -> None:
        with FaultProxy(zkdiscovery_server.hosts) as one, FaultProxy(zkdiscovery_server.hosts) as two:
            silent_first()
            with make_client(f"{one.address},{silent},{two.address}", session_timeout=timeout) as client:
                term = mature_term(client)
                silent_first(silent)
                if blip:
                    for proxy in (one, two):
                        proxy.refuse()
                    assert not term.wait_lost(blip * timeout)
                    for proxy in (one, two):
                        proxy.heal()
                else:
                    for proxy in (one, two):
                        proxy.drop()
                assert not term.wait_lost(0.7 * timeout), term.reason

    # An attempt to connect is given up after so long, and each that is takes a share of the lease.
    run_without_stalls(lead_through_it, ATTEMPT * timeout)


def test_the_granted_timeout_counts_not_the_one_asked_for(
    request: pytest.FixtureRequest, silent_first: SilentFirst
) -> None:
    """Asked 40 s, granted 4 s: limits and pauses are shares of the 4 s."""
    source = request.config.getoption("--zkdiscovery-source")
    with (
        zookeeper_server(source=source, tick_time_ms=200) as server,
        FaultProxy(server.hosts) as one,
        FullBacklog() as silent,
        Client(f"{one.address},{silent.address}", session_timeout=40.0) as client,
    ):
        assert client.session_timeout == 40.0, "before the first connection"
        client.wait_connected(LIMIT)
        assert client.session_timeout == 4.0
        term = mature_term(client)
        silent_first(silent.address)
        one.refuse()
        assert not term.wait_lost(0.39 * 4.0)
        one.heal()
        assert not term.wait_lost(0.7 * 4.0), term.reason


def test_four_silent_addresses_of_one_name(
    make_client: MakeClient,
    zkdiscovery_proxy: FaultProxy,
    names: Names,
    silent_first: SilentFirst,
) -> None:
    """The usual service of Kubernetes: one name for all servers."""
    port = int(zkdiscovery_proxy.address.rpartition(":")[2])
    names.found["zk.test"] = [f"127.0.0.{number}" for number in range(1, 6)]
    with SilentServers(names.found["zk.test"][1:], port):
        client = make_client(f"zk.test:{port}", session_timeout=T)
        client.wait_connected(LIMIT)
        term = mature_term(client)
        silent_first(*(f"{ip}:{port}" for ip in names.found["zk.test"][1:]))
        zkdiscovery_proxy.drop()
        assert not term.wait_lost(0.7 * T), term.reason


def test_all_addresses_of_a_name_are_replaced(
    make_client: MakeClient, zkdiscovery_server: ZookeeperServer, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when all pods of an ensemble move, and nothing answers at their old addresses."""
    with FaultProxy(zkdiscovery_server.hosts) as old, ExitStack() as stack:
        port = int(old.address.rpartition(":")[2])
        names.found["zk.test"] = [f"127.0.0.{number}" for number in range(1, 6)]
        stack.enter_context(SilentServers(names.found["zk.test"][1:], port))
        client = make_client(f"zk.test:{port}", session_timeout=T)
        client.wait_connected(LIMIT)
        term = mature_term(client)
        monkeypatch.setattr(relay, "_bound_socket", lambda port: bound_socket("127.0.0.6", port))
        new = relay.Relay(port, split_host_port(zkdiscovery_server.hosts.split(",")[0]), patient=False)
        stack.callback(new.close)
        new.call(new.listen)
        names.found["zk.test"] = ["127.0.0.6"]
        asked = len(names.asked.items)
        old.blackhole()
        old.drop()
        assert not term.wait_lost(0.7 * T), term.reason
        assert new.accepted == 1
        assert len(names.asked.items) - asked <= 2, "after a failed round, not at each attempt"


def bound_socket(ip: str, port: int) -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind((ip, port))
    return bound


def test_a_name_that_is_never_resolved_costs_nothing(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy, names: Names
) -> None:
    """Neither the first connection nor one after a break; and no thread of ours asks but that of the lookup."""
    names.answers.clear()
    client = make_client(f"slow.test:2181,{zkdiscovery_proxy.address}", session_timeout=T)
    client.wait_connected(LIMIT)
    term = mature_term(client)
    changes: Recorder[State] = Recorder()
    client.on_change(changes)
    zkdiscovery_proxy.drop()
    changes.wait(lambda states: states == [State.SUSPENDED, State.CONNECTED], 0.4 * T)
    assert not term.wait_lost(0.7 * T), term.reason
    assert names.asked.items == [("slow.test", "zkdiscovery-resolve")], "one lookup, on a thread of its own"


def test_a_name_known_before_is_used_while_it_is_resolved_no_more(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy, names: Names
) -> None:
    names.found["zk.test"] = ["127.0.0.1"]
    client = make_client(f"zk.test:{zkdiscovery_proxy.address.rpartition(':')[2]}", session_timeout=T)
    client.wait_connected(LIMIT)
    term = mature_term(client)
    names.answers.clear()
    zkdiscovery_proxy.refuse()
    names.asked.wait(lambda asked: len(asked) == 2)
    zkdiscovery_proxy.heal()
    assert not term.wait_lost(0.7 * T), term.reason


CHILD = """
import socket, sys, threading, time
from zkdiscovery import Client
asked, ask = set(), socket.getaddrinfo
def noted(host, *args, **options):
    if not host[0].isdigit():
        asked.add(threading.current_thread().name)
    return ask(host, *args, **options)
socket.getaddrinfo = noted
start = time.monotonic()
with Client("zookeeper.example.org:2181," + sys.argv[1], session_timeout=4.0, namespace=sys.argv[2]) as client:
    client.wait_connected(20.0)
    print(time.monotonic() - start, *asked, flush=True)
"""


def test_a_name_server_that_answers_nothing(
    zkdiscovery_server: ZookeeperServer, namespace: str, tmp_path: Path
) -> None:
    """A real one, in a mount namespace with its own /etc/resolv.conf: the system's resolver takes 10 s and more."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as name_server:
        try:
            name_server.bind(("127.0.0.66", 53))
        except OSError as error:
            pytest.skip(f"can't be a name server: {error}")
        (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.66\noptions timeout:5 attempts:2\n")
        (tmp_path / "nsswitch.conf").write_text("hosts: dns\n")
        mounts = "; ".join(f"mount --bind {tmp_path}/{name} /etc/{name}" for name in ("resolv.conf", "nsswitch.conf"))
        command = ["unshare", "--mount", "sh", "-ec", f'{mounts}; exec "$@"', "sh"]
        try:
            subprocess.run([*command, "true"], check=True, capture_output=True, timeout=LIMIT)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no mount namespace to be had: {error}")
        child = subprocess.run(
            [*command, sys.executable, "-c", CHILD, zkdiscovery_server.hosts.split(",")[0], namespace],
            check=True, capture_output=True, text=True, timeout=LIMIT,
        )  # fmt: skip
        assert name_server.recv(512, socket.MSG_DONTWAIT), "it was asked"
    seconds, *threads = child.stdout.split()
    assert float(seconds) < 4.0
    assert threads == ["zkdiscovery-resolve"]
