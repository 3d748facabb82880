"""A bridge follows the containers of one engine: whatever is healthy there is registered, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from docker import APIClient

from tests.conftest import MakeClient
from tests.interop.docker.conftest import Follow
from tests.interop.docker.engine import Engine
from tests.interop.docker.following import LABELS, Churn, healthy, registered, run, statuses, wait_truth
from tests.interop.docker.freezing import FreezingProxy
from tests.interop.docker.images import build_web
from tests.support import LIMIT, Recorder, Truth, core_of, wait_until, wait_view
from zkdiscovery import Change, Instance, Status
from zkdiscovery.testing import ZookeeperServer

CHURN = 50  # starts, and almost as many stops

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


def test_a_container_is_registered_while_it_is_healthy(engine: Engine, make_client: MakeClient, follow: Follow) -> None:
    client = make_client()
    follow(client, engine.host)
    view = client.discover("web")
    seen: Recorder[Change] = Recorder()
    view.on_change(seen)
    container = run(engine, labels={"zkdiscovery.name": "web", "zkdiscovery.tags": "a,b", "zkdiscovery.meta.team": "x"})
    snapshot = wait_view(view, lambda snapshot: len(snapshot) == 1)
    wait_until(lambda: healthy(engine) == {container})
    (instance,) = snapshot
    assert instance.status is Status.UP
    assert (instance.tags, instance.metadata["team"], instance.port) == (("a", "b"), "x", 8080)
    assert instance.host.startswith("172.")
    engine.docker("stop", container)
    wait_view(view, lambda snapshot: not len(snapshot))
    states = [new.status for change in seen.items for _, new in change.delta.values() if new is not None]
    assert states == [Status.UP, Status.DRAINING], "it drains while it serves on after SIGTERM"
    assert not view.snapshot.suspects, "it was deregistered"
    engine.docker("start", container)
    assert wait_view(view, lambda snapshot: len(snapshot) == 1).instances[0].status is Status.UP


def test_a_signal_that_ends_nothing(engine: Engine, make_client: MakeClient, follow: Follow) -> None:
    client = make_client()
    follow(client, engine.host)
    container = run(engine)
    wait_until(lambda: registered(client) == {container})
    engine.docker("kill", "--signal", "WINCH", container)
    other = run(engine)  # the bridge has seen the signal when it sees this one
    wait_until(lambda: registered(client) == {container, other})


def test_a_label_asks_for_a_check(engine: Engine, make_client: MakeClient, follow: Follow) -> None:
    client = make_client()
    follow(client, engine.host)
    container = run(engine, labels={**LABELS, "zkdiscovery.check": "http:/ready"}, image="plain:1")
    wait_until(lambda: statuses(client) == {container: Status.STARTING})
    engine.docker("exec", container, "sh", "-c", "echo yes >/www/ready")
    wait_until(lambda: statuses(client) == {container: Status.UP})
    hung = run(engine, labels={**LABELS, "zkdiscovery.check": "http:/index.html"}, image="plain:1")
    wait_until(lambda: statuses(client) == {container: Status.UP, hung: Status.UP})
    for process in engine.docker("exec", hung, "pidof", "httpd").split():
        engine.docker("exec", hung, "kill", "-STOP", process)
    began = time.monotonic()
    wait_until(lambda: statuses(client)[hung] is Status.DOWN, 2 * LIMIT)
    print(f"a server that hangs is DOWN after {time.monotonic() - began:.1f} s")
    assert statuses(client)[container] is Status.UP


def test_bad_labels_are_told_once_and_harm_nobody_else(
    engine: Engine, make_client: MakeClient, follow: Follow, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_client()
    bad = run(engine, "--name", "bad", labels={"zkdiscovery.name": "web", "zkdiscovery.port": "http"})
    run(engine, "--name", "odd", labels={"zkdiscovery.name": "web", "zkdiscovery.wieght": "2"})
    run(engine, "--name", "evil", labels={"zkdiscovery.name": "web", "zkdiscovery.check": "command:touch /tmp/x"})
    wait_until(lambda: len(healthy(engine)) == 3)
    follow(client, engine.host)
    wait_until(lambda: len(registered(client)) == 1)
    run(engine)
    wait_until(lambda: len(registered(client)) == 2)
    told = [record.getMessage() for record in caplog.records if "zkdiscovery.port must be" in record.getMessage()]
    assert len(told) == 1
    assert f"container bad ({bad[:12]})" in told[0]
    assert sum("a command would run on the bridge's machine" in record.getMessage() for record in caplog.records) == 1
    assert sum("no such label, ignored: zkdiscovery.wieght" in record.getMessage() for record in caplog.records) == 1


def test_compose_and_its_scale(engine: Engine, make_client: MakeClient, follow: Follow, tmp_path: Path) -> None:
    client = make_client()
    follow(client, engine.host)
    file = tmp_path / "compose.yaml"
    file.write_text(
        """
        services:
          web:
            image: web:1
            labels: {zkdiscovery.name: web, zkdiscovery.network: backend}
            networks: [backend, frontend]
        networks: {backend: {}, frontend: {}}
        """
    )
    compose = ("compose", "--project-name", "shop", "--file", str(file))
    engine.docker(*compose, "up", "--detach", "--scale", "web=3")
    wait_until(lambda: len(registered(client)) == 3)
    assert registered(client) == healthy(engine)
    engine.docker(*compose, "up", "--detach", "--scale", "web=1", "--no-recreate")
    wait_until(lambda: len(client.instances("web")) == 1)
    engine.docker(*compose, "down")
    wait_until(lambda: not client.instances("web"))


@pytest.mark.short
def test_a_bridge_that_is_killed_amid_starts_and_stops(
    engine: Engine, make_client: MakeClient, zkdiscovery_server: ZookeeperServer, namespace: str
) -> None:
    client = make_client()
    with Churn(engine, CHURN) as churn:
        with bridge(engine, zkdiscovery_server.hosts, namespace) as process:
            wait_until(lambda: registered(client))
            process.kill()
            process.wait()
        wait_until(lambda: churn.done > CHURN // 2, 4 * LIMIT)
        with bridge(engine, zkdiscovery_server.hosts, namespace) as process:
            churn.wait()
            print(f"the truth after {wait_truth(client, engine):.2f} s")
            process.send_signal(signal.SIGTERM)
            assert process.wait(LIMIT) == 128 + signal.SIGTERM


@pytest.mark.long
def test_an_engine_that_is_restarted_amid_starts_and_stops(
    engine: Engine, make_client: MakeClient, follow: Follow
) -> None:
    client = make_client()
    follow(client, engine.host)
    with Churn(engine, 10) as churn:
        churn.wait()
    wait_until(lambda: registered(client))
    engine.stop()
    engine.start()
    with Churn(engine, 10) as churn:
        churn.wait()
    print(f"the truth after {wait_truth(client, engine):.2f} s")
    assert registered(client)


@pytest.mark.long
def test_a_half_open_connection_amid_starts_and_stops(engine: Engine, make_client: MakeClient, follow: Follow) -> None:
    client = make_client()
    with FreezingProxy(engine.address) as proxy:
        follow(client, f"tcp://{proxy.address}")
        with Churn(engine, CHURN) as churn:
            wait_until(lambda: registered(client))
            proxy.freeze()
            began = time.monotonic()
            churn.wait()
        churned = time.monotonic()
        wait_truth(client, engine, 60.0)
        now = time.monotonic()
        print(f"the truth {now - churned:.1f} s after the last stop, {now - began:.1f} s after the connections froze")


@pytest.mark.short
def test_two_engines_never_touch_each_others_entries(
    engine: Engine, make_client: MakeClient, follow: Follow, tmp_path_factory: pytest.TempPathFactory
) -> None:
    client = make_client()
    folder = tmp_path_factory.mktemp("other")  # not tmp_path: the path of a socket has 107 bytes at most
    # Its addresses are the same as those of the first one, and it has the same labels.
    with network_namespace() as namespace, Engine(folder, namespace=namespace) as other:
        build_web(other, "web:1")
        follow(make_client(), engine.host)
        second = follow(make_client(), other.host)
        one, two = run(engine), run(other)
        wait_until(lambda: registered(client) == {one, two})
        assert len({each.host for each in client.instances("web")}) == 1
        other.docker("rm", "--force", two)
        wait_until(lambda: registered(client) == {one})
        two = run(other)
        wait_until(lambda: registered(client) == {one, two})
        engine.docker("rm", "--force", one)
        wait_until(lambda: registered(client) == {two})
        second.stop()


@pytest.mark.long
def test_a_host_that_dies_with_its_bridge_leaves_nothing(
    engine: Engine, make_client: MakeClient, zkdiscovery_server: ZookeeperServer, namespace: str
) -> None:
    client = make_client()
    run(engine)
    with bridge(engine, zkdiscovery_server.hosts, namespace) as process:
        wait_until(lambda: registered(client))
        engine.kill()
        process.kill()
        began = time.monotonic()
        wait_until(lambda: not client.instances("web"))
        print(f"gone {time.monotonic() - began:.1f} s after the host died, T = {T:g} s")
    engine.start()


def test_a_container_that_is_killed_takes_its_own_registration_along(
    engine: Engine, make_client: MakeClient, follow: Follow, truth: Truth
) -> None:
    client = make_client()
    core = core_of(client)
    follow(client, engine.host)
    containers = run(engine, labels={}), run(engine, labels={})

    def path(container: str) -> str:
        return core.paths.instance("payments", f"own@{container}")

    for port, container in enumerate(containers, 9001):
        own = Instance("payments", "192.0.2.1", port, id=f"own@{container}", runtime=container)
        truth.create(path(container), core.codec.encode(own), ephemeral=True)
    wait_until(lambda: len(client.instances("payments")) == 2)
    reported: list[float] = []
    killed, other = containers

    def report() -> None:
        api = APIClient(engine.host, version="auto")
        events = api.events(decode=True, filters={"event": ["die"], "container": [killed]})
        ready.set()
        next(events)
        reported.append(time.monotonic())
        events.close()
        api.close()

    ready = threading.Event()
    listener = threading.Thread(target=report)
    listener.start()
    assert ready.wait(LIMIT)
    began = time.monotonic()
    engine.docker("kill", killed)
    truth.wait(path(killed), lambda node: node is None)
    gone = time.monotonic()
    listener.join(LIMIT)
    print(f"gone {gone - reported[0]:.2f} s after the engine's report, {gone - began:.2f} s after the kill")
    assert truth.get(path(other)) is not None


T = 4.0  # seconds, the session timeout of bridges that are processes


@contextmanager
def bridge(engine: Engine, hosts: str, namespace: str) -> Iterator[subprocess.Popen[bytes]]:
    """The command, as a process."""
    environment = {
        **os.environ, "DOCKER_HOST": engine.host, "ZKDISCOVERY_HOSTS": hosts, "ZKDISCOVERY_NAMESPACE": namespace,
        "ZKDISCOVERY_SESSION_TIMEOUT": f"{T:g}",
    }  # fmt: skip
    process = subprocess.Popen([sys.executable, "-m", "zkdiscovery", "bridge", "docker"], env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait(LIMIT)


@contextmanager
def network_namespace() -> Iterator[str]:
    """Another machine, as far as a network is concerned: its path."""
    holder = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "ip link set lo up; echo; exec sleep 3600"], stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    try:
        yield f"/proc/{holder.pid}/ns/net"
    finally:
        holder.kill()
        holder.wait(LIMIT)
        holder.stdout.close()
