"""Consul's answers, and what is made of nonsense. The real one does not misbehave on demand."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support import wait_until
from tests.unit.bridges.api_server import JsonHandler
from zkdiscovery.bridges.consul import ConsulSource
from zkdiscovery.bridges.consul.objects import imported
from zkdiscovery.bridges.http import HttpApi
from zkdiscovery.bridges.source import SourceRefused, SourceUnavailable
from zkdiscovery.errors import InvalidSettings
from zkdiscovery.model import Status

SERVERS = [{"Node": {"ID": "n", "Node": "machine", "Datacenter": "dc1"}, "Service": {}}]


class Answers:
    """What is answered, by path: a status, headers, and a body."""

    def __init__(self, port: int) -> None:
        self.where = f"http://127.0.0.1:{port}"
        self.asked: list[str] = []
        self.given: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.trickle = False
        self.give("/v1/catalog/services", {"consul": []})
        self.give("/v1/health/state/any", [])
        self.give("/v1/health/service/consul", SERVERS)

    def give(self, path: str, body: object, *, status: int = 200, index: str = "7") -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.given[path] = status, {"X-Consul-Index": index}, data


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    """Answers at once, also to questions that wait."""

    class Handler(JsonHandler):
        def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
            path = urlsplit(self.path).path
            ours.asked.append(path)
            status, headers, data = ours.given.get(path, (404, {}, b""))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            with suppress(OSError):  # the other side has hung up
                for piece in [bytes([byte]) for byte in data] if ours.trickle else [data]:
                    self.wfile.write(piece)
                    time.sleep(0.05 if ours.trickle else 0)

    for name in ("CONSUL_HTTP_TOKEN", "CONSUL_HTTP_ADDR", "CONSUL_HTTP_SSL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("zkdiscovery.bridges.consul.source.SUBSCRIBE_LIMIT", 1.0)
    monkeypatch.setattr("zkdiscovery.bridges.consul.source.STEP_LIMIT", 0.5)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    ours = Answers(server.server_port)
    serving = threading.Thread(target=server.serve_forever, args=[0.01])
    serving.start()
    yield ours
    server.shutdown()
    serving.join()
    server.server_close()


def entry(*checks: tuple[str, str], **service: Any) -> dict[str, Any]:
    return {
        "Node": {"Node": "n", "Address": "10.0.0.9", "Datacenter": "dc1"},
        "Service": {"ID": "web/1", "Service": "web", "Port": 80, "Weights": {"Passing": 3, "Warning": 1}, **service},
        "Checks": [{"CheckID": number, "Status": status} for number, status in checks],
    }


@pytest.mark.parametrize(
    ("checks", "wanted"),
    [
        ([], (Status.UP, 3)),
        ([("a", "passing"), ("b", "warning")], (Status.UP, 1)),
        ([("a", "warning"), ("b", "critical")], (Status.DOWN, 1)),
        ([("a", "critical"), ("_node_maintenance", "critical")], (Status.OUT_OF_SERVICE, 3)),
        ([("_service_maintenance:web/1", "critical")], (Status.OUT_OF_SERVICE, 3)),
        ([("a", "what is this?")], (Status.DOWN, 3)),
    ],
)
def test_statuses(checks: list[tuple[str, str]], wanted: tuple[Status, float]) -> None:
    found = imported(entry(*checks))
    assert found is not None
    assert (found.status, found.weight) == wanted
    assert (found.object_id, found.address, found.zone) == ("web%2F1@n", "10.0.0.9", "dc1")


def test_what_is_left_out() -> None:
    assert imported(entry(Kind="connect-proxy")) is None
    assert imported(entry(Meta={"zkdiscovery-registry": "somebody"})) is None
    with pytest.raises(ValueError, match="no port"):
        imported(entry(Port=0))


@pytest.mark.parametrize(
    ("path", "body", "index", "said"),
    [
        ("/v1/catalog/services", b"<html>", "7", "no JSON"),
        ("/v1/catalog/services", [1], "7", "no catalogue"),
        ("/v1/catalog/services", {"consul": []}, "0", "without an index"),
        ("/v1/catalog/services", {"consul": []}, "seven", "without an index"),
        ("/v1/catalog/services", {}, "7", "not even its own servers"),
        ("/v1/health/state/any", {}, "7", "no list"),
        ("/v1/health/state/any", [{"Node": "n"}], "7", "can't be understood"),
        ("/v1/health/service/consul", [{"Service": 1}], "7", "can't be understood"),
    ],
)
def test_nonsense_is_no_answer(answers: Answers, path: str, body: object, index: str, said: str) -> None:
    answers.give(path, body, index=index)
    answers.give("/v1/acl/token/self", b"ACL support disabled", status=401)
    with closing(ConsulSource(answers.where)) as source, pytest.raises(SourceUnavailable, match=said):
        for call in subscribed(source):
            call()


def subscribed(source: ConsulSource) -> list[Callable[[], object]]:
    return [lambda: source.subscribe(lambda: None), source.list]


def test_answers_at_once_are_no_loop(answers: Answers) -> None:
    with closing(ConsulSource(answers.where)) as source:
        source.subscribe(lambda: None)
        assert source.list().instances == []
        time.sleep(2)
    assert answers.asked.count("/v1/catalog/services") < 12


def test_a_fault_ends_in_a_new_list(answers: Answers) -> None:
    changed = threading.Event()
    answers.give("/v1/catalog/services", {"consul": [], "web": []})
    answers.give("/v1/health/service/web", [entry()])
    with closing(ConsulSource(answers.where)) as source:
        source.subscribe(changed.set)
        assert [one.service for one in source.list().instances] == ["web"]
        answers.give("/v1/catalog/services", b"no leader", status=500)
        with pytest.raises(SourceUnavailable, match="no leader"):
            wait_until(lambda: source.list() is None)
        changed.clear()  # the fault was told, too
        answers.give("/v1/health/service/web", [entry(Port=81)])
        answers.give("/v1/catalog/services", {"consul": [], "web": []})
        wait_until(changed.is_set)
        assert [one.port for one in source.list().instances] == [81]


def test_a_loss_of_data_is_told(answers: Answers) -> None:
    with closing(ConsulSource(answers.where)) as source:
        source.subscribe(lambda: None)
        assert not source.list().settling
        assert source.relist == 60
        answers.give("/v1/catalog/services", {"consul": []}, index="5")
        wait_until(lambda: source.list().settling)
        assert 50 < source.relist <= 60
    other = [{"Node": {"ID": "other", "Node": "machine", "Datacenter": "dc1"}, "Service": {}}]
    with closing(ConsulSource(answers.where)) as source:
        source.subscribe(lambda: None)
        assert not source.list().settling
        answers.give("/v1/health/service/consul", other)
        answers.give("/v1/catalog/services", {"consul": []}, index="9")
        wait_until(lambda: source.list().settling)


def test_an_answer_that_trickles_has_one_limit(answers: Answers) -> None:
    answers.give("/slow", b"x" * 200)
    answers.trickle = True
    with closing(HttpApi(answers.where)) as api:
        began = time.monotonic()
        with pytest.raises(SourceUnavailable, match=r"within 0\.5 s"):
            api.call("GET", "/slow", limit=0.5)
        assert time.monotonic() - began < 2


def test_a_call_under_way_ends_with_its_connection(answers: Answers) -> None:
    answers.give("/slow", b"x" * 400)
    answers.trickle = True
    api = HttpApi(answers.where)
    errors: list[Exception] = []

    def call() -> None:
        try:
            api.call("GET", "/slow")
        except SourceUnavailable as error:
            errors.append(error)

    calling = threading.Thread(target=call)
    calling.start()
    wait_until(lambda: "/slow" in answers.asked)
    api.close()
    calling.join(2)
    assert not calling.is_alive()
    assert len(errors) == 1
    with pytest.raises(SourceUnavailable, match="closed"):
        api.call("GET", "/slow")


def test_credentials_are_in_no_error(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "secret-token")
    answers.give("/v1/health/service/consul", b"Permission denied", status=403)
    with closing(ConsulSource(answers.where)) as source, pytest.raises(SourceRefused) as refused:
        source.identity()
    assert "secret-token" not in f"{refused.value} {source!r} {vars(source)}"
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "secret\ntoken")
    with pytest.raises(InvalidSettings) as invalid:
        ConsulSource(answers.where)
    assert "secret" not in str(invalid.value)


def test_urls_that_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("ftp://x", "http://", "http://a:b@c", "http://x:port"):
        with pytest.raises(InvalidSettings):
            ConsulSource(url)
    monkeypatch.setenv("CONSUL_HTTP_SSL", "perhaps")
    with pytest.raises(InvalidSettings, match="CONSUL_HTTP_SSL"):
        ConsulSource("consul.example:8500")
