"""Bridges follow the services of a Swarm while people scale, roll and remove them."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.conftest import MakeClient
from tests.interop.docker.conftest import Follow
from tests.interop.docker.engine import Engine
from tests.interop.docker.following import Callers, registered
from tests.interop.docker.images import PORT
from tests.interop.docker.swarms import create, host_ports, image_id, running, update_state
from tests.support import LIMIT, wait_until

RATE = 100.0  # calls a second
SOON = 2.0  # seconds in which a change is followed

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


@pytest.mark.short
def test_scaling_is_followed(swarm: Engine, make_client: MakeClient, follow: Follow) -> None:
    client = make_client()
    follow(client, swarm.host, swarm=True)
    create(swarm, "--replicas", "1", image="web:1")
    wait_until(lambda: len(registered(client)) == 1)
    swarm.docker("service", "scale", "--detach", "web=5")
    late: dict[str, float] = {}
    healthy_at: dict[str, float] = {}

    def followed() -> bool:
        there, now = registered(client), time.monotonic()
        for task in running(swarm):
            healthy_at.setdefault(task, now)
        for task in there:
            late.setdefault(task, now - healthy_at.get(task, now))
        return len(there) == 5

    wait_until(followed, 2 * LIMIT)
    print("seconds from healthy to registered:", sorted(round(seconds, 2) for seconds in late.values()))
    assert max(late.values()) < SOON
    assert {(each.host, each.port) for each in client.instances("web")} == host_ports(swarm)
    with Callers(make_client(), RATE) as callers:
        callers.wait_answers("1")
        swarm.docker("service", "scale", "--detach", "web=2")
        wait_until(lambda: len(registered(client)) == 2)
        wait_until(lambda: len(client.instances("web")) == 2, 2 * LIMIT)
        callers.wait_answers("1", 100)
    assert not callers.counts["failed"]


@pytest.mark.parametrize("image", [pytest.param("web", marks=pytest.mark.short), "hasty"])
def test_a_rolling_update_loses_no_call(swarm: Engine, make_client: MakeClient, follow: Follow, image: str) -> None:
    """A program that ends at once on SIGTERM costs retries, and one that serves on for 2 s costs nothing."""
    client = make_client()
    follow(client, swarm.host, swarm=True)
    create(swarm, "--replicas", "3", "--update-order", "start-first", "--update-parallelism", "1", image=f"{image}:1")
    wait_until(lambda: len(registered(client)) == 3, 2 * LIMIT)
    with Callers(make_client(), RATE) as callers:
        callers.wait_answers("1")
        swarm.docker(
            "service", "update", "--detach", "--image", image_id(swarm, f"{image}:2"), "--no-resolve-image", "web"
        )
        wait_until(lambda: update_state(swarm) == "completed", 4 * LIMIT)
        wait_until(lambda: len(client.instances("web")) == 3, LIMIT)
        callers.wait_answers("2", 100)
    assert not callers.counts["failed"]
    assert image == "hasty" or not callers.counts["retried"]
    assert set(callers.answers) == {"1", "2"}


def test_a_label_of_a_service_is_changed(swarm: Engine, make_client: MakeClient, follow: Follow) -> None:
    client = make_client()
    follow(client, swarm.host, swarm=True)
    create(swarm, image="web:1")
    wait_until(lambda: len(registered(client)) == 1)
    before = registered(client)
    swarm.docker("service", "update", "--detach", "--label-add", "zkdiscovery.weight=3", "web")
    wait_until(lambda: [each.weight for each in client.instances("web")] == [3.0], SOON)
    assert registered(client) == before, "it restarts nothing"
    swarm.docker("service", "update", "--detach", "--label-rm", "zkdiscovery.name", "web")
    wait_until(lambda: not client.instances("web"), SOON)


def test_a_stack(swarm: Engine, make_client: MakeClient, follow: Follow, tmp_path: Path) -> None:
    client = make_client()
    follow(client, swarm.host, swarm=True)
    file = tmp_path / "stack.yaml"
    file.write_text(
        f"""
        version: "3.7"
        services:
          web:
            image: {image_id(swarm, "web:1")}
            networks: [backend, frontend]
            deploy:
              replicas: 2
              labels: {{zkdiscovery.name: web, zkdiscovery.port: "{PORT}", zkdiscovery.network: backend}}
        networks: {{backend: {{}}, frontend: {{}}}}
        """
    )
    swarm.docker("stack", "deploy", "--detach=true", "--resolve-image", "never", "--compose-file", str(file), "shop")
    wait_until(lambda: len(registered(client)) == 2, 2 * LIMIT)
    subnet = json.loads(swarm.docker("network", "inspect", "shop_backend"))[0]["IPAM"]["Config"][0]["Subnet"]
    beginning = subnet.rpartition(".")[0]
    assert all(each.host.startswith(f"{beginning}.") for each in client.instances("web"))
    swarm.docker("stack", "rm", "shop")
    wait_until(lambda: not client.instances("web"))


def test_one_of_two_bridges_leads(swarm: Engine, make_client: MakeClient, follow: Follow) -> None:
    client = make_client()
    first = follow(make_client(), swarm.host, swarm=True)
    create(swarm, "--replicas", "2", image="web:1")
    wait_until(lambda: len(registered(client)) == 2, 2 * LIMIT)
    follow(make_client(), swarm.host, swarm=True)
    before = client.instances("web")
    first.stop()
    swarm.docker("service", "scale", "--detach", "web=3")
    wait_until(lambda: len(registered(client)) == 3, 2 * LIMIT)
    assert set(before) <= set(client.instances("web")), "the change of leaders has touched nothing"
