"""A bridge follows the containers of one engine: whatever is healthy there is registered, and nothing else."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.conftest import MakeClient
from tests.interop.docker.conftest import Follow
from tests.interop.docker.engine import Engine
from tests.interop.docker.following import LABELS, healthy, registered, run, statuses
from tests.interop.docker.images import build_web
from tests.interop.docker.machines import network_namespace
from tests.support import LIMIT, Recorder, wait_until, wait_view
from zkdiscovery import Change, Status

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
