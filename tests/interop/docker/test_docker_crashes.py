"""Containers that register themselves: what the killed ones leave goes at once, and nothing of those that live does."""

from __future__ import annotations

import os
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress

import pytest
from docker import APIClient

from tests.conftest import MakeClient
from tests.interop.docker.conftest import Follow
from tests.interop.docker.engine import Engine, inspected
from tests.interop.docker.following import Callers, run
from tests.interop.docker.freezing import FreezingProxy
from tests.interop.docker.images import PORT, python_mounts
from tests.support import LIMIT, Recorder, wait_until, wait_view
from zkdiscovery import Change, Client, Instance
from zkdiscovery.testing import ZookeeperServer

T = 4.0  # seconds, the session timeout of what the containers register
RATE = 100.0  # calls a second
SOON = 1.0  # seconds from the engine's report
SUBNET, ADDRESS = "10.87.0.0/24", "10.87.0.9"

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


class Services:
    """Containers whose program registers itself, with this package."""

    def __init__(self, engine: Engine, hosts: str, namespace: str) -> None:
        self._engine = engine
        self._environment = {
            "ZKDISCOVERY_HOSTS": hosts, "ZKDISCOVERY_NAMESPACE": namespace, "ZKDISCOVERY_SESSION_TIMEOUT": f"{T:g}",
        }  # fmt: skip

    def run(self, service: str, *options: str, port: int = PORT) -> str:
        """Run one, and return its container's id."""
        given = [f"--env={name}={value}" for name, value in self._environment.items()]
        program = ("-m", "tests.interop.docker.service", service, str(port))
        return run(self._engine, *python_mounts(), *given, *options, labels={}, image="python:1", arguments=program)

    def kill(self, container: str) -> None:
        """Kill its program with -9, past the engine."""
        os.kill(inspected(self._engine, container)["State"]["Pid"], signal.SIGKILL)


@pytest.fixture
def services(engine: Engine, zkdiscovery_server: ZookeeperServer, namespace: str) -> Iterator[Services]:
    """Containers that reach ZooKeeper, which listens on loopback, at the machine's address on their bridge."""
    gateway = inspected(engine, "--type", "network", "bridge")["IPAM"]["Config"][0]["Gateway"]
    with FreezingProxy(zkdiscovery_server.hosts, gateway) as proxy:
        yield Services(engine, proxy.address, namespace)
        engine.remove_all()


@pytest.fixture
def fixed(engine: Engine) -> Iterator[tuple[str, ...]]:
    """Options that give a container the same address as the last one had."""
    engine.docker("network", "create", "--subnet", SUBNET, "fixed")
    yield "--network", "fixed", "--ip", ADDRESS
    engine.remove_all()
    engine.docker("network", "rm", "fixed")


class Report:
    """Waits for the engine's report that a container has ended."""

    def __init__(self, engine: Engine, container: str) -> None:
        self.at = 0.0  # monotonic seconds
        self._api = APIClient(engine.host, version="auto")
        self._events = self._api.events(decode=True, filters={"event": ["die"], "container": [container]})
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        next(self._events)
        self.at = time.monotonic()

    def wait(self) -> float:
        """Return when it came."""
        self._thread.join(LIMIT)
        self._events.close()
        self._api.close()
        assert self.at
        return self.at


def registered(client: Client, count: int, service: str = "payments") -> dict[str, Instance]:
    """Wait for so many instances. Return them by the container that they name, as far as they name one alone."""
    wait_until(lambda: len(client.instances(service)) == count, 3 * LIMIT)
    return {each.runtime or "": each for each in client.instances(service)}


