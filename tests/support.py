"""What the tests share: waiting for events with a limit, ZooKeeper behind the SDK's back, counts of requests."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from zkdiscovery.balancing import Pool
from zkdiscovery.discovery import Service
from zkdiscovery.discovery.feed import Feed, Follower
from zkdiscovery.errors import NodeMissing
from zkdiscovery.model import Snapshot
from zkdiscovery.session import EPHEMERAL, Create, Delete, GetChildren, GetData, Node, Session, SetData, State, Sync
from zkdiscovery.session.requests import RemoveWatches
from zkdiscovery.settings import load_settings
from zkdiscovery.threads import Dispatcher, Monitor
from zkdiscovery.znodes import OwnedNode, parent_of
from zkdiscovery.znodes.parents import make_container

if TYPE_CHECKING:
    from zkdiscovery import Client, Registration, RegistrationState
    from zkdiscovery.core import Core

T = TypeVar("T")

LIMIT = 20.0  # seconds: far more than anything takes; reached only by a defect
IN_FULL = os.environ.get("ZKDISCOVERY_TEST_LOAD") == "all"  # loads are as large as meant: make test-servers


def core_of(client: Client) -> Core:
    """What a client works with."""
    return client.slot.current()


def node_of(registration: Registration) -> OwnedNode:
    """The node of a registration."""
    return registration._owned.node


def feed_of(view: Service) -> Feed:
    """What a view follows."""
    feed = view._feed
    assert feed is not None
    return feed


def join_feed(view: Service, follower: Follower) -> None:
    """Let somebody else follow what a view follows; the feed holds its followers weakly."""
    feed = feed_of(view)
    feed.reserve()
    feed.join(follower)


def view_without_client(service: str, make_pool: Callable[[], Pool]) -> Service:
    """A view that follows nothing; a test calls its `follow`."""
    slot: Any = SimpleNamespace(dispatcher=Dispatcher("unused"))
    session = SimpleNamespace(failure=None, fatal_error=None, status_message="", changed=Monitor())
    core: Any = SimpleNamespace(session=session, loader=SimpleNamespace(worker=None))

    def attach(_core: object, _view: Service) -> Feed:
        return Feed(core, service, "nowhere", lambda _: None, SimpleQueue())

    view = Service(service, slot, attach, make_pool)
    view.revive(core)
    return view


def wait_until(condition: Callable[[], object], timeout: float = LIMIT) -> None:
    """Wait for what no event tells of."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


class Recorder(Generic[T]):
    """A callback that keeps what it was called with, and can be waited on."""

    def __init__(self) -> None:
        self.items: list[T] = []
        self._changed = threading.Condition()

    def __call__(self, item: T) -> None:
        with self._changed:
            self.items.append(item)
            self._changed.notify_all()

    def wait(self, predicate: Callable[[list[T]], bool], timeout: float = LIMIT) -> list[T]:
        """Wait until `predicate(items)`; fails the test if it does not come."""
        with self._changed:
            assert self._changed.wait_for(lambda: predicate(self.items), timeout), f"waited in vain; got {self.items}"
            return list(self.items)


def wait_view(view: Service, predicate: Callable[[Snapshot], bool], timeout: float = LIMIT) -> Snapshot:
    """Wait until the view's snapshot is as wanted."""
    with view._changed:
        assert view._changed.wait_for(lambda: predicate(view.snapshot), timeout), f"waited in vain: {view.snapshot!r}"
        return view.snapshot


def wait_state(client: Client, state: State, timeout: float = LIMIT) -> None:
    """Wait until the client's session is in a state."""
    session = core_of(client).session
    with session.changed:
        assert session.changed.wait_for(lambda: session.state is state, timeout), f"waited in vain: {session!r}"


def wait_epoch(client: Client, epoch: int, timeout: float = LIMIT) -> None:
    """Wait until the client is connected in its session number `epoch` or a later one."""
    session = core_of(client).session
    with session.changed:
        assert session.changed.wait_for(lambda: session.epoch >= epoch and session.state is State.CONNECTED, timeout), (
            f"waited in vain: {session!r}"
        )


