"""HttpCheck and TcpCheck, against servers that answer, hang, trickle, redirect and never end."""

from __future__ import annotations

import errno
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from zkdiscovery import CheckResult, HttpCheck, InvalidInstance, TcpCheck
from zkdiscovery.registration import checks
from zkdiscovery.registration.checks import NetworkCheck, Outcome, Target

PASS, FAIL, UNKNOWN = CheckResult.PASS, CheckResult.FAIL, CheckResult.UNKNOWN
PATIENT = 20.0  # seconds: no test waits for them


class Handler(BaseHTTPRequestHandler):
    """Answers with the status in the path."""

    seen: list[tuple[str, str, Mapping[str, str]]]

    def answer(self) -> None:
        self.seen.append((self.command, self.path, dict(self.headers.items())))
        self.send_response(int(self.path[1:4]))
        if self.path.startswith("/3"):
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "5")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"hello")

    do_GET = do_HEAD = do_POST = answer  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@contextmanager
def web(context: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[tuple[str, str, Mapping[str, str]]]]]:
    """A web server: its port, and the requests that it has seen."""
    seen: list[tuple[str, str, Mapping[str, str]]] = []
    handler = type("Seeing", (Handler,), {"seen": seen})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
            server.handle_error = lambda *_: None  # type: ignore[method-assign]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port, seen
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def raw(serve: Callable[[socket.socket], object]) -> Iterator[int]:
    """A server of one connection: its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def run() -> None:
            connection, _ = listening.accept()
            with connection:
                try:
                    connection.recv(65_536)
                    serve(connection)
                except OSError:
                    pass

        thread = threading.Thread(target=run)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


def run(check: NetworkCheck, port: int, *hosts: str, **more: Any) -> Outcome:
    return check.probe().run(Target("web.example", hosts or ("127.0.0.1",), port, **more))


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize(
    ("path", "result", "message"),
    [
        ("/200", PASS, "200 OK"),
        ("/204", PASS, "204 No Content"),
        ("/503", FAIL, "503 Service Unavailable"),
        ("/404", FAIL, "404 Not Found"),
        ("/302", FAIL, "302 Found: it redirects to /elsewhere, which is not followed; check that path"),
        ("/304", FAIL, "304 Not Modified: it redirects to /elsewhere, which is not followed; check that path"),
    ],
)
def test_what_a_status_means(path: str, result: CheckResult, message: str) -> None:
    with web() as (port, seen):
        assert run(HttpCheck(path), port) == (result, message)
    assert len(seen) == 1, "redirects are not followed"


def test_the_request_is_as_users_want_it() -> None:
    with web() as (port, seen):
        run(HttpCheck("/200?deep=1"), port)
        run(HttpCheck("/200", method="POST", headers={"host": "payments.internal", "X-Probe": "1"}), port)
        assert run(HttpCheck("/200", method="HEAD"), port) == (PASS, "200 OK")
    (method, path, headers), (other, _, given), _ = seen
    assert (method, path, other) == ("GET", "/200?deep=1", "POST")
    assert headers == {
        "Host": f"web.example:{port}", "User-Agent": "zkdiscovery", "Accept": "*/*", "Connection": "close"
    }  # fmt: skip
    assert given["host"] == "payments.internal"
    assert given["X-Probe"] == "1"


def test_a_port_and_an_address_of_its_own() -> None:
    with web() as (port, _):
        assert run(HttpCheck("/200", port=port, host="127.0.0.1"), closed_port(), "127.0.0.9").result is PASS
        assert run(TcpCheck(port=port), closed_port()).result is PASS
        assert run(TcpCheck(), port, "127.0.0.9", "127.0.0.1").result is PASS, "one address that accepts is enough"


@pytest.mark.parametrize("check", [TcpCheck(), HttpCheck()], ids=["tcp", "http"])
def test_a_closed_port_fails(check: NetworkCheck) -> None:
    port = closed_port()
    assert run(check, port) == (FAIL, f"Connection refused (127.0.0.1:{port})")


def trickle(connection: socket.socket, head: bytes) -> None:
    connection.sendall(head)
    while True:
        connection.sendall(b"x")
        time.sleep(0.01)


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "serve",
    [
        lambda connection: connection.recv(1),
        lambda connection: trickle(connection, b"HTTP/1.1 200 "),
        lambda connection: trickle(connection, HEAD + b"X-Long: "),
        lambda connection: trickle(connection, HEAD + b"Content-Length: 9000\r\n\r\n"),
        lambda connection: trickle(connection, HEAD + b"\r\n"),
    ],
    ids=["accepts and hangs", "status", "head", "body", "body without a length"],
)
def test_an_answer_that_does_not_end_in_time_fails(serve: Callable[[socket.socket], object]) -> None:
    with raw(serve) as port:
        began = time.monotonic()
        assert run(HttpCheck(timeout=0.3), port) == (FAIL, "no answer within 0.3 s")
        assert 0.3 <= time.monotonic() - began < PATIENT


def test_a_server_that_accepts_nothing_fails_in_time() -> None:
    """Its queue of connections is full, so the kernel answers no more."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            for check in (TcpCheck(timeout=0.2), HttpCheck(timeout=0.2)):
                began = time.monotonic()
                assert run(check, port) == (FAIL, "no answer within 0.2 s")
                assert time.monotonic() - began < PATIENT


