"""wait_listening, on real sockets."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from zkdiscovery.registration import readiness
from zkdiscovery.registration.interfaces import OwnAddress
from zkdiscovery.registration.readiness import local_addresses, wait_listening

LIMIT = 20.0  # seconds that a test waits for what must come


@pytest.fixture
def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def worker() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


class Tried(threading.Event):
    """A `stop` event that says when the pause between two tries began, and how long it is to be; shorter, if asked."""

    def __init__(self, longest: float = threading.TIMEOUT_MAX) -> None:
        super().__init__()
        self.longest = longest  # seconds
        self.pauses: list[float | None] = []
        self.began = threading.Semaphore(0)

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout)
        self.began.release()
        return super().wait(self.longest if timeout is None else min(timeout, self.longest))


def test_a_port_that_listens_is_ready_at_once(stop: threading.Event) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert wait_listening("127.0.0.1", server.getsockname()[1], stop, timeout=LIMIT)


def test_a_port_over_ipv6(stop: threading.Event) -> None:
    try:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with server:
        assert wait_listening("::1", server.getsockname()[1], stop, timeout=LIMIT)


def test_ready_as_soon_as_the_port_listens(closed_port: int, worker: ThreadPoolExecutor) -> None:
    stop = Tried()
    waiting = worker.submit(wait_listening, "127.0.0.1", closed_port, stop, timeout=LIMIT)
    assert stop.began.acquire(timeout=LIMIT)
    assert not waiting.done()
    with socket.create_server(("127.0.0.1", closed_port)):
        assert waiting.result(LIMIT) is True


def test_stop_ends_the_wait_at_once(
    closed_port: int, worker: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "MAX_INTERVAL", 1e6)
    stop = Tried()
    waiting: Future[bool] = worker.submit(wait_listening, "127.0.0.1", closed_port, stop, interval=1e6)
    assert stop.began.acquire(timeout=LIMIT)
    stop.set()
    assert waiting.result(LIMIT) is False


def test_nothing_is_tried_once_stop_is_set(stop: threading.Event) -> None:
    stop.set()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        assert wait_listening("127.0.0.1", server.getsockname()[1], stop) is False
        with pytest.raises(BlockingIOError):
            server.accept()


def test_the_time_limit(closed_port: int, stop: threading.Event) -> None:
    began = time.monotonic()
    assert wait_listening("127.0.0.1", closed_port, stop, timeout=0.2) is False
    assert 0.2 <= time.monotonic() - began < LIMIT
    assert wait_listening("127.0.0.1", closed_port, stop, timeout=0) is False


def test_the_pauses_double_up_to_half_a_second(closed_port: int, worker: ThreadPoolExecutor) -> None:
    stop = Tried(longest=0.001)
    waiting = worker.submit(wait_listening, "127.0.0.1", closed_port, stop)
    for _ in range(6):
        assert stop.began.acquire(timeout=LIMIT)
    stop.set()
    assert waiting.result(LIMIT) is False
    assert stop.pauses[:6] == [0.05, 0.1, 0.2, 0.4, 0.5, 0.5]


def test_a_port_on_loopback_alone_is_not_ready_and_the_log_says_why(
    worker: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    stop = Tried(longest=0.001)
    # 127.0.0.2 stands for the advertised address: the service does not listen there.
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        waiting = worker.submit(wait_listening, "127.0.0.2", port, stop, interval=0.5)
        for _ in range(2):
            assert stop.began.acquire(timeout=LIMIT)
        stop.set()
        assert waiting.result(LIMIT) is False
    hints = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(hints) == 1
    assert f"port {port} accepts connections on loopback, but not at the advertised 127.0.0.2:{port}" in hints[0]


def test_a_port_that_is_slow_to_open_is_no_warning(
    closed_port: int, worker: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    stop = Tried()
    waiting = worker.submit(wait_listening, "127.0.0.1", closed_port, stop, interval=0.5)
    assert stop.began.acquire(timeout=LIMIT)
    stop.set()
    assert waiting.result(LIMIT) is False
    assert [record.levelname for record in caplog.records] == ["INFO"]


def test_a_name_that_can_not_be_resolved_is_not_ready(stop: threading.Event) -> None:
    assert wait_listening("x" * 300, 80, stop, timeout=0.1) is False


def test_a_probe_that_was_given_the_port_itself_does_not_count(
    closed_port: int, monkeypatch: pytest.MonkeyPatch, stop: threading.Event
) -> None:
    connected = []

    def connect_to_itself(address: tuple[str, int], timeout: float) -> socket.socket:
        # What the kernel does when it picks the closed port itself for the probe's own end.
        probe = socket.socket()
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        probe.connect(address)
        connected.append(address)
        return probe

    monkeypatch.setattr(readiness.socket, "create_connection", connect_to_itself)
    assert not readiness.accepts("127.0.0.1", closed_port, 1.0)
    assert connected == [("127.0.0.1", closed_port)]
    # The service can bind its port right afterwards.
    with socket.socket() as service:
        service.bind(("127.0.0.1", closed_port))


OWN = [OwnAddress("lo", "127.0.0.1", carries=False), OwnAddress("eth0", "10.0.0.5", carries=True)]
OWN += [OwnAddress("eth0", "fe80::5", carries=True), OwnAddress("eth0", "fd00::5", carries=True)]


@pytest.mark.parametrize(
    ("host", "proxied", "probed"),
    [
        ("10.0.0.5", False, ["10.0.0.5"]),
        ("10.0.0.5", True, ["10.0.0.5", "127.0.0.1", "::1"]),
        ("fd00::5", False, ["fd00::5"]),
        ("192.168.0.1", False, ["10.0.0.5", "fd00::5"]),
        ("web.example", False, ["10.0.0.5", "fd00::5"]),
        ("web.example", True, ["10.0.0.5", "fd00::5", "127.0.0.1", "::1"]),
        ("127.0.0.2", False, ["127.0.0.2"]),
        ("localhost", True, ["127.0.0.1", "::1"]),
    ],
)
def test_where_a_program_may_listen_on_this_machine(
    host: str, proxied: bool, probed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "own_addresses", lambda: OWN)
    assert local_addresses(host, proxied=proxied) == probed


def test_a_machine_with_loopback_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "own_addresses", lambda: OWN[:1])
    assert local_addresses("10.0.0.5", proxied=False) == ["127.0.0.1", "::1"]


def test_a_system_that_does_not_tell_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> list[OwnAddress]:
        raise OSError("no")

    monkeypatch.setattr(readiness, "own_addresses", refuse)
    assert local_addresses("10.0.0.5", proxied=False) == ["10.0.0.5"]


def test_one_address_that_accepts_is_enough(stop: threading.Event) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert wait_listening("127.0.0.2", port, stop, others=["127.0.0.3", "127.0.0.1"], timeout=LIMIT)


def test_a_mapped_port_without_its_listen_port_is_a_warning_that_says_what_to_do(
    closed_port: int, worker: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    stop = Tried()
    waiting = worker.submit(wait_listening, "127.0.0.1", closed_port, stop, interval=0.5, advice="give listen_port=")
    assert stop.began.acquire(timeout=LIMIT)
    stop.set()
    assert waiting.result(LIMIT) is False
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().endswith("not ready. give listen_port=")
