"""One registration: a wish for an instance to be in ZooKeeper, kept until it is closed.

Threads: any thread calls; the worker of the owned nodes reports back; a thread of its own waits for the port if
`ready="listening"`.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import threading
import time
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from typing import Any, Literal, NamedTuple, Self

from zkdiscovery.codecs import Codec
from zkdiscovery.errors import (
    ClientClosed,
    InvalidInstance,
    NoThreadAvailable,
    OperationTimeout,
    UndecodableNode,
    ZkDiscoveryError,
)
from zkdiscovery.lifecycle import leaving
from zkdiscovery.model import Instance, Override, Status, StatusName
from zkdiscovery.registration.address import LISTEN_PORT, Choice, Given, is_address
from zkdiscovery.registration.machine import default_id, is_of_this_machine, machine
from zkdiscovery.registration.readiness import PROBE_TIMEOUT, accepts, local_addresses, wait_listening
from zkdiscovery.session import WAIT_POLL
from zkdiscovery.threads import Dispatcher, Subscription, start_thread
from zkdiscovery.validation import check_delay, check_timeout, deadline_after
from zkdiscovery.znodes import OnConflict, OwnedNode, OwnedNodes, OwnedState

log = logging.getLogger("zkdiscovery.registration")

Ready = Literal["now", "listening", "manual"]

GOODBYE_TIMEOUT = 5.0  # seconds that leaving waits for ZooKeeper

_MAPPED = (
    "The advertised {} is no address of this machine. If the program listens at another port than the advertised one,"
    f" give listen_port=, or set {LISTEN_PORT}"
)
_CHANGEABLE = frozenset({"ports", "tls_port", "weight", "zone", "version", "tags", "metadata"})


class RegistrationState(StrEnum):
    """Where a registration stands."""

    PENDING = "PENDING"
    """On its way into ZooKeeper, or waiting for a connection."""
    REGISTERED = "REGISTERED"
    """It stands in ZooKeeper."""
    WAITING = "WAITING"
    """Another owner has the id; ours follows when it is gone."""
    CONFLICT = "CONFLICT"
    """Another owner has the id; final until reclaim()."""
    DRAINING = "DRAINING"
    """Saying goodbye."""
    CLOSED = "CLOSED"
    """Taken out, or given up; final."""


_STATES = {
    OwnedState.PENDING: RegistrationState.PENDING,
    OwnedState.HELD: RegistrationState.REGISTERED,
    OwnedState.WAITING: RegistrationState.WAITING,
    OwnedState.CONFLICT: RegistrationState.CONFLICT,
    OwnedState.RELEASED: RegistrationState.CLOSED,
}


class Tools(NamedTuple):
    """What a registration needs of its client."""

    nodes: OwnedNodes
    codec: Codec
    dispatcher: Dispatcher
    closed: Callable[[Registration], None]
    locate: Callable[[Given, int], Choice | None]  # where a port can be reached; None: not known yet (worker)
    move: Callable[[Registration, Instance, bytes], None]  # to where the instance belongs
    held: Callable[[Instance], None]  # for the first time; for default ids (worker)
    late: Callable[[Registration], None]  # was not taken out within its time limit


class Place(NamedTuple):
    """How an instance gets its address and its id.

    Attributes:
        given: what was said about the address.
        default_id: the id was not given.
        known: host and id are final; the port is known.
        port_known: the port is known.
        listen_port: where the program listens, if that was said.
    """

    given: Given
    default_id: bool
    known: bool
    port_known: bool
    listen_port: int | None


class Registration:
    """An instance that stays registered until it is closed; made by `Client.register`. `with` closes it."""

    def __init__(
        self,
        tools: Tools,
        path: str,
        instance: Instance,
        place: Place,
        *,
        ready: Ready,
        drain_delay: float,
        on_conflict: OnConflict,
    ) -> None:
        self._tools = tools
        self._place = place
        self._other: str | None = None  # the IPv6 address to advertise if the program listens on IPv6 alone
        self._held = False  # it was, once
        self._drain_delay = drain_delay
        self._lock = threading.Lock()
        self._wanted = instance
        self._subscriptions: tuple[Subscription[Registration], ...] = ()
        self._leaving = False
        self._stop_listening = threading.Event() if ready == "listening" else None
        self._closed = False
        self._why_closed = "was closed"
        self._node = tools.nodes.prepare(
            path,
            tools.codec.encode(instance),
            on_conflict=on_conflict,
            on_state=self._on_state,
            on_foreign_write=self._on_foreign_write,
            find_place=None if place.known else self._find_place,
            foreign_machine=self._stranger if place.default_id else None,
        )

    # -- reading --

    @property
    def instance(self) -> Instance:
        """The instance as it is wanted to stand in ZooKeeper, an operator's override included.

        If the address has to be found out, it is certain from the first connection on, and so is a default id. Until
        then both are a forecast: the address of the interface of the default route, if ZooKeeper's is not known yet.

        Raises:
            InvalidInstance: registered with port 0, which is not known yet; `update(port=…)` tells it.
        """
        if not self._place.port_known:
            raise InvalidInstance(f"the port of {self._name} is not known yet: tell it by update(port=…)")
        return self._wanted

    @property
    def state(self) -> RegistrationState:
        """Where it stands."""
        if self._closed:
            return RegistrationState.CLOSED
        state = _STATES[self._node.state]
        leaving = self._leaving and state is not RegistrationState.CLOSED
        return RegistrationState.DRAINING if leaving else state

    @property
    def error(self) -> ZkDiscoveryError | None:
        """Why it is not in ZooKeeper as wanted; None if nothing is wrong."""
        return None if self._closed else self._node.error

    def on_change(self, fn: Callable[[Registration], object]) -> Subscription[Registration]:
        """Call `fn(registration)` on the client's dispatcher thread when its state or error changed.

        Raises:
            TypeError: `fn` is no plain callable.
        """
        subscription = self._tools.dispatcher.subscribe(fn, lambda _earlier, later: later)
        with self._lock:
            self._subscriptions = (*(s for s in self._subscriptions if not s.closed), subscription)
        return subscription

    def wait_registered(self, timeout: float | None = 10.0) -> Self:
        """Wait until what was wanted last stands in ZooKeeper.

        Raises:
            RegistrationConflict: another owner has the id.
            OperationTimeout: not within `timeout` seconds; the message says what is known.
            AuthenticationFailed, UnsupportedServer: there will be no connection.
            AccessDenied, QuotaExceeded, …: ZooKeeper refuses it. Trying goes on all the same.
            ClientClosed: closed, before or meanwhile.
        """
        timeout = check_timeout(timeout)
        self._require_open()
        node = self._node
        nodes = self._tools.nodes

        def failure() -> ZkDiscoveryError | None:
            return node.error or nodes.fatal_error

        settled = node.wait(lambda node: self._leaving or node.settled or failure() is not None, timeout)
        self._require_open()
        if (error := failure()) is not None:
            raise copy.copy(error)  # a traceback of its own for each who waits
        if not settled:
            state = self.state
            trouble = nodes.status_message or "ZooKeeper has not answered yet"
            if not self._place.port_known:
                trouble = "its port is not known yet; tell it by update(port=…)"
            why = "another owner has the id" if state is RegistrationState.WAITING else trouble
            raise OperationTimeout(
                f"{self._name} is not registered within {timeout:g} s ({state}): {why}", path=node.path
            )
        return self

    # -- changing --

    def update(self, **fields: Any) -> None:
        """Replace fields: ports, tls_port, weight, zone, version, tags, metadata. Never blocks; see `wait_registered`.

        After registering with port 0, `port` can be told once, and must be.

        Raises:
            InvalidInstance: an unknown field, or a value out of range; nothing is changed then.
            ClientClosed: the registration was closed.
        """
        tells_port = "port" in fields and not self._place.port_known
        if unknown := set(fields) - _CHANGEABLE - ({"port"} if tells_port else set()):
            raise InvalidInstance(
                f"can't update {', '.join(sorted(unknown))}: only {', '.join(sorted(_CHANGEABLE))} can change;"
                " use set_status() for the status, and register anew for another address"
            )
        self._change(lambda own: own.with_(**fields))
        if tells_port:
            self._place = self._place._replace(port_known=True)
            self._node.nudge()

    def set_status(self, status: Status | StatusName) -> None:
        """Set the status. Never blocks; see `wait_registered`. An operator's override stays above it.

        Raises:
            InvalidInstance: no status.
            ClientClosed: the registration was closed.
        """
        self._change(lambda own: own.with_(status=status))

    def reclaim(self) -> None:
        """Take the id from its other owner, after a CONFLICT or instead of WAITING. Never blocks.

        Raises:
            ClientClosed: the registration was closed.
        """
        self._require_open()
        self._node.reclaim()
        self._tell()

    # -- leaving --

    def drain(self, delay: float | None = None, timeout: float | None = GOODBYE_TIMEOUT) -> None:
        """Say goodbye: write DRAINING, wait `delay` seconds so that calls under way can end, then leave.

        Where several threads drain, the first whose delay is over leaves for all.

        Args:
            delay: seconds; None: the `drain_delay` given at registration.
            timeout: seconds that ZooKeeper may take for both writes together. Where it can't be reached, the instance
                vanishes with the session instead.

        Raises:
            InvalidInstance: a delay out of range.
            InvalidSettings: no time limit.
        """
        timeout = check_timeout(timeout)
        delay = self._drain_delay if delay is None else check_delay(delay, "delay")
        end = deadline_after(timeout)
        if self._say_goodbye(delay):
            self._node.wait(lambda node: node.settled, timeout)
            # Nothing but time can tell that callers have heard of it.
            begun = time.monotonic()
            self._wait_left(delay)
            end += time.monotonic() - begun
        self._leave()
        if not self._wait_gone(max(0.0, end - time.monotonic())):
            self._tools.late(self)

    def close(self, timeout: float | None = GOODBYE_TIMEOUT) -> None:
        """`drain()` with the delay given at registration; idempotent."""
        self.drain(timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        with leaving(GOODBYE_TIMEOUT) as limit:
            self.drain(timeout=limit)

    def _say_goodbye(self, delay: float) -> bool:
        """Want DRAINING. True if it is worth waiting for callers to hear of it."""
        if self._closed:
            return False
        node = self._node
        worth_it = delay > 0 and node.state is OwnedState.HELD
        with self._lock:
            if not self._leaving:
                self._leaving = True
                if self._stop_listening is not None:
                    self._stop_listening.set()
                # A goodbye is nobody else's business: no override any more.
                self._wanted = self._wanted.own.with_(status=Status.DRAINING)
            if worth_it:
                node.write(self._tools.codec.encode(self._wanted))
        self._tell()
        return worth_it

    def _leave(self) -> None:
        """Want it gone. A goodbye that was not written goes with the deletion."""
        if not self._closed:
            self._node.release(self._tools.codec.encode(self._wanted))

    def _wait_left(self, delay: float) -> None:
        """Wait, or until another thread has taken it out."""
        if not self._closed:
            self._node.wait(lambda node: self._closed or node.state is OwnedState.RELEASED, delay)

    def _wait_gone(self, timeout: float) -> bool:
        """Wait until it is gone; closed in any case."""
        if self._closed:
            return True
        gone = self._node.wait(lambda node: node.state is OwnedState.RELEASED, timeout)
        self._closed = True
        self._tools.closed(self)
        self._tell()
        return gone

    def __repr__(self) -> str:
        return f"<Registration {self._name} {self.state}>"

    def __reduce__(self) -> str:
        raise TypeError("a registration belongs to its process and can't be pickled; its .instance can")

    # -- the room's own --

    def _begin(self) -> None:
        """Begin what it needs beside its node. Raises NoThreadAvailable."""
        if (stop := self._stop_listening) is not None:
            start_thread(partial(self._wait_listening, stop), f"zkdiscovery-ready-{self._wanted.service}")

    def _abandon(self) -> None:
        """It is wanted no more, because what was to begin with it did not."""
        with self._lock:
            self._leaving = self._closed = True
        if self._stop_listening is not None:
            self._stop_listening.set()
        with contextlib.suppress(NoThreadAvailable):  # then it was not kept
            self._node.release()
        self._tools.closed(self)

    def _find_place(self) -> bool:
        """Find out address and id, and go there (worker). False while they can't be known.

        Raises:
            InvalidInstance: this machine has no such address.
            RegistrationConflict: this client has registered the id already.
        """
        place = self._place
        if not place.port_known:
            return False
        own = self._wanted
        choice = self._tools.locate(place.given, place.listen_port or own.port)
        if choice is None:
            return False
        identity = {"id": default_id(choice.host, own.port)} if place.default_id else {}
        with self._lock:
            wanted = self._wanted.with_(host=choice.host, **identity)
            self._tools.move(self, wanted, self._tools.codec.encode(wanted))
            self._wanted = wanted
            self._place = place._replace(known=True)
            self._other = choice.other
        return True

    def _follow_address(self) -> None:
        """The address was found out, and is no address of this machine any more (worker). The id stays."""
        place, before = self._place, self._wanted.host
        try:
            choice = self._tools.locate(place.given, place.listen_port or self._wanted.port)
            if choice is None:
                return
            self._change(lambda own: own.with_(host=choice.host))
        except ClientClosed:  # closed in the same moment
            return
        except InvalidInstance as error:
            log.warning("%s has left this machine, and %s has no other address: %s", before, self._name, error)
            return
        log.warning("%s has left this machine: %s is at %s now, and keeps its id", before, self._name, choice.host)

    def _wait_listening(self, stop: threading.Event) -> None:
        while not self._node.wait(lambda _: self._place.known or stop.is_set(), WAIT_POLL):
            pass
        own, place, other = self._wanted, self._place, self._other
        port = place.listen_port or own.port
        hosts = local_addresses(own.host, proxied=place.listen_port is not None)
        advice = "" if own.host in hosts or place.listen_port or not is_address(own.host) else _MAPPED
        if other is not None:
            hosts.append(other)
        if not wait_listening(hosts[0], port, stop, others=hosts[1:], advice=advice.format(own.host)):
            return
        if other is None or accepts(own.host, port, PROBE_TIMEOUT) or not accepts(other, port, PROBE_TIMEOUT):
            other = own.host
        else:
            log.info("%s listens on IPv6 alone: advertising %s in place of %s", self._name, other, own.host)

        def ready(own: Instance) -> Instance:
            # A status that was set meanwhile stands.
            return own.with_(host=other, status=Status.UP) if own.status is Status.STARTING else own

        try:
            self._change(ready)
        except ClientClosed:  # closed in the same moment
            return
        log.info("port %d accepts connections: %s is ready", port, self._name)

    def _change(self, change: Callable[[Instance], Instance]) -> None:
        with self._lock:
            self._require_open()
            wanted = _below(self._wanted.override, change(self._wanted.own))
            data = self._tools.codec.encode(wanted)  # may refuse it
            # Under the lock, so that the last change is the last one written; first, for `write` wakes those who wait.
            self._wanted = wanted
            self._node.write(data)

    def _on_foreign_write(self, data: bytes) -> None:
        """Somebody wrote into our node (worker): adopt an operator's override, and write all else as it was."""
        override = self._override_in(data)
        with self._lock:
            if self._leaving:
                return
            known = self._wanted.override
            wanted = _below(override, self._wanted.own)
            self._wanted = wanted
            self._node.write(self._tools.codec.encode(wanted))
        if wanted.override is None:
            if known is not None:
                log.info(
                    "an operator has cleared the override of %s: %s, weight %g again",
                    self._name, wanted.status, wanted.weight,
                )  # fmt: skip
        elif known is None or (known.status, known.weight) != (wanted.override.status, wanted.override.weight):
            log.warning("an operator has set %s to %s", self._name, wanted.override)

    def _override_in(self, data: bytes) -> Override | None:
        """The override in a node that somebody wrote; None if there is none, or no instance at all."""
        try:
            return self._tools.codec.decode(self._wanted.service, self._wanted.id, data).override
        except UndecodableNode:
            return None

    def _on_state(self, node: OwnedNode) -> None:
        if node.state is OwnedState.HELD and self._place.default_id and not self._held:
            self._held = True
            self._tools.held(self._wanted)
        self._tell()

    def _stranger(self, data: bytes) -> str | None:
        """Who holds our default id, if it is another machine (worker)."""
        own = self._wanted
        try:
            found = self._tools.codec.decode(own.service, own.id, data)
        except UndecodableNode:
            return None
        if found.machine is None or is_of_this_machine(found):
            return None
        return (
            f"at {found.netloc} of the machine with the boot id {found.machine}, while this is {own.netloc}"
            f" of the machine {machine()}: two machines have one host name; give one of them another name, or an id"
        )

    def _tell(self) -> None:
        for subscription in self._subscriptions:
            self._tools.dispatcher.offer(subscription, self)

    @property
    def _name(self) -> str:
        return f"{self._wanted.id!r} of {self._wanted.service!r}"

    def _require_open(self) -> None:
        if self._leaving:
            raise ClientClosed(f"the registration of {self._name} {self._why_closed}")

    def _forked(self) -> None:
        """In a forked child: the registration is the parent's, and so are the locks."""
        self._lock = threading.Lock()
        self._leaving = self._closed = True
        self._why_closed = "belongs to the parent process; register anew in this one"


def _below(override: Override | None, own: Instance) -> Instance:
    """The instance in force, where the owner wants `own`."""
    return own if override is None else override.above(own)


def now_to_the_millisecond() -> float:
    """Seconds since the epoch, as precisely as the wire format holds them."""
    return round(time.time(), 3)
