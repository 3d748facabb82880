"""The core of a client: what its features work with, and the order in which they close.

A feature is a class that is made with one argument, the `Core`. Registration, discovery and elections are features, and
`client.feature(Recipe)` makes one from outside the package. Whatever a user holds for longer than a fork, such as a
view or an election, has the `CoreSlot` and asks it for the present core.

Threads: any thread may use a core and a slot. Features are made under the core's lock, so their constructors send
nothing and wait for nothing.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

from zkdiscovery.codecs import Codec
from zkdiscovery.errors import ClientClosed, ZkDiscoveryError
from zkdiscovery.lifecycle import Ending, await_signals, inhabit, take_all, time_for, within
from zkdiscovery.session import Session, State, StateChange
from zkdiscovery.threads import Dispatcher, Subscribers, Worker, latest
from zkdiscovery.validation import check_timeout
from zkdiscovery.znodes import Loader, OwnedNodes, Paths

if TYPE_CHECKING:
    from zkdiscovery.settings import Settings  # loads pydantic

F = TypeVar("F", bound="Feature")

log = logging.getLogger("zkdiscovery.core")

CHECKS = 4  # looks at ports that may run at the same time: one that gets no answer takes a second


class Phase(IntEnum):
    """The moment at which a feature closes. The session closes last."""

    HOLDS = 1
    """Leaderships and locks, for which other processes wait. They close when the client drains."""
    OWNED = 2
    """Ephemeral nodes. They close when the client drains."""
    VIEWS = 3
    """Features that only read. They close when the client closes."""


class Feature:
    """One feature of a client; the base class of recipes.

    Attributes:
        phase: when it closes.
        core: what it works with.
    """

    phase: ClassVar[Phase] = Phase.VIEWS

    def __init__(self, core: Core) -> None:
        self.core = core

    def require_open(self) -> None:
        """Check that features of this phase have not begun to close.

        Call it, and record what is new, under the lock that `begin_close` takes: then `begin_close` misses nothing.

        Raises:
            ClientClosed: they have.
        """
        self.core.require_open(self.phase)

    def time_to_close(self) -> float:
        """Extra seconds that closing takes, such as a drain delay."""
        return 0.0

    def begin_close(self, deadline: float) -> None:
        """Refuse new work and start closing. Never blocks, because several clients close on one thread.

        Args:
            deadline: monotonic seconds until which `close` may wait.
        """

    def close(self, deadline: float) -> None:
        """Wait until it is closed, at most until `deadline` (monotonic seconds). `begin_close` was called before."""

    def forked(self) -> None:
        """In a forked child: nothing of the parent's connection is ours. The core is never used again."""


class Survivor(Protocol):
    """An object of users that outlives a core, such as a view. It goes on in a forked child."""

    def forked(self) -> None:
        """In a forked child: nothing of the parent's connection is ours."""

    def revive(self, core: Core) -> None:
        """Go on with the child's first core. Does nothing if there is nothing to go on with. Never waits."""


