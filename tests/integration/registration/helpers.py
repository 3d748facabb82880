"""What the registration tests share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from tests.support import LIMIT, Recorder, Truth, core_of, node_of
from zkdiscovery import Client, Instance, Registration
from zkdiscovery.codecs.curator import CuratorCodec
from zkdiscovery.session import Create, EventKind, Node
from zkdiscovery.session.requests import AccessEntry, Request

T = TypeVar("T")

HOST = "10.0.0.1"
READ, ADMIN, ALL = 1, 16, 31  # of ZooKeeper's permissions


@dataclass(frozen=True)
class SetAcl:
    """Replace what anyone may do with a node."""

    path: str
    permissions: int
    type: ClassVar[int] = 7

    def serialize(self) -> bytes:
        # Of a Create, what follows the (empty) data, without the mode; then the version: any.
        entry = Create(self.path, b"", [AccessEntry(self.permissions, "world", "anyone")]).serialize()
        path = len(self.path.encode()) + 4
        return entry[:path] + entry[path + 4 : -4] + b"\xff" * 4

    def deserialize(self, _buffer: bytes, _offset: int) -> None:
        return None


def lock_service(truth: Truth, namespace: str, name: str) -> str:
    """A service in which nobody may create anything; its path."""
    path = f"{namespace}/services/{name}"
    truth.create(path)
    truth.call(SetAcl(path, READ))
    return path


def path_of(registration: Registration) -> str:
    """Where it stands."""
    return node_of(registration).path


def read(path: str, node: Node | None) -> Instance | None:
    """The instance that a node holds."""
    if node is None:
        return None
    service, instance_id = path.split("/")[-2:]
    return CuratorCodec().decode(service, instance_id, node.data)


def stored(truth: Truth, registration: Registration) -> Instance | None:
    """What stands in ZooKeeper now."""
    return read(path_of(registration), truth.get(path_of(registration)))


def wait_stored(truth: Truth, path: str, predicate: Callable[[Instance], bool]) -> Instance:
    """Wait until an instance stands there that is as wanted."""

    def matches(node: Node | None) -> bool:
        try:
            instance = read(path, node)
        except ValueError:  # garbage
            return False
        return instance is not None and predicate(instance)

    found = read(path, truth.wait(path, matches))
    assert found is not None
    return found


@contextmanager
def events(truth: Truth, path: str) -> Iterator[Recorder[str]]:
    """Record what happens to a path, as the names of ZooKeeper's events."""
    seen: Recorder[str] = Recorder()

    def note(kind: EventKind, where: str) -> None:
        if where == path:
            seen(kind.name)

    watch = truth.session.watches.add(path, note)
    watch.arm(generation=truth.session.generation, deadline=time.monotonic() + LIMIT).result(LIMIT)
    try:
        yield seen
    finally:
        watch.close()


@contextmanager
def on_submit(client: Client, react: Callable[[object], object]) -> Iterator[None]:
    """Call `react(request)` just before each request of the present link is queued, on the thread that sends it."""
    link = core_of(client).session.link
    assert link is not None
    channel = link.channel
    submit = channel.submit

    def reacting(request: Request, *, deadline: float, generation: int | None = None) -> Future[Any]:
        react(request)
        return submit(request, deadline=deadline, generation=generation)

    channel.submit = reacting  # type: ignore[method-assign]
    try:
        yield
    finally:
        del channel.submit  # type: ignore[method-assign]


def within(seconds: float, call: Callable[[], T]) -> T:
    """The result of a call that must not take longer than that."""
    results: list[T] = []
    thread = threading.Thread(target=lambda: results.append(call()), daemon=True)
    thread.start()
    thread.join(seconds)
    assert results, "it blocks, or raised"
    return results[0]


def seen_to(client: Client, *registrations: Registration) -> None:
    """Wait until the worker has dealt with all that is known, on the present connection."""
    core = core_of(client)
    end = time.monotonic() + LIMIT
    while True:
        turn = threading.Event()
        core.worker.schedule(turn, turn.set)
        assert turn.wait(LIMIT)
        tracked = [core.nodes._nodes.get(node_of(registration)) for registration in registrations]
        if all(node is None or node.generation == core.session.generation for node in tracked):
            return
        assert time.monotonic() < end, "waited in vain"
