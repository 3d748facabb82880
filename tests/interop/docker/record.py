"""Record what an engine says of containers and tasks of all kinds, in tests/recorded/docker/VERSION.json.

sh scripts/isolated.sh .venv/bin/python -m tests.interop.docker.record
"""

from __future__ import annotations

import itertools
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from docker import APIClient

from tests.interop.docker.engine import LIMIT, ROOT, Engine
from tests.interop.docker.images import build_web

_NAME = "zkdiscovery.name=web"
# Each container, by what is said of it.
_CONTAINERS = {
    "plain": [],
    "published": ["--publish", "127.0.0.1::8080"],
    "everywhere": ["--publish", "8080"],
    "host": ["--network", "host"],
    "alone": ["--network", "none"],
    "backend": ["--network", "backend"],
    "both": ["--network", "backend", "--network", "frontend"],
    "beside": ["--network", "container:plain"],
}
_SERVICES = {
    "overlaid": [
        "--network",
        "swarmed",
        "--container-label",
        "zkdiscovery.name=old",
        "--container-label",
        "zkdiscovery.port=8080",
    ],
    "hosted": ["--publish", "mode=host,target=8080", "--container-label", "zkdiscovery.tags=a,b"],
    "ingress": ["--network", "swarmed", "--publish", "published=18080,target=8080"],
    "onhost": ["--network", "host"],
}


def main() -> None:
    """Record."""
    with tempfile.TemporaryDirectory() as directory, Engine(Path(directory) / "engine") as engine:
        image = build_web(engine, "web", last=3.0)
        api = APIClient(engine.host, version="auto")
        answers: dict[str, Any] = {"containers": _containers(engine, api)}
        engine.swarm_init(19000)
        answers |= _swarm(engine, api, image)
        info = api.info()
        answers["info"] = {key: info[key] for key in ("ID", "Name", "ServerVersion", "Swarm")}
        del answers["info"]["Swarm"]["Cluster"]["TLSInfo"]
        version = api.version()["Version"].partition("+")[0]
        api.close()
    target = ROOT / "tests" / "recorded" / "docker" / f"{version}.json"
    target.write_text(json.dumps(answers, indent=1, sort_keys=True) + "\n")


def _containers(engine: Engine, api: APIClient) -> Any:
    engine.docker("network", "create", "backend")
    engine.docker("network", "create", "frontend")
    for name, options in _CONTAINERS.items():
        engine.docker("run", "--detach", "--name", name, "--label", _NAME, *options, "web")
    while engine.docker("ps", "--quiet", "--filter", "health=starting"):
        time.sleep(0.2)
    listed = {each["Names"][0].removeprefix("/"): each for each in api.containers(all=True)}
    answers = {"listed": listed, "inspected": {"plain": api.inspect_container("plain")}}
    filters = {"type": ["container", "network"], "event": ["kill", "die", "start", "connect", "health_status"]}
    events = api.events(decode=True, filters=filters)
    engine.docker("kill", "--signal", "HUP", "plain")
    engine.docker("stop", "published")
    engine.docker("start", "published")
    answers["events"] = list(itertools.takewhile(lambda event: event["Action"] != "start", events))
    events.close()
    answers["healthy"] = [each["Names"][0].removeprefix("/") for each in _healthy(api)]
    for name in _CONTAINERS:
        engine.docker("rm", "--force", name)
    return answers


def _healthy(api: APIClient) -> Any:
    return api.containers(filters={"status": ["running"], "health": ["healthy", "none"], "label": ["zkdiscovery.name"]})


def _swarm(engine: Engine, api: APIClient, image: str) -> dict[str, Any]:
    engine.docker("network", "create", "--driver", "overlay", "--attachable", "swarmed")
    for name, options in _SERVICES.items():
        replicas = "2" if name == "hosted" else "1"
        engine.docker(
            "service", "create", "--detach", "--name", name, "--label", _NAME, "--replicas", replicas, *options, image
        )
    end = time.monotonic() + LIMIT
    while sum(each["Status"]["State"] == "running" for each in api.tasks()) < 5:
        assert time.monotonic() < end
        time.sleep(0.3)
    answers: dict[str, Any] = {"services": api.services(), "nodes": api.nodes(), "tasks": api.tasks()}
    engine.docker("service", "scale", "--detach", "hosted=1")
    answers["draining"] = _tasks(api, lambda task: task["DesiredState"] != "running")
    answers["ended"] = _tasks(api, lambda task: task["Status"]["State"] == "shutdown")
    answers["seen"] = api.containers(all=True)
    return answers


def _tasks(api: APIClient, wanted: Callable[[Any], bool]) -> Any:
    """Wait until there are such tasks of the service that is scaled down."""
    end = time.monotonic() + LIMIT
    while not (found := [each for each in api.tasks({"service": "hosted"}) if wanted(each)]):
        assert time.monotonic() < end
    return found


if __name__ == "__main__":
    main()
