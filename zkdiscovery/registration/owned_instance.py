"""An instance that is kept in ZooKeeper as its owner wants it, until it leaves.

Threads: any thread changes it; the worker of owned nodes reports what stands in ZooKeeper and finds out the address;
the threads of `core.checks` look at its port if `ready="listening"`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import NamedTuple, Protocol

from zkdiscovery.core import Core
from zkdiscovery.errors import ClientClosed, InvalidInstance, NoThreadAvailable, UndecodableNode
from zkdiscovery.model import Instance, Override, Status
from zkdiscovery.registration.address import Choice, Given
from zkdiscovery.registration.instance_port import InstancePort
from zkdiscovery.registration.machine import default_id, is_of_this_machine, machine
from zkdiscovery.registration.options import Ready
from zkdiscovery.registration.sharing import Sharing
from zkdiscovery.threads import Steps, Until
from zkdiscovery.validation import deadline_after
from zkdiscovery.znodes import OnConflict, OwnedNode, OwnedState

log = logging.getLogger("zkdiscovery.registration")


class Place(NamedTuple):
    """The part of the address and the id of an instance that is known.

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


class Owner(Protocol):
    """The registrar, as an owned instance uses it."""

    def locate(self, given: Given, port: int) -> Choice | None:
        """Return where a port can be reached; None: not known yet (worker)."""

    def move(self, owned: OwnedInstance, instance: Instance, data: bytes) -> None:
        """Give an instance the path of its id (worker)."""

    def note_held(self, owned: OwnedInstance) -> None:
        """Log that it stands in ZooKeeper for the first time, and see to what was there before (worker)."""

    def forget(self, owned: OwnedInstance) -> None:
        """Let others have its path."""

    def note_silent(self, owned: OwnedInstance, where: str) -> None:
        """Log that nothing has listened at its port for long (checks)."""


