"""Bridges that are killed: whatever they were doing, the next one ends with the truth."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import MakeClient
from tests.integration.bridges.conftest import StartBridge
from tests.integration.bridges.engines import Engine, Running, imported, wait_instances, wait_ports
from tests.support import Truth, wait_until
from tests.talking import TalkingProcess
from zkdiscovery import Client
from zkdiscovery.bridges import SourceUnavailable
from zkdiscovery.testing import FaultProxy, ZookeeperServer

PROGRAM = "tests/integration/bridges/bridge_process.py"

StartProcess = Callable[..., TalkingProcess]

kinds = pytest.mark.parametrize("kind", ["engine", "cluster"])


@pytest.fixture
def ports(tmp_path: Path) -> Path:
    """What the engine has."""
    return tmp_path / "ports"


@pytest.fixture
def start_process(zkdiscovery_server: ZookeeperServer, namespace: str, ports: Path) -> Iterator[StartProcess]:
    """Starts a bridge as a process."""
    with ExitStack() as stack:

        def start(*arguments: str) -> TalkingProcess:
            given = [PROGRAM, zkdiscovery_server.hosts, namespace, str(ports), *arguments]
            return stack.enter_context(TalkingProcess(*given))

        yield start


def have(path: Path, *ports: int) -> None:
    """Let the engine have exactly these."""
    path.with_suffix(".new").write_text(json.dumps(ports))
    path.with_suffix(".new").replace(path)


@kinds
@pytest.mark.parametrize("step", ["identity", "subscribe", "list", "listed"])
def test_killed_at_a_step(
    make_client: MakeClient, start_process: StartProcess, ports: Path, kind: str, step: str
) -> None:
    client = make_client()
    own = client.register("web", 9001, host="10.9.9.9", id="own").wait_registered(5.0)
    have(ports, 8001, 8002, 8003)
    killed = start_process(kind, step)
    killed.said.wait(lambda said: {"at": step} in said)
    killed.signal(signal.SIGKILL)
    have(ports, 8002, 8004)
    start_process(kind)
    wait_instances(client, "web", lambda found: found.keys() == {8002, 8004, 9001})
    assert own.error is None


@kinds
def test_killed_while_it_writes(make_client: MakeClient, start_process: StartProcess, ports: Path, kind: str) -> None:
    client = make_client()
    have(ports, *range(10_000, 13_000))
    killed = start_process(kind)
    wait_until(lambda: client.instances("web"))
    killed.signal(signal.SIGKILL)
    have(ports, *range(11_500, 14_000))
    start_process(kind)
    wait_instances(client, "web", lambda found: found.keys() == set(range(11_500, 14_000)), 40.0)


@kinds
def test_killed_and_started_again_without_a_gap(
    make_client: MakeClient, start_process: StartProcess, ports: Path, kind: str
) -> None:
    client = make_client()
    session_timeout = "20" if kind == "engine" else "4"  # a process takes a while to start on a busy machine
    have(ports, 8001, 8002, 8003)
    killed = start_process(kind, "-", session_timeout)
    wait_ports(client, "web", 1, 2, 3)
    view = client.discover("web")
    wait_until(lambda: len(view.instances) == 3)
    fewest = [3]
    view.on_change(lambda change: fewest.append(len(change.after.instances)))
    killed.signal(signal.SIGKILL)
    have(ports, 8001, 8002, 8003, 8004)
    start_process(kind, "-", session_timeout)
    wait_ports(client, "web", 1, 2, 3, 4)
    assert min(fewest) == 3


def test_a_leader_that_was_stopped_writes_nothing_when_it_goes_on(
    make_client: MakeClient, start_process: StartProcess, ports: Path, truth: Truth, namespace: str
) -> None:
    """It has listed what was true before, and ZooKeeper refuses what it writes of that."""
    client = make_client()
    have(ports, 8001)
    stopped = start_process("cluster")
    wait_ports(client, "web", 1)
    stopped.signal(signal.SIGSTOP)
    have(ports, 8002)
    start_process("cluster")
    wait_ports(client, "web", 2)
    seen: list[set[int]] = []
    view = client.discover("web")
    wait_until(lambda: len(view.instances) == 1)
    view.on_change(lambda change: seen.append({instance.port for instance in change.after.instances}))
    [source] = truth.children(f"{namespace}/bridges")
    before = truth.children(f"{namespace}/bridges/{source}")
    stopped.signal(signal.SIGCONT)
    stopped.tell()  # an event for it
    wait_until(lambda: len(truth.children(f"{namespace}/bridges/{source}")) == len(before) + 1)
    wait_ports(client, "web", 2)
    assert all(each == {8002} for each in seen)


class Misfortunes:
    """Two bridges of one engine behind a proxy, and what may happen to them."""

    def __init__(
        self, engine: Engine, start: Callable[[], Running], proxy: FaultProxy, expire: Callable[[Client], None]
    ) -> None:
        self.engine, self.start, self.proxy, self.expire = engine, start, proxy, expire
        self.running = [start(), start()]

    def begin(self, number: int) -> None:
        self.engine.put(imported(number))

    def end(self, number: int) -> None:
        self.engine.remove(number)

    def begin_unheard(self, number: int) -> None:
        self.engine.objects = self.engine.objects | {f"object-{number}": imported(number)}

    def end_unheard(self, number: int) -> None:
        objects = dict(self.engine.objects)
        objects.pop(f"object-{number}", None)
        self.engine.objects = objects

    def source_fails(self, _number: int) -> None:
        self.engine.error = None if self.engine.error else SourceUnavailable("a fault of the test")
        self.engine.tell()

    def connection_breaks(self, _number: int) -> None:
        self.proxy.drop()

    def session_expires(self, number: int) -> None:
        self.expire(self.running[number % 2].bridge._client)

    def bridge_is_replaced(self, number: int) -> None:
        self.running[number % 2].stop()
        self.running[number % 2] = self.start()


@pytest.mark.parametrize("seed", range(2))
def test_random_starts_and_stops_amid_faults(
    make_client: MakeClient,
    start_bridge: StartBridge,
    engine: Engine,
    zkdiscovery_proxy: FaultProxy,
    zkdiscovery_expire: Callable[[Client], None],
    seed: int,
) -> None:
    engine.relist = 0.5
    client, chance = make_client(), random.Random(seed)
    client.register("web", 9999, host="10.9.9.9", id="own").wait_registered(5.0)

    def start() -> Running:
        return start_bridge(make_client(zkdiscovery_proxy.address), engine)

    misfortunes = Misfortunes(engine, start, zkdiscovery_proxy, zkdiscovery_expire)
    mostly = [misfortunes.begin, misfortunes.end, misfortunes.begin_unheard, misfortunes.end_unheard]
    rarely = [
        misfortunes.source_fails, misfortunes.connection_breaks, misfortunes.session_expires,
        misfortunes.bridge_is_replaced,
    ]  # fmt: skip
    for number in range(50):
        chance.choice(mostly)(chance.randrange(12))
        if number % 5 == 0:
            chance.choice(rarely)(chance.randrange(12))
    engine.error = None
    zkdiscovery_proxy.heal()
    wanted = {each.port for each in engine.objects.values()} | {9999}
    wait_instances(client, "web", lambda found: found.keys() == wanted)
