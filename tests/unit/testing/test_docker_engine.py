"""Finding and asking a Docker engine, against a stand-in that speaks HTTP on a socket."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from zkdiscovery.testing.servers import engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Listener:
    """Takes connections on a Unix or TCP socket, keeps what they ask and gives each the same answer."""

    def __init__(self, listening: socket.socket, answer: bytes | None) -> None:
        self.requests: list[bytes] = []
        self._listening = listening
        self._answer = answer
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(5.0)
        for each in (self._listening, *self._open):
            each.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._open.append(connection)
            self.requests.append(connection.recv(65536))
            if self._answer is not None:
                connection.sendall(self._answer)
                connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def listeners() -> Iterator[list[Listener]]:
    started: list[Listener] = []
    yield started
    for each in started:
        each.close()


def unix_engine(listeners: list[Listener], directory: Path, answer: bytes | None) -> tuple[str, Listener]:
    path = directory / "engine.sock"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()
    listeners.append(Listener(listening, answer))
    return f"unix://{path}", listeners[-1]


def answer(status: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()


def test_the_usual_socket_is_the_last_choice(tmp_path: Path) -> None:
    assert engine.find_endpoint({}, tmp_path) == "unix:///var/run/docker.sock"


def test_the_current_context_is_followed(tmp_path: Path) -> None:
    config = tmp_path / ".docker"
    meta = config / "contexts" / "meta" / hashlib.sha256(b"desktop").hexdigest()
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Endpoints": {"docker": {"Host": "unix:///desktop.sock"}}}))
    (config / "config.json").write_text(json.dumps({"currentContext": "desktop"}))
    assert engine.find_endpoint({}, tmp_path) == "unix:///desktop.sock"
    assert engine.find_endpoint({"DOCKER_CONTEXT": "default"}, tmp_path) == "unix:///var/run/docker.sock"
    assert engine.find_endpoint({"DOCKER_CONFIG": str(config)}, tmp_path / "elsewhere") == "unix:///desktop.sock"


def test_docker_host_comes_before_the_context_and_after_testcontainers(tmp_path: Path) -> None:
    environment = {"DOCKER_HOST": "tcp://docker:2375"}
    assert engine.find_endpoint(environment, tmp_path) == "tcp://docker:2375"
    (tmp_path / ".testcontainers.properties").write_text("# comment\nryuk.disabled = true\ntc.host = tcp://tc:2375\n")
    assert engine.find_endpoint(environment, tmp_path) == "tcp://tc:2375"


def test_a_broken_docker_configuration_is_as_none(tmp_path: Path) -> None:
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker" / "config.json").write_text("{")
    assert engine.find_endpoint({}, tmp_path) == "unix:///var/run/docker.sock"


def test_ping_over_a_unix_socket(listeners: list[Listener], tmp_path: Path) -> None:
    endpoint, listener = unix_engine(listeners, tmp_path, answer("200 OK"))
    engine.ping(endpoint)
    assert listener.requests[0].startswith(b"GET /_ping HTTP/1.1\r\n")


def test_ping_over_tcp(listeners: list[Listener]) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    listeners.append(Listener(listening, answer("200 OK")))
    engine.ping(f"tcp://127.0.0.1:{listening.getsockname()[1]}")
    assert len(listeners[0].requests) == 1


def test_an_engine_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        engine.ping(f"unix://{tmp_path}/none.sock")


def test_an_engine_that_fails(listeners: list[Listener], tmp_path: Path) -> None:
    endpoint, _ = unix_engine(listeners, tmp_path, answer("500 Internal Server Error"))
    with pytest.raises(ConnectionError, match="status 500"):
        engine.ping(endpoint)


def test_something_else_on_the_socket(listeners: list[Listener], tmp_path: Path) -> None:
    endpoint, _ = unix_engine(listeners, tmp_path, b"SSH-2.0-OpenSSH_9.2\r\n")
    with pytest.raises(ConnectionError, match="no Docker engine"):
        engine.ping(endpoint)


def test_an_engine_that_is_silent_costs_no_more_than_the_limit(
    listeners: list[Listener], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert engine.PING_LIMIT == 2.0
    monkeypatch.setattr(engine, "PING_LIMIT", 0.2)
    endpoint, _ = unix_engine(listeners, tmp_path, None)
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        engine.ping(endpoint)
    assert 0.2 <= time.monotonic() - start < 2.0


@pytest.mark.parametrize("endpoint", ["ssh://docker@host", "npipe:////./pipe/docker_engine", "tcp://"])
def test_an_endpoint_that_cant_be_asked(endpoint: str) -> None:
    with pytest.raises(ValueError, match="can't be asked"):
        engine.ping(endpoint)


def test_tls_without_certificates_is_an_os_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError):
        engine.ping("https://127.0.0.1:2376")


@pytest.mark.parametrize("status", ["204 No Content", "404 Not Found"])
def test_remove_container(listeners: list[Listener], tmp_path: Path, status: str) -> None:
    endpoint, listener = unix_engine(listeners, tmp_path, answer(status))
    engine.remove_container(endpoint, "a-container")
    assert listener.requests[0].startswith(b"DELETE /containers/a-container?force=true&v=true HTTP/1.1\r\n")


def test_remove_container_that_the_engine_keeps(listeners: list[Listener], tmp_path: Path) -> None:
    endpoint, _ = unix_engine(listeners, tmp_path, answer("409 Conflict"))
    with pytest.raises(ConnectionError, match="status 409"):
        engine.remove_container(endpoint, "a-container")