class OwnedInstance:
    """One instance and the node that holds it.

    Attributes:
        place: how it gets its address and its id.
        drain_delay: seconds between DRAINING and the deletion.
        wanted: the instance as it is to stand in ZooKeeper, with an operator's override.
        leaving: nothing changes any more.
        closed: it is out of ZooKeeper, or given up.
        shared: other processes may share its registration.
        why_closed: what a user who changes it then is told.
        node: its node.
        on_news: called when its state or error may have changed, on any thread; must not block.
    """

    def __init__(
        self,
        core: Core,
        owner: Owner,
        path: str,
        instance: Instance,
        place: Place,
        *,
        ready: Ready,
        drain_delay: float,
        on_conflict: OnConflict,
    ) -> None:
        self._core = core
        self._owner = owner
        self._codec = core.codec
        self._lock = threading.Lock()
        self._was_held = False
        self._port: InstancePort | None = None  # that its readiness waits for
        if ready == "listening":
            silent = partial(owner.note_silent, self)
            self._port = InstancePort(core.checks, lambda: self.wanted, self._on_listening, silent)
        self.place = place
        self.drain_delay = drain_delay
        self.wanted = instance
        self.leaving = False
        self.closed = False
        self.why_closed = "was closed"
        self.on_news: Callable[[], None] = _ignore
        self.shared = on_conflict == "share"
        prepare = partial(core.feature(Sharing).prepare, self) if self.shared else core.nodes.prepare
        self.node: OwnedNode = prepare(
            path,
            self._codec.encode(instance),
            on_conflict=on_conflict,
            on_state=self._on_state,
            on_foreign_write=self._on_foreign_write,
            find_place=None if place.known else self._find_place,
            foreign_machine=self._foreign_machine if place.default_id else None,
        )

    @property
    def name(self) -> str:
        """Its name in messages."""
        return f"{self.wanted.id!r} of {self.wanted.service!r}"

    # -- its life --

    def begin(self) -> None:
        """Start to watch its port, if it has to.

        Raises:
            NoThreadAvailable: the system has no thread to give.
        """
        if self._port is not None and not self.leaving:
            self._core.checks.start()
            if self.place.known:
                self._port.watch(self.place.listen_port, None)

    def abandon(self) -> None:
        """Release it, because its batch could not be registered."""
        with self._lock:
            self.leaving = self.closed = True
        self._close_port()
        with suppress(NoThreadAvailable):  # then the node was not wanted yet
            self.node.release()
        self._owner.forget(self)

    def change(self, change: Callable[[Instance], Instance]) -> None:
        """Change what its owner wants; an operator's override stays above it. Never blocks.

        Raises:
            InvalidInstance: it can't be stored; nothing is changed then.
            ClientClosed: it leaves, or has left.
        """
        with self._lock:
            self.require_open()
            wanted = _with_override(self.wanted.override, change(self.wanted.own))
            data = self._codec.encode(wanted)  # may refuse it
            # Under the lock, so that the last change is the last one written; first, because `write` wakes others.
            self.wanted = wanted
            self.node.write(data)

    def tell_port(self) -> None:
        """Note that the port is known, and register. Never blocks."""
        self.place = self.place._replace(port_known=True)
        self.node.nudge()

    def require_open(self) -> None:
        """Raise ClientClosed if it leaves, or has left."""
        if self.leaving:
            raise ClientClosed(f"the registration of {self.name} {self.why_closed}")

    def begin_drain(self, delay: float) -> bool:
        """Request DRAINING. Return True if consumers can see it before the delay is over. Never blocks."""
        if self.closed:
            return False
        worth_it = delay > 0 and self.node.stands
        with self._lock:
            if not self.leaving:
                self.leaving = True
                self._close_port()
                # An operator's override ends here.
                self.wanted = self.wanted.own.with_(status=Status.DRAINING)
            data = self._final_data() if worth_it else None
            if data is not None:
                self.node.begin_release(data)
        self.node.wake()
        self.on_news()
        return data is not None

    def leave(self) -> None:
        """Request the deletion. DRAINING is written in the same transaction if it was not written before."""
        if not self.closed:
            self.node.release(self._final_data())

    def _final_data(self) -> bytes | None:
        """The node's data with DRAINING; None if it can't be stored, because the deletion must not fail for that."""
        try:
            return self._codec.encode(self.wanted)
        except InvalidInstance as error:
            log.debug("%s is deleted without being DRAINING first: %s", self.name, error)
            return None

    def delayed(self, delay: float) -> Steps[None]:
        """Wait `delay` seconds, or until another thread has taken it out."""
        yield Until(self._is_out, deadline_after(delay), self.node.changed)

    def going(self, timeout: float) -> Steps[bool]:
        """Wait until it is gone, at most `timeout` seconds; it is closed in any case. True if it is gone."""
        if self.closed:
            return True
        try:
            return (yield Until(self._is_out, deadline_after(timeout), self.node.changed))
        finally:
            self.finish()

    def finish(self) -> None:
        """Let others have its path, whether or not it is gone. Never blocks."""
        self.closed = True
        self._owner.forget(self)
        self.node.wake()
        self.on_news()

    def _is_out(self) -> bool:
        return self.closed or self.node.state is OwnedState.RELEASED

    def forked(self) -> None:
        """In a forked child: it is the parent's, and so are the locks."""
        self._lock = threading.Lock()
        self.leaving = self.closed = True
        self.why_closed = "belongs to the parent process; register anew in this one"

    # -- the worker of owned nodes --

    def _find_place(self) -> bool:
        """Find out address and id, and move there. False while they can't be known.

        Raises:
            InvalidInstance: this machine has no such address.
            RegistrationConflict: this client has registered the id already.
        """
        place, own = self.place, self.wanted
        if not place.port_known:
            return False
        choice = self._owner.locate(place.given, place.listen_port or own.port)
        if choice is None:
            return False
        identity = {"id": default_id(choice.host, own.port)} if place.default_id else {}
        with self._lock:
            wanted = self.wanted.with_(host=choice.host, **identity)
            self._owner.move(self, wanted, self._codec.encode(wanted))
            self.wanted = wanted
            self.place = place._replace(known=True)
            if self._port is not None and not self.leaving:
                self._port.watch(place.listen_port, choice.other)
        return True

    def follow_address(self) -> None:
        """Find another address, because the present one has left this machine. The id stays."""
        place, before = self.place, self.wanted.host
        try:
            choice = self._owner.locate(place.given, place.listen_port or self.wanted.port)
            if choice is None:
                return
            self.change(lambda own: own.with_(host=choice.host))
        except ClientClosed:  # closed in the same moment
            return
        except InvalidInstance as error:
            log.warning("%s has left this machine, and %s has no other address: %s", before, self.name, error)
            return
        log.warning("%s has left this machine: %s is at %s now, and keeps its id", before, self.name, choice.host)

    def _on_state(self, node: OwnedNode) -> None:
        if node.state is OwnedState.HELD and not self._was_held:
            self._was_held = True
            self._owner.note_held(self)
        self.on_news()

    def _on_foreign_write(self, data: bytes) -> None:
        """Adopt an operator's override from what somebody wrote into our node; all else is written as it was."""
        override = self._override_in(data)
        with self._lock:
            if self.leaving:
                return
            known = self.wanted.override
            wanted = _with_override(override, self.wanted.own)
            data = self._codec.encode(wanted)  # may refuse it
            self.wanted = wanted
            self.node.write(data)
        if wanted.override is None:
            if known is not None:
                log.info(
                    "an operator has cleared the override of %s: %s, weight %g again",
                    self.name, wanted.status, wanted.weight,
                )  # fmt: skip
        elif known is None or (known.status, known.weight) != (wanted.override.status, wanted.override.weight):
            log.warning("an operator has set %s to %s", self.name, wanted.override)

    @property
    def sharer(self) -> tuple[str, bool]:
        """The address that it advertises, and whether its process serves."""
        own = self.wanted
        return own.netloc, own.status is not Status.STARTING

    def adopt(self, data: bytes) -> None:
        """Take over from the process that holds a shared instance what does not belong to that process (worker)."""
        try:
            found = self._codec.decode(self.wanted.service, self.wanted.id, data)
        except UndecodableNode:
            return
        with self._lock:
            before = self.wanted
            wanted = _with_override(found.override, before.own.with_(registered_at=found.registered_at))
            if self.leaving or wanted == before:
                return
            try:
                data = self._codec.encode(wanted)
            except InvalidInstance as error:  # one too many for what we add ourselves
                log.debug("%s does not take over an override: %s", self.name, error)
                return
            self.wanted = wanted
            self.node.write(data)

    def _override_in(self, data: bytes) -> Override | None:
        try:
            return self._codec.decode(self.wanted.service, self.wanted.id, data).override
        except UndecodableNode:
            return None

    def _foreign_machine(self, data: bytes) -> str | None:
        """Return who holds our default id, if that is another machine."""
        own = self.wanted
        try:
            found = self._codec.decode(own.service, own.id, data)
        except UndecodableNode:
            return None
        if found.machine is None or is_of_this_machine(found):
            return None
        return (
            f"at {found.netloc} of the machine with the boot id {found.machine}, while this is {own.netloc}"
            f" of the machine {machine()}: two machines have one host name; give one of them another name, or an id"
        )

    # -- its port (threads of the checks) --

    @property
    def silence(self) -> str:
        """That nothing listens yet, in words, if it is not ready for that; "" otherwise."""
        return self._port.silence if self._port and self.wanted.own.status is Status.STARTING else ""

    def _close_port(self) -> None:
        if self._port is not None:
            self._port.close()

    def _on_listening(self, host: str, port: int) -> None:
        before = self.wanted.host
        if host != before:
            log.info("%s listens on IPv6 alone: advertising %s in place of %s", self.name, host, before)

        def ready(own: Instance) -> Instance:
            # A status that was set meanwhile stands.
            return own.with_(host=host, status=Status.UP) if own.status is Status.STARTING else own

        try:
            self.change(ready)
        except ClientClosed:  # closed in the same moment
            return
        log.info("port %d accepts connections: %s is ready", port, self.name)


def _with_override(override: Override | None, own: Instance) -> Instance:
    """The instance in force, where the owner wants `own`."""
    return own if override is None else override.above(own)


def _ignore() -> None:
    """Ignore the change."""