@pytest.mark.parametrize("bridged", [True, False], ids=["bridge", "no-bridge"])
def test_the_address_of_a_killed_container_is_never_called_under_its_name_again(
    engine: Engine,
    make_client: MakeClient,
    follow: Follow,
    services: Services,
    fixed: tuple[str, ...],
    bridged: bool,
) -> None:
    client = make_client()
    if bridged:
        follow(make_client(), engine.host)
    killed, stays = services.run("payments", *fixed), services.run("payments")
    instances = registered(client, 2)
    assert set(instances) == {killed, stays}
    assert instances[killed].host == ADDRESS
    view = client.discover("payments")
    wait_view(view, lambda snapshot: len(snapshot) == 2)
    removals: Recorder[float] = Recorder()  # monotonic seconds

    def note(change: Change) -> None:
        if any(new is None for _, new in change.delta.values()):
            removals(time.monotonic())

    view.on_change(note)
    report = Report(engine, killed)
    with Callers(make_client(), RATE, "payments") as callers:
        callers.wait_answers("payments")
        began = time.monotonic()
        services.kill(killed)
        reported = report.wait()
        run(engine, *fixed, "--env=VERSION=other", labels={}, image="plain:1")
        wait_until(lambda: answers_as_other(ADDRESS))
        answered = time.monotonic()
        (gone,) = removals.wait(bool)
        wait_until(lambda: len(callers.seen) == 1)
        callers.wait_answers("payments")  # those under way have ended
        misled = callers.answers["other"]
        callers.wait_answers("payments", 200)
    print(
        f"{'with' if bridged else 'without'} a bridge: gone {gone - began:.2f} s after the kill,"
        f" {gone - reported:.2f} s after the engine's report; its name led to another service for"
        f" {max(0.0, gone - answered):.2f} s"
    )
    assert not callers.counts["failed"]
    assert callers.answers["other"] == misled, "its name leads there no more"
    if bridged:
        assert gone - reported < SOON
        assert gone < answered
        assert misled == 0


def answers_as_other(host: str) -> bool:
    """Does the other service serve?"""
    with suppress(OSError), urllib.request.urlopen(f"http://{host}:{PORT}/", timeout=LIMIT) as answer:
        return bool(answer.read().startswith(b"other"))
    return False


@pytest.mark.parametrize("groups", ["host", "private"])
def test_no_registration_of_a_container_that_lives_is_removed(
    engine: Engine, make_client: MakeClient, follow: Follow, services: Services, groups: str
) -> None:
    """Whatever they share: host names, the machine's network, or the network of another container.

    With a namespace of control groups of its own, what shares the network of another container can't tell which of the
    two it is, and neither can the bridge.
    """
    client = make_client()
    follow(make_client(), engine.host)
    host = ("--network", "host", f"--cgroupns={groups}")
    one = services.run("payments", "--hostname", "same")
    two = services.run("payments", "--hostname", "same")
    owner = services.run("payments", *host, port=8081)
    other = services.run("payments", *host, "--hostname", "same", port=8082)
    beside = services.run("payments", "--network", f"container:{owner}", f"--cgroupns={groups}", port=8083)
    registered(client, 5)
    by_port = {each.port: each for each in client.instances("payments") if each.port != PORT}
    by_run = {each.runtime: each for each in client.instances("payments")}
    assert by_port[8083].runtime == (beside if groups == "host" else owner)
    view = client.discover("payments")
    wait_view(view, lambda snapshot: len(snapshot) == 5)
    changes: Recorder[Change] = Recorder()
    view.on_change(changes)

    def removed() -> set[str]:
        return {key for change in changes.items for key, (_, new) in change.delta.items() if new is None}

    gone: set[str] = set()
    for victim, instance in ((one, by_run[one]), (owner, by_port[8081]), (beside, by_port[8083])):
        began = time.monotonic()
        services.kill(victim)
        gone.add(instance.id)
        wait_until(lambda: removed() >= gone)
        print(f"port {instance.port}: gone {time.monotonic() - began:.2f} s after the kill")
        run(engine, labels={})  # the bridge lists once more
        assert removed() == gone
    assert {each.runtime for each in view.instances} == {two, other}
    engine.docker("restart", "--time", "0", two)
    before = by_run[two].registered_at
    wait_until(lambda: {each.registered_at for each in view.instances if each.runtime == two} - {before, None})
    run(engine, labels={})
    time.sleep(SOON)
    assert {each.runtime for each in client.instances("payments")} == {two, other}, "its next run is not its last one"