def wait_registration(registration: Registration, state: RegistrationState, timeout: float = LIMIT) -> None:
    """Wait until a registration is in a state."""
    node = node_of(registration)
    assert node is not None
    assert node.wait(lambda _: registration.state is state, timeout), f"waited in vain: {registration!r}"


class Truth:
    """ZooKeeper as it is: a session of its own on the real server, past all proxies."""

    def __init__(self, hosts: str) -> None:
        self.session = Session(load_settings(hosts=hosts, namespace="/", session_timeout=30.0))
        self._changed = threading.Condition()
        self._events = 0

    def __enter__(self) -> Self:
        self.session.start()
        try:
            self.session.wait_connected(LIMIT)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.session.close(5.0)

    def call(self, request: Any) -> Any:
        """One request."""
        return self.session.call(request, deadline=time.monotonic() + LIMIT)

    def get(self, path: str) -> Node | None:
        """The node, after everything that was committed before; None if there is none."""
        self.session.read(Sync(path), timeout=LIMIT)
        try:
            node: Node = self.session.read(GetData(path), timeout=LIMIT)
        except NodeMissing:
            return None
        return node

    def children(self, path: str) -> list[str]:
        """Sorted names of the children; empty if the node is missing."""
        self.session.read(Sync(path), timeout=LIMIT)
        try:
            return sorted(self.session.read(GetChildren(path), timeout=LIMIT))
        except NodeMissing:
            return []

    def create(self, path: str, data: bytes = b"", *, ephemeral: bool = False) -> None:
        """Create a node and its parents."""
        make_container(
            self.session, parent_of(path), generation=self.session.generation, deadline=time.monotonic() + LIMIT
        )
        self.call(Create(path, data, self.session.leaf_acl, EPHEMERAL if ephemeral else 0))

    def set(self, path: str, data: bytes) -> None:
        """Write a node."""
        self.call(SetData(path, data))

    def delete(self, path: str) -> None:
        """Delete a node."""
        self.call(Delete(path))

    def wait(self, path: str, predicate: Callable[[Node | None], bool], timeout: float = LIMIT) -> Node | None:
        """Wait until the node (None: missing) is as wanted; woken by ZooKeeper's events."""

        def note(*_: object) -> None:
            with self._changed:
                self._events += 1
                self._changed.notify_all()

        watch = self.session.watches.add(path, note)
        try:
            watch.arm(generation=self.session.generation, deadline=time.monotonic() + LIMIT).result(LIMIT)
            end = time.monotonic() + timeout
            while True:
                seen = self._events
                node = self.get(path)
                if predicate(node):
                    return node
                left = end - time.monotonic()
                assert left > 0, f"waited in vain for {path}: {node}"
                with self._changed:
                    # And now and then without one: a connection that broke has taken the watch along.
                    self._changed.wait_for(lambda seen=seen: self._events > seen, min(left, 1.0))
        finally:
            watch.close()


@contextmanager
def counting(client: Client) -> Iterator[Counter[str]]:
    """Count the requests that a client's present connection sends, by name."""
    session = core_of(client).session
    assert session.link is not None
    channel = session.link.channel
    counts: Counter[str] = Counter()
    original = channel.submit

    def submit(request: Any, **options: Any) -> Any:
        counts[type(request).__name__] += 1
        return original(request, **options)

    channel.submit = submit  # type: ignore[method-assign]
    try:
        yield counts
    finally:
        del channel.submit  # type: ignore[method-assign]


@contextmanager
def measuring_round_trips(client: Client) -> Iterator[Callable[[], int]]:
    """Measure the round trips of a client: the longest chain of requests, each sent after an answer to the one before.

    Removals of watches do not count, because nobody waits for them. Anything else that the client sends meanwhile, such
    as a renewal, may lengthen the chain.
    """
    session = core_of(client).session
    assert session.link is not None
    channel = session.link.channel
    longest = 0  # chain of those that were answered
    original = channel.submit

    def submit(request: Any, **options: Any) -> Any:
        length = longest + 1
        future = original(request, **options)

        def note(_answered: object) -> None:
            nonlocal longest
            longest = max(longest, length)

        if not isinstance(request, RemoveWatches):
            future.add_done_callback(note)
        return future

    channel.submit = submit  # type: ignore[method-assign]
    try:
        yield lambda: longest
    finally:
        del channel.submit  # type: ignore[method-assign]
