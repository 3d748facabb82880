"""The machine's own engine, such as the 20.10 of Debian 12, is followed by the same code."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.conftest import MakeClient
from tests.interop.docker.conftest import Follow
from tests.interop.docker.engine import Engine
from tests.interop.docker.following import healthy, registered, run
from tests.interop.docker.images import build_web
from tests.interop.docker.swarms import create, running
from tests.support import LIMIT, Recorder, wait_until, wait_view
from zkdiscovery import Change, Status

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The engine that is installed on the machine."""
    if shutil.which("dockerd") is None or shutil.which("docker") is None:
        pytest.skip("no Docker engine is installed here, such as Debian's package docker.io")
    with Engine(tmp_path_factory.mktemp("engine"), installed=True) as engine:
        print(f"engine {engine.docker('version', '--format', '{{.Server.Version}}')}")
        build_web(engine, "web:1", health="")
        yield engine


def test_a_container_is_followed(engine: Engine, make_client: MakeClient, follow: Follow) -> None:
    client = make_client()
    follow(client, engine.host)
    view = client.discover("web")
    seen: Recorder[Change] = Recorder()
    view.on_change(seen)
    containers = {run(engine), run(engine)}
    wait_until(lambda: registered(client) == containers)
    assert healthy(engine) == containers
    engine.docker("stop", *containers)
    wait_view(view, lambda snapshot: not len(snapshot))
    statuses = {new.status for change in seen.items for _, new in change.delta.values() if new is not None}
    assert statuses == {Status.UP, Status.DRAINING}


def test_a_swarm_is_followed(swarm: Engine, make_client: MakeClient, follow: Follow) -> None:
    client = make_client()
    follow(client, swarm.host, swarm=True)
    create(swarm, "--replicas", "1", image="web:1")
    wait_until(lambda: len(registered(client)) == 1, 2 * LIMIT)
    swarm.docker("service", "scale", "--detach", "web=3")
    wait_until(lambda: len(registered(client)) == 3, 2 * LIMIT)
    assert registered(client) == running(swarm)
    swarm.docker("service", "scale", "--detach", "web=1")
    wait_until(lambda: len(client.instances("web")) == 1, 2 * LIMIT)