class Core:
    """The parts of one client that its features work with. A forked child gets another one.

    Attributes:
        slot: the slot that holds this core; for objects that outlive it.
        settings: the settings in force.
        codec: the wire format of instances.
        paths: the paths in ZooKeeper.
        session: the session, its requests, leases and watches.
        nodes: ephemeral nodes that come back after every outage.
        worker: the thread of owned nodes and of queues.
        loader: reads for watched sets of children; `loader.worker` is their thread.
        checks: the threads that look at ports.
        dispatcher: the thread of users' callbacks.
    """

    def __init__(
        self,
        slot: CoreSlot,
        settings: Settings,
        codec: Codec,
        make_session: Callable[[Settings], Session] = Session,
        make_nodes: Callable[[Session, Worker], OwnedNodes] = OwnedNodes,
    ) -> None:
        self.slot = slot
        self.settings = settings
        self.codec = codec
        self.paths = Paths(settings.namespace, settings.base_path)
        self.session = make_session(settings)
        self.worker = Worker("zkdiscovery-owner")
        self.nodes = make_nodes(self.session, self.worker)
        self.loader = Loader(self.session, Worker("zkdiscovery-cache"))
        self.checks = Worker("zkdiscovery-checks", threads=CHECKS)
        self.dispatcher = slot.dispatcher
        self._lock = threading.RLock()  # a feature may use another one
        self._features: dict[type[Feature], Feature] = {}
        self._sealed = 0  # features of phases up to this one are not made any more
        self._closing: list[Feature] = []  # in the order in which they have begun to close
        self._closing_next = 0  # the first of them that is not waited for yet

    def feature(self, kind: type[F]) -> F:
        """The feature of this class, made at the first use.

        Raises:
            ClientClosed: features of its phase have closed.
        """
        found = self._features.get(kind)
        if found is None:
            with self._lock:
                found = self._features.get(kind)
                if found is None:
                    self.require_open(kind.phase)
                    found = self._features[kind] = self.make(kind)
        return found  # type: ignore[return-value]  # a dict can't say that a value is an instance of its key

    def make(self, kind: type[F]) -> F:
        """A new feature of this class; a client without ZooKeeper makes others."""
        return kind(self)

    def require_open(self, phase: Phase) -> None:
        """Raise ClientClosed if features of this phase have begun to close."""
        if phase <= self._sealed:
            how = "closed" if phase is Phase.VIEWS else "drained or closed"
            raise ClientClosed(f"the client was {how}; make a new one")

    def seal(self, phase: Phase) -> None:
        """Make no more features of this phase and of those before it."""
        with self._lock:
            self._sealed = max(self._sealed, phase)

    def features(self, last: Phase) -> list[Feature]:
        """The features of all phases up to `last`, in the order in which they close."""
        with self._lock:
            return sorted((f for f in self._features.values() if f.phase <= last), key=lambda f: f.phase)

    def begin_close(self, last: Phase, deadline: float) -> None:
        """Begin to close the features of all phases up to `last` that are open. Never blocks."""
        with self._lock:
            self.seal(last)
            begun = [feature for feature in self.features(last) if feature not in self._closing]
            self._closing += begun
        take_all([feature.begin_close for feature in begun], deadline)

    def finish_close(self, deadline: float) -> None:
        """Wait until what has begun to close is closed, at most until `deadline` (monotonic seconds)."""
        closing, self._closing_next = self._closing[self._closing_next :], len(self._closing)
        take_all([feature.close for feature in closing], deadline)

    def end(self, deadline: float) -> None:
        """Wait until the session and all threads have ended, at most until `deadline` (monotonic seconds)."""
        closes = (self.session.close, self.worker.close, self.loader.worker.close, self.checks.close)
        take_all([within(close) for close in closes], deadline)

    def forked(self) -> None:
        """In a forked child, where this core is never used again."""
        for feature in list(self._features.values()):  # the lock may be held by a thread of the parent
            _guarded(feature.forked)


