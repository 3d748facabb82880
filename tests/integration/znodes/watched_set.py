"""A watched set whose values are the texts of nodes, and its worker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from tests.support import LIMIT, Recorder, Truth
from zkdiscovery.errors import UndecodableNode
from zkdiscovery.session import EventKind, GetData, Session, Stat, State, StateChange, Sync
from zkdiscovery.session.requests import MultiRead
from zkdiscovery.settings import load_settings
from zkdiscovery.threads import Worker
from zkdiscovery.znodes import Delta, Loader, WatchedChildren


class Set:
    """A watched set whose values are the nodes' texts, and what was told of it."""

    def __init__(self, hosts: str, path: str, **settings: Any) -> None:
        self.path = path
        self.values: dict[str, str] = {}
        self.deltas: Recorder[Delta[str]] = Recorder()
        self.decode_hook: Callable[[str], None] = lambda name: None
        self.worker = Worker("test-worker")
        self.session = Session(load_settings(hosts=hosts, **{"session_timeout": 4.0, **settings}))
        self.changes: Recorder[StateChange] = Recorder()
        self.session.listen(self.changes)
        self.session.start()
        self.session.wait_connected(LIMIT)
        self.children = WatchedChildren(Loader(self.session, self.worker), path, self._decode, self._on_change)

    def _decode(self, name: str, data: bytes, stat: Stat) -> str:
        self.decode_hook(name)
        if data == b"defect":
            raise KeyError("the codec has a defect")
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise UndecodableNode(f"{name} is no text") from error

    def _on_change(self, delta: Delta[str]) -> None:
        for name in delta.removed:
            del self.values[name]
        self.values.update(delta.changed)
        self.deltas(delta)

    @property
    def last(self) -> Delta[str]:
        return self.deltas.items[-1]

    def wait(self, values: dict[str, str]) -> None:
        self.deltas.wait(lambda _: self.values == values)

    def wait_loads(self, count: int) -> None:
        self.deltas.wait(lambda deltas: sum(delta.reloaded for delta in deltas) >= count)

    def wait_connections(self, count: int) -> None:
        self.changes.wait(
            lambda seen: bool(seen) and seen[-1].generation >= count and seen[-1].state is State.CONNECTED
        )

    def settle(self) -> None:
        """All that was committed before has been heard and read."""
        deadline = time.monotonic() + LIMIT
        for request in (Sync("/"), GetData("/")):
            self.session.call(request, deadline=deadline)
        done = threading.Event()
        # Behind the flush that the events have scheduled, and its pause after a storm.
        self.worker.schedule(done, done.set, 0.25)
        assert done.wait(LIMIT)

    def close(self) -> None:
        self.children.close()
        assert self.session.close(LIMIT)
        assert self.worker.close(LIMIT)


class Held:
    """Keeps the worker busy inside a `with` block, so that nothing is read."""

    def __init__(self, watched: Set) -> None:
        self._watched = watched
        self._entered, self._leave = threading.Event(), threading.Event()
        self.events: Recorder[tuple[EventKind, str]] = Recorder()

    def __enter__(self) -> Recorder[tuple[EventKind, str]]:
        """What the set has heard: its own listener is called before this one."""
        session = self._watched.session
        watch = session.watches.add(self._watched.path, lambda kind, path: self.events((kind, path)))
        watch.arm(generation=session.generation, deadline=time.monotonic() + LIMIT).result(LIMIT)
        self._watched.worker.schedule(self, self._hold)
        assert self._entered.wait(LIMIT)
        return self.events

    def __exit__(self, *exc: object) -> None:
        self._leave.set()

    def _hold(self) -> None:
        self._entered.set()
        assert self._leave.wait(LIMIT)


def fill(truth: Truth, path: str, **nodes: str) -> None:
    for name, text in nodes.items():
        truth.create(f"{path}/{name}", text.encode())


def count_reads(watched: Set) -> list[MultiRead]:
    """The bulk reads that the session is asked for from now on."""
    reads: list[MultiRead] = []
    original = watched.session.submit

    def submit(request: Any, **options: Any) -> Any:
        if isinstance(request, MultiRead):
            reads.append(request)
        return original(request, **options)

    watched.session.submit = submit  # type: ignore[method-assign]
    return reads
