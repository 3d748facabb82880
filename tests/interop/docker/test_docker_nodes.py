"""A Swarm of two nodes in two network namespaces, one of which is cut off and comes back."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.conftest import MakeClient
from tests.interop.docker.conftest import Follow
from tests.interop.docker.engine import Engine
from tests.interop.docker.following import Callers, registered
from tests.interop.docker.machines import linked_namespace, switch
from tests.interop.docker.swarms import create, running, update_state
from tests.support import LIMIT, wait_until
from zkdiscovery import Client

HERE, THERE = "10.88.0.1", "10.88.0.2"
REPLICAS = 4
RATE = 50.0  # calls a second
SOON = 2.0  # seconds in which a change is followed

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


class Worker(NamedTuple):
    """The node that is no manager, and the link that leads to it."""

    engine: Engine
    link: str


@pytest.fixture(scope="module")
def worker(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """The worker of a Swarm that the engine manages."""
    folder = tmp_path_factory.mktemp("worker")
    with linked_namespace(f"{HERE}/24", f"{THERE}/24") as (path, link), Engine(folder, namespace=path) as worker:
        image = str(folder / "web.tar")
        engine.docker("save", "--output", image, "web:1")
        worker.docker("load", "--input", image)
        engine.docker("swarm", "init", "--advertise-addr", HERE, "--listen-addr", f"{HERE}:2377")
        engine.docker("swarm", "update", "--dispatcher-heartbeat", "1s")
        token = engine.docker("swarm", "join-token", "--quiet", "worker")
        own = ("--advertise-addr", THERE, "--listen-addr", f"{THERE}:2377")
        worker.docker("swarm", "join", "--token", token, *own, f"{HERE}:2377")
        yield Worker(worker, link)


def test_a_node_that_is_cut_off_and_comes_back(
    engine: Engine, worker: Worker, make_client: MakeClient, follow: Follow
) -> None:
    client = make_client()
    follow(client, engine.host, swarm=True)
    create(engine, "--replicas", str(REPLICAS), image="web:1")
    wait_until(lambda: len(registered(client)) == REPLICAS, 3 * LIMIT)
    assert hosts(client)[THERE] == REPLICAS // 2
    with Callers(make_client(), RATE) as callers:
        callers.wait_answers("1")
        switch(worker.link, "down")
        began = time.monotonic()
        wait_until(lambda: "Down" in nodes(engine), 3 * LIMIT)
        down = time.monotonic()
        wait_until(lambda: THERE not in hosts(client), SOON)
        print(f"the managers miss the node after {down - began:.1f} s, {time.monotonic() - down:.2f} s later we do")
        wait_until(lambda: hosts(client) == {HERE: REPLICAS}, 3 * LIMIT)
        assert registered(client) == running(engine)
        callers.wait_answers("1", 100)
        switch(worker.link, "up")
        wait_until(lambda: "Down" not in nodes(engine), 3 * LIMIT)
        wait_until(lambda: not worker.engine.docker("ps", "--quiet"), 3 * LIMIT)  # its tasks are elsewhere
        assert hosts(client) == {HERE: REPLICAS}
        assert registered(client) == running(engine)
        engine.docker("service", "update", "--detach", "--force", "web")
        wait_until(lambda: update_state(engine) == "completed", 5 * LIMIT)
        wait_until(lambda: registered(client) == running(engine), SOON)
        assert hosts(client)[THERE] > 0
    assert callers.counts["first"] > callers.counts["retried"]


def hosts(client: Client) -> Counter[str]:
    """How many instances there are at each address."""
    return Counter(each.host for each in client.instances("web"))


def nodes(engine: Engine) -> list[str]:
    """The states of the nodes."""
    return engine.docker("node", "ls", "--format", "{{.Status}}").split()
