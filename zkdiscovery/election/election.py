"""Elections: campaign for leadership, hold it for a term, follow who leads."""

from __future__ import annotations

import inspect
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self, TypeVar

from zkdiscovery.election.candidacy import Candidacy, Queued, read_queue
from zkdiscovery.election.term import Term
from zkdiscovery.errors import ClientClosed, InvalidName, LeadershipLost, OperationTimeout
from zkdiscovery.session import Dispatcher, Session, Stat, State, Subscription, Worker
from zkdiscovery.znodes import Delta, OwnedNodes, Paths, WatchedChildren

T = TypeVar("T")

log = logging.getLogger("zkdiscovery.election")

OnSuspend = Literal["hold", "release"]

GOODBYE_TIMEOUT = 5.0  # seconds that leaving a campaign waits for the node to be gone
RESTART_DELAY = 1.0  # seconds before `start` campaigns again after its function raised
_MAX_ID = 256  # characters of a candidate's id that are read


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody who stands for an election.

    Attributes:
        id: what it calls itself; `<host>:<pid>` by default.
        fence: the fence of its term, if it leads or will.
    """

    id: str
    fence: int


class Room(NamedTuple):
    """What elections need of their client; another one after a fork."""

    session: Session
    nodes: OwnedNodes
    worker: Worker
    cache_worker: Worker
    dispatcher: Dispatcher
    paths: Paths


class Election:
    """One election, made by `Client.election`. Nothing is sent before the first campaign.

    Every method may be called from any thread; one campaign runs at a time.
    """

    def __init__(self, name: str, id: str | None, on_suspend: OnSuspend, room: Callable[[], Room]) -> None:
        if on_suspend not in {"hold", "release"}:
            raise ValueError(f"on_suspend must be 'hold' or 'release': got {on_suspend!r}")
        if id is not None and not 1 <= len(id) <= _MAX_ID:
            raise InvalidName(f"the candidate's id must be a string of 1 to {_MAX_ID} characters")
        Paths("").election(name)
        self.name = name
        self._id = id
        self._on_suspend: OnSuspend = on_suspend
        self._room = room
        self._closed = threading.Event()
        self._reset()

    def _reset(self) -> None:
        """As new, but closed if it was; also in a forked child, where locks and candidacy are the parent's."""
        was_closed = self._closed.is_set()
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._campaign = threading.Lock()
        self._candidacy: Candidacy | None = None
        self._closed = threading.Event()
        if was_closed:
            self._closed.set()
        self._thread: threading.Thread | None = None
        self._subscriptions: list[Subscription[Candidate | None]] = []
        self._observer: WatchedChildren[Candidate] | None = None
        self._candidates: dict[str, Candidate] = {}
        self._leader: Candidate | None = None
        self._running: dict[Term, threading.Thread] = {}  # blocks that run as the leader

    @property
    def id(self) -> str:
        """What this candidate calls itself."""
        return self._id or f"{socket.gethostname()}:{os.getpid()}"

    @property
    def term(self) -> Term | None:
        """Our term, while it lasts."""
        candidacy = self._candidacy
        term = candidacy.term if candidacy is not None else None
        return None if term is None or term.lost else term

    @contextmanager
    def campaign(self, timeout: float | None = None) -> Iterator[Term]:
        """Wait for leadership; the block runs as the leader; leaving it resigns.

        Args:
            timeout: seconds to wait; None: until elected or closed.

        Raises:
            OperationTimeout: not elected in time; the queue is left.
            ClientClosed: the election or the client was closed.
            RuntimeError: a campaign of this object is under way.
        """
        term = self._elect(timeout)
        try:
            yield term
        finally:
            self._withdraw(term)

    def terms(self) -> Iterator[Term]:
        """One turn for each leadership won, until the election or the client closes. Leaving in any way withdraws."""
        while not self._closed.is_set():
            try:
                term = self._elect(None)
            except ClientClosed:
                return
            try:
                yield term
            finally:
                self._withdraw(term)

    def start(self, fn: Callable[[Term], object]) -> None:
        """Run `fn(term)` for each leadership won, on a background thread, until `close()`.

        If `fn` raises, it is logged, and the next campaign begins a second later.

        Raises:
            TypeError: `fn` is `async def`.
            RuntimeError: started already.
            ClientClosed: the election was closed.
        """
        if inspect.iscoroutinefunction(fn):
            raise TypeError("election.start() needs a plain function, not `async def`")
        with self._lock:
            self._require_open()
            if self._thread is not None:
                raise RuntimeError(f"the election {self.name!r} was started already")
            self._thread = threading.Thread(
                target=self._run, args=(fn,), name=f"zkdiscovery-election-{self.name}", daemon=True
            )
            self._thread.start()

    def _run(self, fn: Callable[[Term], object]) -> None:
        for term in self.terms():
            try:
                fn(term)
            except LeadershipLost:
                log.info("the function of the election %r ended with its term", self.name)
            except Exception:
                log.exception("the function of the election %r raised; resigning", self.name)
                term.resign()
                self._closed.wait(RESTART_DELAY)

    def run_while_leader(self, fn: Callable[[Term], T]) -> T | None:
        """Campaign and call `fn(term)`, again if the term was lost meanwhile. None if closed before it returns."""
        for term in self.terms():
            try:
                result = fn(term)
            except LeadershipLost:
                if not term.lost:
                    raise
                continue
            if not term.lost:
                return result
        return None

    def candidates(self, timeout: float = 5.0) -> list[Candidate]:
        """All candidates, the leader first; one read.

        Raises:
            NotConnected, OperationTimeout, AccessDenied: not answered within `timeout` seconds, or refused.
        """
        room = self._room()
        deadline = time.monotonic() + timeout
        path = room.paths.election(self.name)

        def once() -> list[Queued]:
            room.session.wait_connected(max(0.0, deadline - time.monotonic()))
            return read_queue(room.session, path, generation=room.session.generation, deadline=deadline)

        return [Candidate(_read_id(entry.data), entry.czxid) for entry in room.session.retrying(timeout)(once)]

    def leader(self, timeout: float = 5.0) -> Candidate | None:
        """Who leads, or comes next while a leader leaves; None if nobody stands; one read. Raises as `candidates`."""
        return next(iter(self.candidates(timeout)), None)

    def on_change(self, fn: Callable[[Candidate | None], object]) -> Subscription[Candidate | None]:
        """Call `fn(leader)` on the client's dispatcher thread when another candidate leads, the present one first.

        Raises:
            TypeError: `fn` is no plain callable.
            ClientClosed: the election or the client was closed.
        """
        room = self._room()
        subscription: Subscription[Candidate | None] = room.dispatcher.subscribe(fn, lambda _earlier, later: later)
        with self._lock:
            self._require_open()
            self._subscriptions.append(subscription)
            if self._observer is None:
                self._observer = WatchedChildren(
                    room.session, room.cache_worker, room.paths.election(self.name), _decode, self._observe
                )
            elif self._leader is not None:
                room.dispatcher.offer(subscription, self._leader)
        return subscription

    def close(self, timeout: float = GOODBYE_TIMEOUT) -> None:
        """End the term, wait for its block up to `timeout` seconds, leave the queue. Idempotent."""
        end = time.monotonic() + timeout
        with self._lock:
            self._closed.set()
            candidacy, thread, observer = self._candidacy, self._thread, self._observer
            self._observer = None
            subscriptions, self._subscriptions = self._subscriptions, []
        for subscription in subscriptions:
            subscription.close()
        if observer is not None:
            observer.close()
        if candidacy is not None:
            candidacy.end_term("the election was closed")
            candidacy.wake()
        me = threading.current_thread()
        with self._idle:
            # The next leader begins when our node goes: not before our block has ended, if it ends in time.
            while any(runner is not me for runner in self._running.values()):
                left = end - time.monotonic()
                if left <= 0:
                    break
                self._idle.wait(left)
            still = [(term.fence, runner.name) for term, runner in self._running.items() if runner is not me]
        if candidacy is not None:
            candidacy.withdraw("the election was closed")
            candidacy.wait_gone(max(0.0, end - time.monotonic()))
        if thread is not None and thread is not me:
            thread.join(max(0.0, end - time.monotonic()))
        for fence, name in still:
            log.error(
                "the election %r is closed, but the block of its term %d still runs on thread %s and leads no more",
                self.name, fence, name,
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = (
            "closed"
            if self._closed.is_set()
            else "leading"
            if self.term
            else "campaigning"
            if self._candidacy
            else "idle"
        )
        return f"<Election {self.name!r} {state}>"

    def __reduce__(self) -> str:
        raise TypeError("an election holds a connection and can't be pickled; call election() in the other process")

    # -- helpers --

    def _require_open(self) -> None:
        if self._closed.is_set():
            raise ClientClosed(f"the election {self.name!r} was closed")

    def _elect(self, timeout: float | None) -> Term:
        end = None if timeout is None else time.monotonic() + timeout
        if not self._campaign.acquire(blocking=False):
            raise RuntimeError(
                f"a campaign for the election {self.name!r} is under way; use another election object for another one"
            )
        try:
            while True:
                candidacy = self._stand()
                left = None if end is None else max(0.0, end - time.monotonic())
                term = candidacy.wait(left, self._closed.is_set)
                if term is not None and not term.lost:
                    with self._lock:
                        self._running[term] = threading.current_thread()
                    return term
                candidacy.withdraw()
                self._require_open()
                if end is not None and time.monotonic() >= end:
                    error = candidacy.error
                    raise OperationTimeout(
                        f"not elected in {self.name!r} within {timeout:g} s"
                        + (f": {error}" if error else "; another candidate leads, or ZooKeeper can't be reached")
                    )
        except BaseException:
            self._withdraw()
            raise

    def _stand(self) -> Candidacy:
        """A new candidacy; the one before is over."""
        room = self._room()
        data = json.dumps({"id": self.id}, separators=(",", ":")).encode()
        with self._lock:
            self._require_open()
            self._candidacy = Candidacy(
                room.session,
                room.nodes,
                room.worker,
                self.name,
                room.paths.election(self.name),
                data,
                release_on_suspend=self._on_suspend == "release",
            )
            return self._candidacy

    def _withdraw(self, term: Term | None = None) -> None:
        """Leave the queue; in contact with ZooKeeper, wait until we are out of it."""
        with self._idle:
            candidacy, self._candidacy = self._candidacy, None
            if term is not None:
                self._running.pop(term, None)
            self._idle.notify_all()
        if candidacy is not None:
            candidacy.withdraw()
            if self._room().session.state is State.CONNECTED:
                candidacy.wait_gone(GOODBYE_TIMEOUT)
        self._campaign.release()

    def _observe(self, delta: Delta[Candidate]) -> None:
        """The candidates changed (cache worker)."""
        for name in delta.removed:
            self._candidates.pop(name, None)
        self._candidates.update(delta.changed)
        leader = min(self._candidates.values(), key=lambda candidate: candidate.fence, default=None)
        with self._lock:
            if leader == self._leader and not delta.reloaded:
                return
            changed = leader != self._leader
            self._leader = leader
            subscriptions = list(self._subscriptions)
        if changed:
            for subscription in subscriptions:
                subscription._dispatcher.offer(subscription, leader)


def _decode(_name: str, data: bytes, stat: Stat) -> Candidate:
    return Candidate(_read_id(data), stat.czxid)


def _read_id(data: bytes) -> str:
    """The id that a candidate gives itself: untrusted, so bounded and checked."""
    try:
        value = json.loads(data[:4096])["id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    return value[:_MAX_ID] if isinstance(value, str) else ""
