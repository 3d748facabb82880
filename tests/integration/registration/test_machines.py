"""Machines with equal private addresses register beside each other; so do containers with several networks."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.child import Child
from tests.integration.registration.helpers import wait_stored
from tests.integration.registration.machines import GATEWAY, Machines, machines
from tests.support import Truth
from zkdiscovery.testing import ZookeeperServer

REPLICA = """
import logging, sys
from zkdiscovery import Client
logging.basicConfig(level=logging.INFO, stream=sys.stdout)
hosts, namespace, timeout, *port = sys.argv[1:]
client = Client(hosts, namespace=namespace, session_timeout=float(timeout))
registration = client.register("payments", int(*port or [8080]))
registration.on_change(lambda registration: print("state", registration.state))
try:
    registration.wait_registered(20.0)
except Exception as error:  # in one piece: a traceback would be mixed with the log of other threads
    sys.stdout.write(f"{type(error).__module__}.{type(error).__name__}: {error}\\n")
else:
    print("registered", registration.instance.id)
"""


SAID = {2: "10.0.0.0/8", 3: "if:eth1", 4: "10.0.1.3"}  # by port


@pytest.fixture
def hosts(tmp_path: Path, zkdiscovery_server: ZookeeperServer) -> Iterator[Machines]:
    with machines(tmp_path, zkdiscovery_server.hosts) as made:
        yield made


def test_two_machines_with_equal_addresses_register_all_their_containers(
    hosts: Machines, truth: Truth, namespace: str
) -> None:
    containers = [*hosts.machine(["c1", "c2"]), *hosts.machine(["c3", "c4"])]
    with ExitStack() as stack:
        replicas = [
            stack.enter_context(Child(REPLICA, hosts.zookeeper, namespace, "10", within=container))
            for container in containers
        ]
        for replica in replicas:
            replica.wait_line("registered")
        children = truth.children(f"{namespace}/services/payments")
        assert children == [f"c{number}@172.31.99.{2 + (number - 1) % 2}:8080" for number in range(1, 5)]
        for replica in replicas:
            replica.say("print('now', registration.state)")
            replica.wait_line("now REGISTERED")
            assert not [line for line in replica.printed.items if "state CONFLICT" in line]


def test_machines_whose_names_are_equal_too_do_not_evict_each_other(
    hosts: Machines, truth: Truth, namespace: str, tmp_path: Path
) -> None:
    (first,), (second,) = hosts.machine(["web"]), hosts.machine(["web"])
    with Child(REPLICA, hosts.zookeeper, namespace, "2", within=first) as one:
        one.wait_line("registered web@172.31.99.2:8080")
        before = truth.get(f"{namespace}/services/payments/web@172.31.99.2:8080")
        with Child(REPLICA, hosts.zookeeper, namespace, "2", within=second) as other:
            other.wait_line("state WAITING")
            conflict = other.wait_line("ERROR:zkdiscovery.znodes:")
            other.wait_line("zkdiscovery.errors.RegistrationConflict: ")
        after = truth.get(f"{namespace}/services/payments/web@172.31.99.2:8080")
        assert before is not None
        assert after is not None
        assert after.stat.czxid == before.stat.czxid
        assert "two machines have one host name" in conflict
        assert all(boot_id.read_text().strip() in conflict for boot_id in tmp_path.glob("boot-*"))
        one.say("registration.close()")
        one.wait_line("state CLOSED")


def test_a_process_killed_on_one_machine_is_followed_at_once_there(hosts: Machines, namespace: str) -> None:
    (container,) = hosts.machine(["web"])
    with Child(REPLICA, hosts.zookeeper, namespace, "30", within=container) as killed:
        killed.wait_line("registered")
        killed.kill()
        with Child(REPLICA, hosts.zookeeper, namespace, "30", within=container) as successor:
            successor.wait_line("registered web@172.31.99.2:8080")
            assert not [line for line in successor.printed.items if line.startswith("state WAITING")]


def test_a_container_with_a_network_of_its_own_beside_the_way_to_zookeeper(hosts: Machines, namespace: str) -> None:
    (container,) = hosts.machine(["task"])
    hosts.join_overlay(container, "10.0.1.3")
    with ExitStack() as stack:

        def start(*variables: str, port: int) -> Child:
            within = [*container, "env", *variables]
            return stack.enter_context(Child(REPLICA, hosts.zookeeper, namespace, "10", str(port), within=within))

        told = start(port=1)
        others = [start(f"ZKDISCOVERY_ADVERTISE_HOST={said}", port=port) for port, said in SAID.items()]
        told.wait_line("registered task@172.31.99.2:1")
        (warning,) = [line for line in told.printed.items if line.startswith("WARNING:zkdiscovery.registration")]
        assert "advertising 172.31.99.2" in warning
        assert "clients may need eth1 (10.0.1.3)" in warning
        for port, other in zip(SAID, others, strict=True):
            other.wait_line(f"registered task@10.0.1.3:{port}")
            assert not [line for line in other.printed.items if line.startswith("WARNING:zkdiscovery.registration")]


def test_an_address_that_has_left_the_machine_is_followed_by_the_next(
    hosts: Machines, truth: Truth, namespace: str
) -> None:
    (container,) = hosts.machine(["laptop"])
    path = f"{namespace}/services/payments/laptop@172.31.99.2:8080"
    with Child(REPLICA, hosts.zookeeper, namespace, "10", within=container) as process:
        process.wait_line("registered laptop@172.31.99.2:8080")
        change = (
            "ip addr del 172.31.99.2/24 dev eth0; ip addr add 172.31.99.77/24 dev eth0;"
            f" ip route add default via {GATEWAY}"
        )
        subprocess.run([*container, "sh", "-ec", change], check=True)
        wait_stored(truth, path, lambda instance: instance.host == "172.31.99.77")
        process.say("print('now', registration.instance.netloc, registration.instance.id)")
        process.wait_line("now 172.31.99.77:8080 laptop@172.31.99.2:8080")
