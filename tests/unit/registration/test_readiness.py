"""PortWatch, on real sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import pytest

from tests.support import LIMIT
from zkdiscovery.registration import readiness
from zkdiscovery.registration.interfaces import OwnAddress
from zkdiscovery.registration.readiness import PortWatch, local_addresses
from zkdiscovery.threads import Worker


class Steps:
    """In the place of a worker: a look is taken when the test says so."""

    def __init__(self) -> None:
        self.delays: list[float] = []
        self._task: Callable[[], None] | None = None

    def schedule(self, _key: Hashable, task: Callable[[], None], delay: float = 0.0) -> None:
        self.delays.append(delay)
        self._task = task

    def cancel(self, _key: Hashable) -> None:
        self._task = None

    @property
    def waiting(self) -> bool:
        """Is there a look to come?"""
        return self._task is not None

    def look(self) -> None:
        """Take the look that is due."""
        task, self._task = self._task, None
        assert task is not None
        task()


def ignore(*_: object) -> None:
    """Ignore what the watch tells."""


@pytest.fixture
def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def steps() -> Steps:
    return Steps()


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker("test-checks", threads=4)
    yield worker
    assert worker.close(LIMIT)


def begun(steps: Steps, *hosts: str, port: int, advice: str = "", silent: list[str] | None = None) -> list[bool]:
    """Begin a watch; the list gets an entry when the port accepts."""
    ready: list[bool] = []
    silent = [] if silent is None else silent
    watch = PortWatch(steps, hosts, port, lambda: ready.append(True), silent.append, advice)  # type: ignore[arg-type]
    watch.begin()
    return ready


def test_a_port_that_listens_is_ready_at_once(steps: Steps) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ready = begun(steps, "127.0.0.1", port=server.getsockname()[1])
        steps.look()
    assert (ready, steps.delays, steps.waiting) == ([True], [0.0], False)


def test_a_port_over_ipv6(steps: Steps) -> None:
    try:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with server:
        ready = begun(steps, "::1", port=server.getsockname()[1])
        steps.look()
    assert ready


def test_ready_as_soon_as_the_port_listens(closed_port: int, steps: Steps) -> None:
    ready = begun(steps, "127.0.0.1", port=closed_port)
    steps.look()
    assert not ready
    with socket.create_server(("127.0.0.1", closed_port)):
        steps.look()
    assert ready


def test_a_watch_that_is_closed_looks_no_more(steps: Steps) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        watch = PortWatch(steps, ["127.0.0.1"], server.getsockname()[1], ignore, ignore, "")  # type: ignore[arg-type]
        watch.begin()
        watch.close()
        assert not steps.waiting
        with pytest.raises(BlockingIOError):
            server.accept()


def test_closed_while_it_looks(closed_port: int, steps: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = PortWatch(steps, ["127.0.0.1"], closed_port, ignore, ignore, "")  # type: ignore[arg-type]

    def close_meanwhile(*_: object) -> bool:
        watch.close()
        return False

    monkeypatch.setattr(readiness, "accepts", close_meanwhile)
    watch.begin()
    steps.look()
    assert not steps.waiting


def test_looks_are_rarer_the_longer_a_port_stays_closed(closed_port: int, steps: Steps) -> None:
    """In the first seconds two a second, later one in five seconds: 2,000 watches looked 4,000 times a second."""
    begun(steps, "127.0.0.1", port=closed_port)
    while sum(steps.delays) < 600.0:
        steps.look()
    assert steps.delays[:7] == [0.0, 0.05, 0.1, 0.2, 0.4, 0.5, 0.5]
    waited = 0.0
    for delay in steps.delays:
        waited += delay
        assert delay <= (0.5 if waited <= 5.0 else 0.1 * waited)
    assert max(steps.delays) == 5.0
    assert len(steps.delays) <= 160


def test_many_ports_need_few_threads(worker: Worker) -> None:
    """There was a thread for each registration that waits."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as server:
        port = server.getsockname()[1]
        ready = threading.Semaphore(0)
        for _ in range(500):
            PortWatch(worker, ["127.0.0.1"], port, ready.release, ignore, "").begin()
        for _ in range(500):
            assert ready.acquire(timeout=LIMIT)
    assert sum(thread.name == "test-checks" for thread in threading.enumerate()) <= 4


