"""An instance that is kept in ZooKeeper as its owner wants it, until it leaves.

Threads: any thread changes it; the worker of owned nodes reports what stands in ZooKeeper and finds out the address;
the threads of its health tell its status.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

from zkdiscovery.core import Core
from zkdiscovery.errors import ClientClosed, InvalidInstance, NoThreadAvailable, UndecodableNode
from zkdiscovery.model import Instance, Override, Status
from zkdiscovery.registration.address import Choice, Given
from zkdiscovery.registration.checks import Check
from zkdiscovery.registration.instance_health import InstanceHealth
from zkdiscovery.registration.machine import default_id, other_machine
from zkdiscovery.registration.options import Ready
from zkdiscovery.registration.place import Place
from zkdiscovery.registration.sharing import Sharing
from zkdiscovery.threads import Steps, Until
from zkdiscovery.validation import deadline_after
from zkdiscovery.znodes import OnConflict, OwnedNode, OwnedState

log = logging.getLogger("zkdiscovery.registration")


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

    def note_down(self, owned: OwnedInstance, why: str) -> None:
        """Log that its checks have found it DOWN (checks)."""

    def note_trouble(self, owned: OwnedInstance, check: str, why: str) -> None:
        """Log that a check can't run (checks)."""


class OwnedInstance:
    """One instance and the node that holds it.

    Attributes:
        place: how it gets its address and its id.
        drain_delay: seconds between DRAINING and the deletion.
        wanted: the instance as it is to stand in ZooKeeper, with an operator's override.
        leaving: nothing changes any more.
        closed: it is out of ZooKeeper, or given up.
        shared: other processes may share its registration.
        health: its port, its checks and its status.
        deregistered: it is out of ZooKeeper until its checks pass.
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
        checks: Sequence[Check] = (),
        deregister_after: float | None = None,
    ) -> None:
        self._core = core
        self._owner = owner
        self._codec = core.codec
        self._lock = threading.Lock()
        self._was_held = False
        self.place = place
        self.drain_delay = drain_delay
        self.wanted = instance
        self.health = InstanceHealth(core, self, ready, checks, deregister_after)
        self.deregistered = False
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
        """Start to look after its health.

        Raises:
            NoThreadAvailable: the system has no thread to give.
        """
        if not self.leaving:
            self.health.start()
            if self.place.known:
                self.health.begin(self.place.listen_port, None)

    def abandon(self) -> None:
        """Release it, because its batch could not be registered."""
        with self._lock:
            self.leaving = self.closed = True
        self.health.close()
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
                self.health.close()
                # An operator's override ends here.
                self.wanted = self.wanted.own.with_(status=Status.DRAINING)
            data = self._encoded(self.wanted) if worth_it else None
            if data is not None:
                self.node.begin_release(data)
        self.node.wake()
        self.on_news()
        return data is not None

    def leave(self) -> None:
        """Request the deletion. DRAINING is written in the same transaction if it was not written before."""
        if not self.closed:
            self.node.release(self._encoded(self.wanted))

    def _encoded(self, instance: Instance) -> bytes | None:
        """Its last data; None if they can't be stored, because the deletion must not fail for that."""
        try:
            return self._codec.encode(instance)
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
        self.health.forked()
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
        if not self.leaving:
            self.health.begin(place.listen_port, choice.other)
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
            return other_machine(self._codec.decode(own.service, own.id, data), own)
        except UndecodableNode:
            return None

    # -- its health (threads of the checks) --

    def set_status(self, status: Status) -> None:
        """Take over the status that a user has set, as far as its health agrees. Never blocks.

        Raises:
            ClientClosed: it leaves, or has left.
        """
        with self._lock:
            self.require_open()
            self.health.tell(status)
        self.take_status()

    def take_status(self, host: str | None = None) -> bool:
        address = {} if host is None else {"host": host}
        try:
            # The status is read with the lock of `change` held, so the last one that is written is the last one.
            self.change(lambda own: own.with_(status=self.health.status, **address))
        except ClientClosed:  # closed in the same moment
            return False
        with self._lock:
            back = self.deregistered and self.wanted.own.status is not Status.DOWN
            if back:
                self.deregistered = False
        if back:
            self._core.nodes.later(self._come_back, 0.0)
        self.on_news()
        return True

    def deregister_for_now(self) -> bool:
        with self._lock:
            wanted = self.wanted
            if self.leaving or self.deregistered or wanted.own.status is not Status.DOWN:
                return True
            if wanted.override is not None and wanted.override.status is not None:
                return False
            self.deregistered = True
            self.node.release(self._encoded(wanted.with_(status=Status.DRAINING)))
        log.warning("deregistered %s, because it has been DOWN for long; it comes back when its checks pass", self.name)
        self.on_news()
        return True

    def _come_back(self) -> None:
        """Register again (worker)."""
        with self._lock:
            if self.leaving or self.deregistered:
                return
            self._core.nodes.want_again(self.node, self._codec.encode(self.wanted))
        log.info("registering %s again", self.name)

    def note_silent(self, where: str) -> None:
        self._owner.note_silent(self, where)

    def note_down(self, why: str) -> None:
        self._owner.note_down(self, why)

    def note_trouble(self, check: str, why: str) -> None:
        self._owner.note_trouble(self, check, why)


def _with_override(override: Override | None, own: Instance) -> Instance:
    """The instance in force, where the owner wants `own`."""
    return own if override is None else override.above(own)


def _ignore() -> None:
    """Ignore the change."""
