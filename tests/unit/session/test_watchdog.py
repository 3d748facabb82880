"""When a silent link is given up, and what is asked of servers: what is silent while we stand still does not count."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import cast

import pytest

from zkdiscovery.errors import NoThreadAvailable
from zkdiscovery.session import Session, State
from zkdiscovery.session import watchdog as watchdog_module
from zkdiscovery.session.resolver import Resolver
from zkdiscovery.session.status import SessionStatus
from zkdiscovery.session.transport.options import LinkOptions
from zkdiscovery.session.watchdog import Watchdog
from zkdiscovery.threads.worker import Worker

T = 12.0  # seconds, the session timeout; the link is looked at each second
OPTIONS = LinkOptions("zookeeper:2181", 10.0, 1.0, None, [], None)


class Bench:
    """What the watchdog needs of a session, its maintenance thread, its link and the link's channel."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timeout = T
        self.state = State.CONNECTED
        self.link = self.channel = self
        self.sent: float | None = None
        self.ping_sent: float | None = None
        self.last_answer = self.now
        self.dropped: list[str] = []
        self._task: Callable[[], None] | None = None

    def schedule(self, _key: object, task: Callable[[], None], _delay: float) -> None:
        self._task = task

    def oldest_sent(self) -> float | None:
        return self.sent

    def drop(self, reason: str) -> None:
        self.dropped.append(reason)

    def look(self, after: float) -> None:
        """So many seconds pass, then it looks."""
        self.now += after
        assert self._task is not None
        self._task()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench()
    monkeypatch.setattr(watchdog_module.time, "monotonic", lambda: bench.now)
    Watchdog(cast("Session", bench), OPTIONS, cast("Resolver", None), cast("Worker", bench)).connected()
    return bench


def test_a_silent_link_is_dropped_within_five_twelfths(bench: Bench) -> None:
    bench.sent = bench.now
    while not bench.dropped:
        bench.look(1.0)
    assert bench.now - 100.0 <= T / 3 + T / 12


@pytest.mark.parametrize("pause", [2.5, 3.9, 4.5, 30.0])
def test_a_process_that_stood_still_reads_what_has_come_first(bench: Bench, pause: float) -> None:
    """The answer lies in the buffer of the socket, and whether it is read before the look is a matter of luck."""
    bench.look(1.0)
    bench.sent = bench.last_answer = bench.now - 2.0
    bench.look(pause)
    assert not bench.dropped
    bench.sent, bench.last_answer = None, bench.now
    bench.look(1.0)
    assert not bench.dropped


def test_a_dead_link_is_dropped_at_the_second_look_of_a_process_that_is_always_late(bench: Bench) -> None:
    bench.sent = bench.now
    for _ in range(3):
        bench.look(3.0)
    assert bench.dropped


class Prober:
    """Runs a task at once, if there is a thread for it."""

    def __init__(self, *, threads: bool = True) -> None:
        self.threads = threads

    def schedule(self, _key: object, task: Callable[[], None], _delay: float = 0.0) -> None:
        if not self.threads:
            raise NoThreadAvailable("can't start new thread")
        task()


def short_session() -> SessionStatus:
    """One whose T is too short for leases."""
    session = SessionStatus(OPTIONS.hosts, 1.0)
    session.state = State.SUSPENDED
    session.highest_zxid = 1
    return session


def watch(session: SessionStatus) -> Watchdog:
    return Watchdog(session, OPTIONS, Resolver([("127.0.0.1", 2181)]), cast("Worker", None))


def test_a_session_timeout_that_is_too_short_is_named_once_for_all_leases(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watchdog_module, "Worker", lambda _: Prober())
    monkeypatch.setattr(watchdog_module, "probe_tick", lambda *_, **__: 2.0)
    session = short_session()
    watchdog = watch(session)
    for timeout in (1.0, 1.0, 2.0, 2.0):
        session.timeout = timeout
        watchdog.lease_begins()
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [text.partition(" is less")[0] for text in told] == [
        "a session timeout of 1 s",
        "a session timeout of 2 s",
    ]


def test_a_lease_begins_where_there_is_no_thread_to_ask_for_the_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog_module, "Worker", lambda _: Prober(threads=False))
    watch(short_session()).lease_begins()


def test_servers_are_asked_for_their_data_once_there_is_a_thread_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    prober = Prober(threads=False)
    monkeypatch.setattr(watchdog_module, "Worker", lambda _: prober)
    watchdog = watch(short_session())
    watchdog.refused()
    asked: list[object] = []
    prober.threads = True
    prober.schedule = lambda _key, task, _delay=0.0: asked.append(task)  # type: ignore[method-assign]
    watchdog.refused()
    watchdog.refused()
    assert len(asked) == 1