def test_one_that_gets_no_answer_does_not_hold_up_the_others(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """As at an address behind a firewall that drops."""
    answered, asked = threading.Event(), threading.Event()

    def accepts(host: str, _port: int, _limit: float) -> bool:
        if host == "silent":
            asked.set()
            return answered.wait(LIMIT)
        return True

    monkeypatch.setattr(readiness, "accepts", accepts)
    silent, ready = threading.Event(), threading.Event()
    PortWatch(worker, ["silent"], 1, silent.set, ignore, "").begin()
    PortWatch(worker, ["127.0.0.1"], 1, ready.set, ignore, "").begin()
    assert asked.wait(LIMIT)
    assert ready.wait(LIMIT)
    assert not silent.is_set()
    answered.set()
    assert silent.wait(LIMIT)


def test_a_port_on_loopback_alone_is_not_ready_and_the_log_says_why(
    steps: Steps, caplog: pytest.LogCaptureFixture
) -> None:
    # 127.0.0.2 stands for the advertised address: the service does not listen there.
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ready = begun(steps, "127.0.0.2", port=port)
        for _ in range(7):
            steps.look()
    assert not ready
    hints = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(hints) == 1
    assert f"port {port} accepts connections on loopback, but not at the advertised 127.0.0.2:{port}" in hints[0]


def test_a_port_that_is_slow_to_open_is_no_warning(
    closed_port: int, steps: Steps, caplog: pytest.LogCaptureFixture
) -> None:
    begun(steps, "127.0.0.1", port=closed_port)
    for _ in range(6):
        steps.look()
    assert [record.levelname for record in caplog.records] == ["INFO"]


def test_silence_is_told_once_after_ten_seconds(closed_port: int, steps: Steps) -> None:
    silent: list[str] = []
    begun(steps, "127.0.0.1", port=closed_port, silent=silent)
    while sum(steps.delays) < 60.0:
        steps.look()
        assert len(silent) == (sum(steps.delays[:-1]) >= 10.0)
    assert silent == [f"127.0.0.1:{closed_port}"]


def test_silence_has_no_second_warning_where_a_likelier_cause_was_logged(
    closed_port: int, steps: Steps, caplog: pytest.LogCaptureFixture
) -> None:
    silent: list[str] = []
    begun(steps, "127.0.0.1", port=closed_port, advice="give listen_port=", silent=silent)
    while sum(steps.delays) < 60.0:
        steps.look()
    assert (silent, len(caplog.records)) == ([], 1)


def test_a_watch_says_that_nothing_listens_until_the_port_accepts(closed_port: int, steps: Steps) -> None:
    watch = PortWatch(steps, ["127.0.0.1"], closed_port, ignore, ignore, "")  # type: ignore[arg-type]
    watch.begin()
    steps.look()
    assert watch.silence == "", "servers take a moment to open their port"
    for _ in range(6):
        steps.look()
    assert watch.silence == f"nothing listens at 127.0.0.1:{closed_port}"
    with socket.create_server(("127.0.0.1", closed_port)):
        steps.look()
    assert watch.silence == ""


def test_a_name_that_can_not_be_resolved_is_not_ready(steps: Steps) -> None:
    ready = begun(steps, "x" * 300, port=80)
    steps.look()
    assert (ready, steps.waiting) == ([], True)


def test_a_probe_that_was_given_the_port_itself_does_not_count(
    closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected = []

    class Probe(socket.socket):
        def connect(self, address: Any) -> None:
            # What the kernel does when it picks the closed port itself for the probe's own end.
            self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.bind(address)
            super().connect(address)
            connected.append(address)

    with monkeypatch.context() as patch:
        patch.setattr(readiness.socket, "socket", Probe)
        accepted = readiness.accepts("127.0.0.1", closed_port, 1.0)
    assert not accepted
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


def test_one_address_that_accepts_is_enough(steps: Steps) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ready = begun(steps, "127.0.0.2", "127.0.0.3", "127.0.0.1", port=server.getsockname()[1])
        steps.look()
    assert ready


def test_a_mapped_port_without_its_listen_port_is_a_warning_that_says_what_to_do(
    closed_port: int, steps: Steps, caplog: pytest.LogCaptureFixture
) -> None:
    begun(steps, "127.0.0.1", port=closed_port, advice="give listen_port=")
    for _ in range(6):
        steps.look()
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().endswith("not ready. give listen_port=")
