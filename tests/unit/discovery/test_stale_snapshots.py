"""When a snapshot is stale, if connections come and go faster than the cache's thread gets round to it."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest

from zkdiscovery.codecs.curator import CuratorCodec
from zkdiscovery.discovery.cache import ServiceCache
from zkdiscovery.session import State, StateChange
from zkdiscovery.settings import settings_without_environment
from zkdiscovery.znodes import Paths


class Bench:
    """What a cache needs of a session, its watches, the loader and the worker; tasks run when the test says so."""

    def __init__(self) -> None:
        self.session = self.loader = self.worker = self.watches = self
        self.paths, self.codec, self.settings = Paths("/"), CuratorCodec(), settings_without_environment()
        self.state = State.NEW
        self.generation = self.data_losses = 0
        self.timeout = 10.0
        self._listeners: list[Callable[[StateChange], None]] = []
        self._tasks: dict[object, Callable[[], None]] = {}
        self._children: Any = None
        self.cache = ServiceCache(self, "payments", lambda _: None, SimpleQueue())  # type: ignore[arg-type]
        self.connect()
        self.load()

    def start(self) -> None: ...

    def feature(self, _kind: object) -> SimpleNamespace:
        return SimpleNamespace()  # no instance of the test names a source

    def add(self, path: str, _listener: object) -> object:
        return SimpleNamespace(path=path)

    def listen(self, listener: Callable[[StateChange], None]) -> None:
        self._listeners.append(listener)

    def due(self, children: object) -> None:
        self._children = children

    def schedule(self, key: object, task: Callable[[], None], _delay: float = 0.0) -> None:
        self._tasks.setdefault(key, task)

    def connect(self) -> None:
        self.generation += 1
        self._move(State.CONNECTED)

    def suspend(self) -> None:
        self._move(State.SUSPENDED)

    def _move(self, state: State) -> None:
        before, self.state = self.state, state
        for listener in self._listeners:
            listener(StateChange(state, before, 1, self.generation))

    def load(self) -> None:
        """All that is read on the present connection has come."""
        self._children.begin_load()
        self._children.load([], self.generation)

    def run(self) -> None:
        """The worker gets round to what waits."""
        while self._tasks:
            self._tasks.pop(next(iter(self._tasks)))()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_second_break_is_seen_though_the_first_one_still_waits_for_the_thread(bench: Bench) -> None:
    bench.suspend()
    bench.connect()
    bench.suspend()  # after the last answer, and before the load is in force
    bench.load()
    bench.run()
    assert bench.cache.snapshot.stale


def test_a_load_that_was_faster_than_the_news_of_the_break_stays_in_force(bench: Bench) -> None:
    bench.suspend()
    bench.connect()
    bench.load()
    bench.run()
    assert not bench.cache.snapshot.stale


def test_a_snapshot_is_stale_until_the_next_connection_is_loaded(bench: Bench) -> None:
    bench.suspend()
    bench.connect()
    bench.run()
    assert bench.cache.snapshot.stale
    bench.load()
    assert not bench.cache.snapshot.stale
