"""The guide "Coming from Consul", step by step and back, under 50 calls a second by consumers of each registry."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack

import pytest

from tests.conftest import MakeClient
from tests.interop.consul.callers import Caller, ConsulList, OfConsul, OfZooKeeper, Process
from tests.interop.consul.server import Consul
from tests.support import wait_until
from zkdiscovery import Client, Status
from zkdiscovery.bridges.sources import read_sources, remove_source
from zkdiscovery.testing import ZookeeperServer

pytestmark = [pytest.mark.timeout(240), pytest.mark.long]

LIMIT = 60.0  # seconds for the start of a program, on a busy machine
OPERATION = 10.0  # seconds
SESSION_TIMEOUT = 10.0  # seconds; a session that a busy machine ends is not the subject here


class Migration:
    """Programs of one test; all of them end with it."""

    def __init__(self, consul: Consul, client: Client, environment: dict[str, str], stack: ExitStack) -> None:
        self.consul = consul
        self.client = client
        self.view = stack.enter_context(client.discover("payments"))
        self.callers: list[Caller] = []
        self._environment = environment
        self._stack = stack

    def bridge(self) -> Process:
        arguments = ("-m", "zkdiscovery", "bridge", "consul", self.consul.url, "--export")
        return self._stack.enter_context(Process(*arguments, environment=self._environment))

    def of_consul(self) -> OfConsul:
        return self._stack.enter_context(OfConsul(self.consul))

    def of_zookeeper(self) -> OfZooKeeper:
        return self._stack.enter_context(OfZooKeeper(self._environment))

    def call(self, ports: Callable[[], Collection[int]]) -> Caller:
        caller = Caller(ports)
        self.callers.append(caller)
        return caller

    def zookeepers_ports(self) -> list[int]:
        """What this SDK picks from."""
        return [self.view.pick().port]

    def wait_listed(self, *ports: int) -> None:
        """Wait until both registries offer exactly these."""

        def of_zookeeper() -> set[int]:
            return {instance.port for instance in self.view.instances if instance.status is Status.UP}

        wait_until(lambda: set(self.consul.passing("payments")) == of_zookeeper() == set(ports), LIMIT)

    def assert_none_failed(self) -> None:
        assert [caller.failed for caller in self.callers] == [[] for _ in self.callers]


@pytest.fixture
def migration(
    consul: Consul, make_client: MakeClient, zkdiscovery_server: ZookeeperServer, namespace: str
) -> Iterator[Migration]:
    environment = {
        **os.environ,
        "ZKDISCOVERY_HOSTS": zkdiscovery_server.hosts,
        "ZKDISCOVERY_NAMESPACE": namespace,
        "ZKDISCOVERY_SESSION_TIMEOUT": f"{SESSION_TIMEOUT:g}",
    }
    with ExitStack() as stack:
        yield Migration(consul, make_client(session_timeout=SESSION_TIMEOUT), environment, stack)


def test_from_consul_and_back_with_no_failed_call(migration: Migration) -> None:
    consul, client = migration.consul, migration.client
    old = [migration.of_consul(), migration.of_consul()]
    wait_until(lambda: len(consul.passing("payments")) == 2, LIMIT)
    with ExitStack() as readers:
        there = readers.enter_context(ConsulList(consul))
        readers.enter_context(migration.call(there.ports))

        bridges = [migration.bridge(), migration.bridge()]  # 1. both ways
        migration.wait_listed(old[0].port, old[1].port)
        readers.enter_context(migration.call(migration.zookeepers_ports))  # 2. consumers move

        new: list[OfZooKeeper] = []
        for leaving, staying in ((old[0], old[1].port), (old[1], None)):  # 3. instances move
            new.append(migration.of_zookeeper())
            kept = {one.port for one in new} | ({staying} if staying else set())
            migration.wait_listed(leaving.port, *kept)
            leaving.leave()
            migration.wait_listed(*kept)
            time.sleep(1)  # what a consumer of Consul may still call from its list
            assert leaving.finish() == -15
            if staying:
                kill_the_leader(client, bridges, migration)
        migration.wait_listed(*(one.port for one in new))
        migration.assert_none_failed()

        back: list[OfConsul] = []
        for number, draining in enumerate(new, 1):  # and the way back
            back.append(migration.of_consul())
            kept = {one.port for one in back} | {one.port for one in new[number:]}
            migration.wait_listed(draining.port, *kept)
            draining.end()  # it drains for 3 s before the program is told
            migration.wait_listed(*kept)
        migration.assert_none_failed()
    for caller in migration.callers:
        print(f"{caller.calls} calls, {len(caller.failed)} failed, {len(caller.called)} instances")
        assert len(caller.called) == 6

    for bridge in bridges:  # the end of the bridges
        bridge.end()
    (source,) = read_sources(client, OPERATION)
    assert remove_source(client, source.name, OPERATION) == 2
    assert client.instances("payments") == []
    assert set(consul.passing("payments")) == {one.port for one in back}


def test_consul_is_retired_while_ours_stay(migration: Migration) -> None:
    consul, client = migration.consul, migration.client
    old, bridge, new = migration.of_consul(), migration.bridge(), migration.of_zookeeper()
    migration.wait_listed(old.port, new.port)
    with migration.call(migration.zookeepers_ports):
        old.leave()
        migration.wait_listed(new.port)
        old.finish()
        wait_until(lambda: [one.port for one in migration.view.instances] == [new.port], LIMIT)
        bridge.end()
        (source,) = read_sources(client, OPERATION)
        assert remove_source(client, source.name, OPERATION) == 0
        (node,) = {entry["Node"]["Node"] for entry in consul.passing("payments").values()}
        consul.put("/v1/catalog/deregister", {"Node": node})
        assert consul.get("/v1/catalog/service/payments") == []
        assert list(consul.get("/v1/catalog/services")) == ["consul"]
        consul.kill()
        time.sleep(1)  # calls go on
    migration.assert_none_failed()


def kill_the_leader(client: Client, bridges: list[Process], migration: Migration) -> None:
    """Kill the bridge that leads, and start another one once the next one leads."""

    def leader() -> str | None:
        (status,) = read_sources(client, OPERATION)
        return status.leader

    before = leader()
    assert before is not None
    (leading,) = (bridge for bridge in bridges if f":{bridge.pid}:" in before)
    leading.kill()
    wait_until(lambda: leader() not in (None, before), LIMIT)
    bridges.remove(leading)
    bridges.append(migration.bridge())