def test_of_an_endless_body_little_is_read() -> None:
    sent = 0

    def serve(connection: socket.socket) -> None:
        nonlocal sent
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        connection.sendall(HEAD + b"\r\n")
        while True:
            sent += connection.send(b"x" * 1024)

    with raw(serve) as port:
        assert run(HttpCheck(timeout=PATIENT), port) == (PASS, "200 OK")
    assert sent < 10_000_000


@pytest.mark.parametrize("length", [b"Content-Length: 1000000000", b"Transfer-Encoding: chunked"])
def test_of_a_large_body_little_is_read(length: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(HEAD + length + b"\r\n\r\n")
        while True:
            connection.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")

    with raw(serve) as port:
        assert run(HttpCheck(timeout=PATIENT), port) == (PASS, "200 OK")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no answer of HTTP: BadStatusLine"),
        (b"", "Remote end closed connection without response"),
        (HEAD + b"X: 1\r\n" * 200 + b"\r\n", "no answer of HTTP: HTTPException got more than 100 headers"),
        (b"HTTP/1.1 200 " + b"x" * 100_000 + b"\r\n\r\n", "no answer of HTTP: HTTPException more than 65536 bytes"),
        (b"HTTP/1.1 700 Odd\r\n\r\n", "700 Odd"),
        (b"HTTP/1.1 101 Switching\r\n\r\n", "101 Switching"),
    ],
)
def test_what_is_no_http_fails(answer: bytes, message: str) -> None:
    with raw(lambda connection: connection.sendall(answer)) as port:
        result, said = run(HttpCheck(timeout=PATIENT), port)
    assert result is FAIL
    assert said.startswith(message)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EADDRNOTAVAIL])
@pytest.mark.parametrize("check", [TcpCheck(), HttpCheck()], ids=["tcp", "http"])
def test_trouble_of_our_own_says_nothing(number: int, check: NetworkCheck, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise OSError(number, "too little of something")

    monkeypatch.setattr(checks, "open_connection", refuse)
    result, said = run(check, 1)
    assert result is UNKNOWN
    assert said.startswith("the check could not run: too little of something")


# -- TLS --


@pytest.fixture
def secure(certificate: tuple[str, str]) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with web(context) as (port, _):
        yield port


def test_a_certificate_is_verified_by_default(secure: int, certificate: tuple[str, str]) -> None:
    tls: dict[str, Any] = {"tls": True, "timeout": PATIENT}
    assert run(HttpCheck("/200", **tls), secure) == (FAIL, "TLS failed: self-signed certificate")
    assert run(HttpCheck("/200", verify=certificate[0], **tls), secure) == (PASS, "200 OK")
    assert run(HttpCheck("/200", verify=False, **tls), secure) == (PASS, "200 OK")


def test_the_certificate_must_be_for_the_host(secure: int, certificate: tuple[str, str]) -> None:
    check = HttpCheck("/200", tls=True, verify=certificate[0], headers={"Host": "other.example"}, timeout=PATIENT)
    result, said = run(check, secure)
    assert result is FAIL
    assert "Hostname mismatch" in said


def test_the_port_of_tls_is_that_of_the_instance(secure: int) -> None:
    check = HttpCheck("/200", tls=True, verify=False, timeout=PATIENT)
    assert run(check, closed_port(), tls_port=secure).result is PASS


def test_a_handshake_that_hangs_fails_in_time() -> None:
    with raw(lambda connection: connection.recv(1)) as port:
        began = time.monotonic()
        assert run(HttpCheck(tls=True, verify=False, timeout=0.5), port) == (FAIL, "no answer within 0.5 s")
        assert time.monotonic() - began < PATIENT


def test_tls_to_a_port_without(secure: int) -> None:
    with web() as (port, _):
        result, said = run(HttpCheck("/200", tls=True, verify=False, timeout=PATIENT), port)
    assert result is FAIL
    assert said.startswith("TLS failed")


@pytest.mark.parametrize("file", ["missing.pem", "empty.pem"])
def test_authorities_that_can_not_be_used_are_refused(file: str, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_bytes(b"")
    with pytest.raises(InvalidInstance, match=r"verify of a check: .* can't be used"):
        HttpCheck(tls=True, verify=str(tmp_path / file)).probe()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "ready"}, "path of a check must begin with '/'"),
        ({"path": "/a b"}, "path of a check"),
        ({"path": "/\r\nX: 1"}, "path of a check"),
        ({"path": "http://x/ready"}, "path of a check"),
        ({"method": "GET /"}, "method of a check"),
        ({"headers": {"a b": "1"}}, "headers of a check"),
        ({"headers": {"a": "1\r\nb: 2"}}, "headers of a check"),
        ({"headers": ["a"]}, "headers of a check must be a mapping"),
        ({"headers": {"Host": ""}}, "header Host of a check"),
        ({"verify": None}, "verify of a check"),
    ],
)
def test_what_is_no_request_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInstance, match=message):
        HttpCheck(**options)


def test_headers_are_never_shown() -> None:
    check = HttpCheck(headers={"Authorization": "Bearer secret"})
    assert "secret" not in f"{check!r} {check.title}"
    with pytest.raises(InvalidInstance) as refused:
        HttpCheck(headers={"Authorization": "Bearer secret\n"})
    assert "secret" not in str(refused.value)


def test_names() -> None:
    named = [
        HttpCheck("/ready"), HttpCheck("/ready", port=9000, tls=True), HttpCheck(name="web"), TcpCheck(),
        TcpCheck(port=5432),
    ]  # fmt: skip
    assert [check.title for check in named] == [
        "GET http/ready", "GET https:9000/ready", "web", "TCP", "TCP port 5432"
    ]  # fmt: skip
