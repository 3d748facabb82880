"""One registration: a wish for an instance to be in ZooKeeper, kept until it is closed.

Threads: any thread calls; the owned node's worker reports back; a thread of its own waits for the port if
    `ready="listening"`.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Literal, NamedTuple, Self

from zkdiscovery.codecs import Codec, Override
from zkdiscovery.errors import ClientClosed, InvalidInstance, OperationTimeout, RegistrationConflict, ZkDiscoveryError
from zkdiscovery.model import Instance, Status
from zkdiscovery.registration.readiness import wait_listening
from zkdiscovery.session import Dispatcher, Subscription
from zkdiscovery.znodes import OwnedNode, OwnedState

log = logging.getLogger("zkdiscovery.registration")

Ready = Literal["now", "listening", "manual"]

_CHANGEABLE = frozenset({"ports", "tls_port", "weight", "zone", "version", "tags", "metadata"})


class RegistrationState(StrEnum):
    """Where a registration stands."""

    PENDING = "PENDING"  # on its way into ZooKeeper, or waiting for a connection
    REGISTERED = "REGISTERED"
    WAITING = "WAITING"  # another owner has the id; ours follows when it is gone
    CONFLICT = "CONFLICT"  # another owner has the id; final until reclaim()
    DRAINING = "DRAINING"  # saying goodbye
    CLOSED = "CLOSED"


_STATES = {
    OwnedState.PENDING: RegistrationState.PENDING,
    OwnedState.HELD: RegistrationState.REGISTERED,
    OwnedState.WAITING: RegistrationState.WAITING,
    OwnedState.CONFLICT: RegistrationState.CONFLICT,
    OwnedState.RELEASED: RegistrationState.CLOSED,
}


class Tools(NamedTuple):
    """What a registration needs of its client."""

    codec: Codec
    dispatcher: Dispatcher
    closed: Callable[[Registration], None]


class Registration:
    """An instance that stays registered until it is closed; made by `Client.register`. `with` closes it."""

    def __init__(self, tools: Tools, instance: Instance, *, ready: Ready, drain_delay: float) -> None:
        self._tools = tools
        self._ready = ready
        self._drain_delay = drain_delay
        self._lock = threading.Lock()
        self._own = instance  # as wanted by this process
        self._override: Override | None = None
        self._node: OwnedNode | None = None
        self._subscriptions: tuple[Subscription[Registration], ...] = ()
        self._leaving = threading.Event()
        self._gone = threading.Event()
        self._closed = False
        self._data = tools.codec.encode(instance)

    # -- reading --

    @property
    def instance(self) -> Instance:
        """The instance as it is wanted to stand in ZooKeeper, an operator's override included."""
        return _effective(self._own, self._override)

    @property
    def state(self) -> RegistrationState:
        """Where it stands."""
        if self._closed or self._node is None:
            return RegistrationState.CLOSED
        if self._leaving.is_set() and self._node.state is not OwnedState.RELEASED:
            return RegistrationState.DRAINING
        return _STATES[self._node.state]

    @property
    def error(self) -> ZkDiscoveryError | None:
        """Why it is not in ZooKeeper as wanted; None if nothing is wrong."""
        return self._node.error if self._node is not None else None

    def on_change(self, fn: Callable[[Registration], object]) -> Subscription[Registration]:
        """Call `fn(registration)` on the client's dispatcher thread when its state or error changed.

        Raises:
            TypeError: `fn` is no plain callable.
        """
        subscription = self._tools.dispatcher.subscribe(fn, lambda _earlier, later: later)
        with self._lock:
            self._subscriptions = (*(s for s in self._subscriptions if not s.closed), subscription)
        return subscription

    def wait_registered(self, timeout: float = 5.0) -> Self:
        """Wait until what was wanted last stands in ZooKeeper.

        Raises:
            RegistrationConflict: another owner has the id.
            OperationTimeout: not within `timeout` seconds; the message says what is known.
            AccessDenied, QuotaExceeded, …: ZooKeeper refuses it. Trying goes on all the same.
            ClientClosed: closed, before or meanwhile.
        """
        node = self._require_node()
        node.wait(
            lambda n: n._settled_locked() or n._error is not None or n._state is OwnedState.RELEASED or not n._wanted,
            timeout,
        )
        if node.error is not None:
            raise node.error
        if self._leaving.is_set() or node.state is OwnedState.RELEASED:
            raise ClientClosed(f"the registration of {self._own.id!r} in {self._own.service!r} was closed")
        if not node.settled:
            state = self.state
            why = "another owner has the id" if state is RegistrationState.WAITING else "is ZooKeeper reachable?"
            raise OperationTimeout(
                f"{self._own.id!r} of {self._own.service!r} is not registered within {timeout:g} s ({state}): {why}",
                path=node.path,
            )
        return self

    # -- changing --

    def update(self, **fields: Any) -> None:
        """Replace fields: ports, tls_port, weight, zone, version, tags, metadata. Never blocks; see `wait_registered`.

        Raises:
            InvalidInstance: an unknown field, or a value out of range; nothing is changed then.
            ClientClosed: the registration was closed.
        """
        if unknown := set(fields) - _CHANGEABLE:
            raise InvalidInstance(
                f"can't update {', '.join(sorted(unknown))}: only {', '.join(sorted(_CHANGEABLE))} can change;"
                " use set_status() for the status, and register anew for another address"
            )
        self._change(lambda own: own.with_(**fields))

    def set_status(self, status: Status) -> None:
        """Set the status. Never blocks; see `wait_registered`. An operator's override stays above it.

        Raises:
            InvalidInstance: no status.
            ClientClosed: the registration was closed.
        """
        self._change(lambda own: own.with_(status=status))

    def reclaim(self) -> None:
        """After a CONFLICT: take the id from its other owner. Never blocks.

        Raises:
            ClientClosed: the registration was closed.
        """
        self._require_node().reclaim()

    # -- leaving --

    def drain(self, delay: float | None = None, timeout: float = 5.0) -> None:
        """Say goodbye: write DRAINING, wait `delay` seconds so that calls under way can end, then leave.

        Args:
            delay: seconds; None: the `drain_delay` given at registration.
            timeout: seconds that ZooKeeper may take for each of the two writes. Where it can't be reached, the instance
                vanishes with the session instead.
        """
        delay = self._drain_delay if delay is None else delay
        if self._farewell(delay):
            node = self._node
            if node is not None:
                node.wait(OwnedNode._settled_locked, timeout)
            # Nothing but time can tell that callers have heard of it.
            self._gone.wait(delay)
        self._leave()
        self._left(timeout)

    def _farewell(self, delay: float) -> bool:
        """Want DRAINING. True if it is worth waiting for callers to hear of it."""
        with self._lock:
            node = self._node
            if node is None or self._leaving.is_set():
                return False
            self._leaving.set()
            self._own, self._override = self._own.with_(status=Status.DRAINING), None
            self._data = self._tools.codec.encode(self._own, self._data)
            told = delay > 0 and node.state is OwnedState.HELD
            if told:
                node.write(self._data)
        self._tell()
        return told

    def _leave(self) -> None:
        """Want it gone. A goodbye not yet written goes with the deletion."""
        if self._node is not None:
            self._node.release(self._data)

    def _left(self, timeout: float) -> None:
        """Wait until it is gone."""
        node = self._node
        if node is None or self._closed:
            return
        if not node.wait(lambda n: n._state is OwnedState.RELEASED, timeout):
            log.warning(
                "%s was not taken out of ZooKeeper within %.1f s; it vanishes with the session", node.path, timeout
            )
        self._closed = True
        self._gone.set()
        self._tools.closed(self)
        self._tell()

    def close(self, timeout: float = 5.0) -> None:
        """`drain()` with the delay given at registration; idempotent."""
        self.drain(timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Registration {self._own.service!r} {self._own.id!r} {self.state}>"

    def __reduce__(self) -> str:
        raise TypeError("a registration belongs to its process and can't be pickled; its .instance can")

    # -- the room's own --

    def _begin(self, node: OwnedNode) -> None:
        """The node is wanted from now on."""
        self._node = node
        if self._ready == "listening":
            threading.Thread(
                target=self._wait_listening, name=f"zkdiscovery-ready-{self._own.service}", daemon=True
            ).start()

    def _wait_listening(self) -> None:
        own = self._own
        if wait_listening(own.host, own.port, self._leaving):
            try:
                self.set_status(Status.UP)
            except ClientClosed:  # closed in the same moment
                return
            log.info("%s:%d accepts connections: %r of %r is UP", own.host, own.port, own.id, own.service)

    def _change(self, change: Callable[[Instance], Instance]) -> None:
        node = self._require_node()
        with self._lock:
            if self._leaving.is_set():
                raise ClientClosed(f"the registration of {self._own.id!r} in {self._own.service!r} was closed")
            own = change(self._own)
            self._data = self._tools.codec.encode(
                _effective(own, self._override), self._data, _rebased(self._override, own)
            )
            self._own = own
            # Under the lock, so that the last change is the last one written.
            node.write(self._data)

    def _on_foreign_write(self, data: bytes) -> None:
        """Somebody wrote into our node (worker): adopt an operator's override, and keep everything else as it was."""
        override = self._tools.codec.read_override(data)
        with self._lock:
            if self._leaving.is_set() or self._node is None:
                return
            if override != self._override:
                log.info(
                    "override of %r of %r by an operator: %s", self._own.id, self._own.service, override or "cleared"
                )
            self._override = override
            self._data = self._tools.codec.encode(
                _effective(self._own, override), self._data, _rebased(override, self._own)
            )
            self._node.write(self._data)

    def _on_state(self, node: OwnedNode) -> None:
        if isinstance(node.error, RegistrationConflict):
            log.error("%r of %r: %s", self._own.id, self._own.service, node.error)
        self._tell()

    def _tell(self) -> None:
        for subscription in self._subscriptions:
            self._tools.dispatcher.offer(subscription, self)

    def _require_node(self) -> OwnedNode:
        if self._node is None or self._closed:
            raise ClientClosed(f"the registration of {self._own.id!r} in {self._own.service!r} was closed")
        return self._node

    def _forked(self) -> None:
        """In a forked child: the registration is the parent's."""
        self._lock = threading.Lock()
        self._leaving = threading.Event()
        self._leaving.set()
        self._gone = threading.Event()
        self._gone.set()
        self._closed = True
        self._node = None


def _effective(own: Instance, override: Override | None) -> Instance:
    """What stands in ZooKeeper: the operator's word above the owner's, but for a goodbye."""
    return own if override is None or own.status is Status.DRAINING else override.above(own)


def _rebased(override: Override | None, own: Instance) -> Override | None:
    """The override, remembering what the owner wants now."""
    if override is None:
        return None
    return dataclasses.replace(override, base_status=own.status, base_weight=own.weight)


def now_to_the_millisecond() -> float:
    """Seconds since the epoch, as precisely as the wire format holds them."""
    return round(time.time(), 3)
