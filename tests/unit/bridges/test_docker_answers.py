"""What is no Docker engine, or a broken one: each fault is an error of ours, and no stream is opened in a busy loop."""

from __future__ import annotations

import gc
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.recorded.docker import answers, versions
from tests.support import wait_until
from zkdiscovery.bridges.docker.place import MachineAddress
from zkdiscovery.bridges.docker.source import EngineSource, SwarmSource, sources
from zkdiscovery.bridges.source import SourceRefused, SourceUnavailable
from zkdiscovery.errors import InvalidInstance

ADDRESS = MachineAddress(lambda: {"127.0.0.1": ("127.0.0.1",)})


class Server(ThreadingHTTPServer):
    """An engine that answers what a test wants.

    Attributes:
        answers: by the end of the path: what it answers, or a status.
        asked: the paths.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        recorded = answers(versions()[-1])
        self.answers: dict[str, Any] = {
            "/version": {"ApiVersion": "1.51"},
            "/info": recorded["info"],
            "/containers/json": list(recorded["containers"]["listed"].values()),
            "/services": recorded["services"],
            "/nodes": recorded["nodes"],
            "/tasks": recorded["tasks"],
            "/events": b"",
        }


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append(path)
        answer = next(given for end, given in self.server.answers.items() if path.endswith(end))
        if isinstance(answer, bytes):
            body = answer
        else:
            body = json.dumps({"message": "no"} if isinstance(answer, int) else answer).encode()
        self.send_response(answer if isinstance(answer, int) else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server() as server:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=[0.05])
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_what_an_engine_is(server: Server) -> None:
    both = sources(ADDRESS)
    assert [(each.kind, each.clustered) for each in both] == [("docker", False), ("swarm", True)]
    info = server.answers["/info"]
    identities = [each.identity() for each in both]
    assert identities == [info["ID"], info["Swarm"]["Cluster"]["ID"]]
    for each in both:
        each.close()
    server.answers["/info"] = {**info, "Swarm": {"LocalNodeState": "inactive"}}
    (engine,) = sources(ADDRESS)
    engine.close()


def test_a_list_has_what_can_be_shown_and_says_what_can_not(server: Server) -> None:
    engine = EngineSource(ADDRESS)
    listing = engine.list()
    engine.close()
    assert {each.service for each in listing.instances} == {"web"}
    assert all(each.runtime == each.object_id for each in listing.instances)
    reasons = {name.split()[1]: reason for name, reason in listing.problems.items()}
    assert set(reasons) == {"both", "alone", "host"}
    assert "several networks" in reasons["both"]
    ended = {each["Id"] for each in server.answers["/containers/json"] if each["State"] == "exited"}
    assert {each.runtime for each in listing.deaths} == ended


def test_the_tasks_of_a_swarm(server: Server) -> None:
    # Their services have no port among their labels, except for one.
    swarm = SwarmSource(ADDRESS)
    listing = swarm.list()
    swarm.close()
    assert [each.port for each in listing.instances] == [8080]
    assert set(listing.problems) == {"service hosted", "service ingress", "service onhost"}


def asked(server: Server) -> list[str]:
    """What the engine was asked for since the last look."""
    ends = [path.rpartition("/")[2] for path in server.asked]
    server.asked.clear()
    return [end for end in ends if end != "version"]


def test_each_second_a_swarm_is_asked_for_its_tasks_alone(server: Server) -> None:
    swarm = SwarmSource(ADDRESS)
    first = swarm.list()
    assert asked(server) == ["services", "nodes", "tasks"]
    assert swarm.list() == first
    assert swarm.list() == first
    assert asked(server) == ["tasks", "tasks"]
    server.answers["/tasks"] = 500
    with pytest.raises(SourceUnavailable):
        swarm.list()
    server.answers["/tasks"] = []
    asked(server)
    swarm.list()
    assert asked(server) == ["services", "nodes", "tasks"], "after a fault"
    swarm.close()


def test_an_event_of_a_service_has_the_services_asked_for_again(server: Server) -> None:
    """And so has a stream that was opened anew."""
    swarm = SwarmSource(ADDRESS)
    swarm.list()
    asked(server)
    server.answers["/events"] = json.dumps({"Type": "service", "Action": "update", "Actor": {}}).encode() + b"\n"
    changes: list[None] = []
    swarm.subscribe(lambda: changes.append(None))
    wait_until(lambda: changes)
    asked(server)
    swarm.list()
    assert [end for end in asked(server) if end != "events"] == ["services", "nodes", "tasks"]
    swarm.close()


def test_an_engine_is_asked_for_its_address_only_if_a_container_needs_it(server: Server) -> None:
    engine = EngineSource(ADDRESS)
    del server.answers["/info"]
    server.answers["/containers/json"] = [
        each for each in server.answers["/containers/json"] if each["Names"] == ["/plain"]
    ]
    engine.list()
    assert asked(server) == ["json", "json"]
    engine.close()


@pytest.mark.parametrize("answer", [b"", b"{", b"null", b"[1]", b'[{"Id": 5}]', b'[{"State": "running"}]', 500, 404])
def test_a_broken_answer_is_no_list(server: Server, answer: object) -> None:
    server.answers["/containers/json"] = answer
    engine = EngineSource(ADDRESS)
    with pytest.raises(SourceUnavailable):
        engine.list()
    engine.close()


@pytest.mark.parametrize("answer", [b"", b"null", b"[]", b'{"ID": ""}', 500])
def test_an_engine_without_an_id(server: Server, answer: object) -> None:
    server.answers["/info"] = answer
    engine = EngineSource(ADDRESS)
    with pytest.raises(SourceUnavailable):
        engine.identity()
    engine.close()


def test_a_manager_that_is_none_any_more(server: Server) -> None:
    server.answers["/info"] = {**server.answers["/info"], "Swarm": {"LocalNodeState": "inactive"}}
    swarm = SwarmSource(ADDRESS)
    with pytest.raises(SourceUnavailable, match="no manager of a Swarm now"):
        swarm.identity()
    swarm.close()


def test_a_proxy_that_forbids_what_is_needed(server: Server) -> None:
    server.answers["/containers/json"] = 403
    engine = EngineSource(ADDRESS)
    with pytest.raises(SourceRefused, match="refuses the bridge"):
        engine.list()
    engine.close()


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_nobody_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none")
    engine = EngineSource(ADDRESS)
    with pytest.raises(SourceUnavailable, match="does not answer"):
        engine.identity()
    with pytest.raises(SourceUnavailable, match="does not answer"):
        engine.subscribe(lambda: None)
    engine.close()
    gc.collect()  # the client library of Docker leaves a socket that can't connect to the garbage collector


def test_a_stream_that_ends_at_once_is_not_opened_in_a_busy_loop(server: Server) -> None:
    engine = EngineSource(ADDRESS)
    began = time.monotonic()
    engine.subscribe(lambda: None)
    wait_until(lambda: sum(path.endswith("/events") for path in server.asked) >= 4)
    engine.close()
    assert time.monotonic() - began >= 0.7  # pauses of 0.2, 0.4 and 0.8 s, or half of that


def test_the_address_of_a_machine() -> None:
    far = MachineAddress(lambda: {"192.0.2.1": ("192.0.2.1",)}, None)
    node = {"Swarm": {"NodeAddr": "10.0.0.5"}}
    assert not far.local
    assert far.find(node, "10.0.0.6", in_container=True) == "10.0.0.5"
    assert far.find({}, "10.0.0.6", in_container=True) == "10.0.0.6"
    with pytest.raises(InvalidInstance, match="give --host"):
        far.find({}, None, in_container=True)
    with pytest.raises(InvalidInstance, match=r"127\.0\.0\.1 is reachable from this machine alone"):
        far.find({"Swarm": {"NodeAddr": "127.0.0.1"}}, None, in_container=False)
    told = MachineAddress(lambda: {"192.0.2.1": ("192.0.2.1",)}, "10.0.0.7")
    assert told.find(node, None, in_container=True) == "10.0.0.7"


def test_what_a_dead_container_has_registered_stays_while_another_one_uses_its_network(server: Server) -> None:
    """What that one registers may name the dead one."""
    containers = {each["Names"][0]: each for each in server.answers["/containers/json"]}
    dead, beside = containers["/plain"], containers["/beside"]
    dead["State"] = "exited"
    engine = EngineSource(ADDRESS)
    for state, told in (("running", False), ("paused", False), ("exited", True)):
        beside["State"] = state
        assert (dead["Id"] in {each.runtime for each in engine.list().deaths}) is told
    engine.close()