class CoreSlot:
    """Holds the core of one client: the first use makes it, a fork replaces it, closing removes it.

    Args:
        make: makes a core that is not started.
        hosts: of ZooKeeper, in words, while there is no core.

    Attributes:
        ending: how far the client has ended.
        dispatcher: the thread of users' callbacks; that of all cores.
        states: the subscriptions to the state.
    """

    def __init__(self, make: Callable[[CoreSlot], Core], hosts: str) -> None:
        self._hosts = hosts
        self.ending = Ending()
        self.dispatcher = Dispatcher("zkdiscovery-callbacks")
        self.states: Subscribers[State] = Subscribers(self.dispatcher, latest)
        self._make = make
        # Held while settings and codecs load, which is code of users and takes any time, so closing never takes it.
        # One thread makes the core and the others wait. A signal handler, or a codec that uses its client, does not.
        self._making = threading.RLock()
        self._lock = threading.Lock()
        self._core: Core | None = None
        self._last_core: Core | None = None  # while it is being closed
        self._closed = False
        self._survivors: weakref.WeakSet[Survivor] = weakref.WeakSet()
        self._was_forked = False  # and no core was made since
        inhabit(self)

    @property
    def state(self) -> State:
        """The state of the session."""
        core = self._core
        if core is not None:
            return core.session.state
        return State.CLOSED if self._closed else State.NEW

    @property
    def started(self) -> bool:
        """True if there is a core, so `current` neither makes one nor waits."""
        return self._core is not None

    def __repr__(self) -> str:
        core = self._core or self._last_core
        return f"<Client {core.settings.hosts if core else self._hosts} {self.state}>"

    def current(self) -> Core:
        """The present core, made and started if there is none.

        Raises:
            InvalidSettings: the settings can't be used.
            NoThreadAvailable: the system has no thread to give; the next use begins anew.
            ClientClosed: the client was closed.
        """
        core = self._core
        return self._first_use() if core is None else core

    def _first_use(self) -> Core:
        survivors: list[Survivor] = []
        with self._making:
            if self._core is None and not self._closed:
                survivors = self._put_in_force(self._make(self))
        present = self._core
        if present is None:
            await_signals()  # one of them may have closed us
            raise ClientClosed("the client was closed; make a new one")
        for survivor in survivors:
            with suppress(ZkDiscoveryError):  # its next use tries again
                survivor.revive(present)
        return present

    def _put_in_force(self, core: Core) -> list[Survivor]:
        """Start a new core, unless there is one or the client was closed meanwhile. Return what goes on with it."""
        with self._lock:
            if self._core is not None or self._closed:
                return []
            if self.ending.begun:
                core.seal(Phase.OWNED)
            core.session.listen(self._on_state)
            try:
                core.session.start()
            except BaseException:
                core.session.unlisten(self._on_state)
                core.session.close(0.0)
                raise
            self._core = core
            survivors = list(self._survivors) if self._was_forked else []
            self._was_forked = False
            return survivors

    def add(self, survivor: Survivor) -> None:
        """Tell an object of users of forks for as long as it lives."""
        with self._lock:
            self._survivors.add(survivor)

    def survivors(self) -> list[Survivor]:
        """The objects of users that are told of forks."""
        with self._lock:
            return list(self._survivors)

    def require_undrained(self) -> None:
        """Raise ClientClosed if the client was drained or closed."""
        if self.ending.begun:
            raise ClientClosed("the client was drained or closed; make a new one")

    def _on_state(self, change: StateChange) -> None:
        self.states.offer(change.state)

    # -- the steps of its end: see lifecycle/ending.py --

    def time_to_end(self) -> float:
        """Seconds that ending takes at most by default."""
        core = self._core
        if core is None:
            return 0.0
        longest = max(map(_extra_time, core.features(Phase.OWNED)), default=0.0)
        return time_for(longest, core.settings.close_timeout)

    def begin_drain(self, deadline: float) -> None:
        """Begin to close what is held. Never blocks."""
        with self._lock:  # a core that another thread makes just now is drained, too
            core = self._core
        if core is not None:
            core.begin_close(Phase.OWNED, deadline)

    def finish_drain(self, deadline: float) -> None:
        """Wait until nothing is held."""
        core = self._core
        if core is not None:
            core.finish_close(deadline)

    def begin_close(self, deadline: float) -> None:
        """Close the views, and ask for the end of the session. Never blocks."""
        with self._lock:
            self._closed = True
            core, self._core = self._core, None
            self._last_core = core
        if core is not None:
            try:
                core.begin_close(Phase.VIEWS, deadline)
            finally:
                core.session.begin_close()

    def finish_close(self, deadline: float) -> None:
        """Wait for the end of the session and of all threads."""
        core, self._last_core = self._last_core, None
        steps = [] if core is None else [core.finish_close, core.end]
        take_all([*steps, within(self.dispatcher.close)], deadline)

    def forked(self) -> None:
        """In a forked child: nothing of the parent's connection, terms and registrations is ours."""
        core = self._core or self._last_core
        self._core = self._last_core = None
        self._was_forked = True
        if core is not None:
            # Never used again, nor collected: closing its sockets here could disturb the parent's TLS.
            _abandoned.append(core)
        self._making = threading.RLock()
        self._lock = threading.Lock()
        self.ending = self.ending.forked()
        self.dispatcher.forked()
        for survivor in list(self._survivors):
            _guarded(survivor.forked)
        if core is not None:
            core.forked()


_abandoned: list[Core] = []


def _extra_time(feature: Feature) -> float:
    """Return the time that a feature asks for; 0.0 if that is no time, because a client must be closed all the same."""
    try:
        return check_timeout(feature.time_to_close())
    except Exception:
        log.exception("%r does not tell how long its closing takes", feature)
        return 0.0


def _guarded(forked: Callable[[], object]) -> None:
    """Let no error of one object keep the others of a forked child from being told."""
    try:
        forked()
    except Exception:
        log.exception("%r failed in a forked process", forked)
