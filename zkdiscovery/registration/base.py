"""The part of a registration that the sync and the async one share: state, changes, and the steps of waiting."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Self

from zkdiscovery.core import Core
from zkdiscovery.errors import InvalidInstance, OperationTimeout, ZkDiscoveryError
from zkdiscovery.model import Instance, Status, StatusName, check_status
from zkdiscovery.registration.health import CheckReport
from zkdiscovery.registration.options import CHANGEABLE
from zkdiscovery.registration.owned_instance import OwnedInstance
from zkdiscovery.threads import Steps, Subscribers, Until, latest
from zkdiscovery.validation import check_delay, check_timeout, deadline_after
from zkdiscovery.znodes import OwnedState

CLOSE_TIMEOUT = 5.0  # seconds that leaving waits for ZooKeeper


class RegistrationState(StrEnum):
    """The state of a registration."""

    PENDING = "PENDING"
    """On its way into ZooKeeper, or waiting for a connection."""
    REGISTERED = "REGISTERED"
    """In ZooKeeper, as wanted; a shared one: by one of its processes."""
    WAITING = "WAITING"
    """Another owner has the id; ours follows when it is gone."""
    CONFLICT = "CONFLICT"
    """Another owner has the id; final until reclaim()."""
    DEREGISTERED = "DEREGISTERED"
    """Taken out, because its checks have failed for `deregister_after` seconds; it comes back when they pass."""
    DRAINING = "DRAINING"
    """Being deregistered: callers hear of it, and calls under way end."""
    CLOSED = "CLOSED"
    """Taken out, or given up; final."""


_STATES = {
    OwnedState.PENDING: RegistrationState.PENDING,
    OwnedState.HELD: RegistrationState.REGISTERED,
    OwnedState.STANDBY: RegistrationState.REGISTERED,
    OwnedState.WAITING: RegistrationState.WAITING,
    OwnedState.CONFLICT: RegistrationState.CONFLICT,
    OwnedState.RELEASED: RegistrationState.CLOSED,
}


class BaseRegistration:
    """An instance that stays registered until it is closed."""

    def __init__(self, core: Core, owned: OwnedInstance, note_late: Callable[[OwnedInstance], None]) -> None:
        self._core = core
        self._owned = owned
        self._note_late = note_late
        self._subscribers: Subscribers[Any] = Subscribers(core.dispatcher, latest)
        owned.on_news = self._on_news

    # -- reading --

    @property
    def instance(self) -> Instance:
        """The instance as it is wanted to stand in ZooKeeper, an operator's override included.

        If the address has to be found out, it is certain from the first connection on, and so is a default id. Until
        then both are a forecast: the address of the interface of the default route, if ZooKeeper's is not known yet.

        Raises:
            InvalidInstance: registered with port 0, which is not known yet; `update(port=…)` tells it.
        """
        if not self._owned.place.port_known:
            raise InvalidInstance(f"the port of {self._owned.name} is not known yet: tell it by update(port=…)")
        return self._owned.wanted

    @property
    def state(self) -> RegistrationState:
        """The stage that it has reached."""
        if self._owned.closed:
            return RegistrationState.CLOSED
        if self._owned.deregistered and not self._owned.leaving:
            return RegistrationState.DEREGISTERED
        state = _STATES[self._owned.node.state]
        leaving = self._owned.leaving and state is not RegistrationState.CLOSED
        return RegistrationState.DRAINING if leaving else state

    @property
    def error(self) -> ZkDiscoveryError | None:
        """The error that keeps it from being in ZooKeeper as wanted; None if nothing is wrong."""
        return None if self._owned.closed else self._owned.node.error

    @property
    def why(self) -> str:
        """The reason why it is not registered, or not ready, in words; "" if there is none, and once it leaves."""
        state = self.state
        if state in {RegistrationState.DRAINING, RegistrationState.CLOSED}:
            return ""
        if (error := self.error) is not None:
            return str(error)
        return self._owned.health.why if state is RegistrationState.REGISTERED else self._absence(state)

    @property
    def health(self) -> tuple[CheckReport, ...]:
        """The checks given at the registration, in order, as they are now."""
        return self._owned.health.reports

    def _absence(self, state: RegistrationState) -> str:
        """Return why it is not in ZooKeeper, if ZooKeeper has not refused it."""
        if state is RegistrationState.WAITING:
            return "another owner has the id"
        if state is RegistrationState.DEREGISTERED:
            return f"its checks have failed for long: {self._owned.health.why}"
        if not self._owned.place.port_known:
            return "its port is not known yet; tell it by update(port=…)"
        return self._core.session.status_message or "ZooKeeper has not answered yet"

    # -- changing --

    def update(self, **fields: Any) -> None:
        """Replace fields: ports, tls_port, weight, zone, version, tags, metadata. Never blocks; see `wait_registered`.

        After registering with port 0, `port` can be told once, and must be.

        Raises:
            InvalidInstance: an unknown field, or a value out of range; nothing is changed then.
            ClientClosed: the registration was closed.
        """
        tells_port = "port" in fields and not self._owned.place.port_known
        if unknown := set(fields) - CHANGEABLE - ({"port"} if tells_port else set()):
            raise InvalidInstance(
                f"can't update {', '.join(sorted(unknown))}: only {', '.join(sorted(CHANGEABLE))} can change;"
                " use set_status() for the status, and register anew for another address"
            )
        self._owned.change(lambda own: own.with_(**fields))
        if tells_port:
            self._owned.tell_port()

    def set_status(self, status: Status | StatusName) -> None:
        """Set the status. Never blocks; see `wait_registered`. An operator's override stays above it.

        Health checks decide between STARTING, UP and DOWN while the status that was set last is UP, or none was set.
        Any other status stands, whatever they say, until UP is set.

        Raises:
            InvalidInstance: no status.
            ClientClosed: the registration was closed.
        """
        self._owned.set_status(check_status(status))

    def beat(self) -> None:
        """Tell the `TtlCheck` of this registration that the program lives. Never blocks.

        Raises:
            InvalidInstance: it has no such check.
            ClientClosed: the registration was closed.
        """
        self._owned.require_open()
        self._owned.health.beat()

    def reclaim(self) -> None:
        """Take the id from its other owner, after a CONFLICT or instead of WAITING. Never blocks.

        Raises:
            ClientClosed: the registration was closed.
        """
        self._owned.require_open()
        self._owned.node.reclaim()
        self._on_news()

    # -- the steps of waiting --

    def _registering(self, timeout: float | None) -> Steps[Self]:
        timeout = check_timeout(timeout)
        owned, node, session = self._owned, self._owned.node, self._core.session
        owned.require_open()

        def failure() -> ZkDiscoveryError | None:
            return node.error or session.fatal_error

        settled = yield Until(
            lambda: owned.leaving or (node.settled and not owned.deregistered) or failure() is not None,
            deadline_after(timeout),
            node.changed,
            session.changed,
        )
        owned.require_open()
        if (error := failure()) is not None:
            raise copy.copy(error)  # a traceback of its own for each who waits
        if not settled:
            state = self.state
            why = self._absence(state)
            raise OperationTimeout(
                f"{owned.name} is not registered within {timeout:g} s ({state}): {why}", path=node.path
            )
        return self

    def _draining(self, delay: float | None, timeout: float | None) -> Steps[None]:
        timeout = check_timeout(timeout)
        owned = self._owned
        delay = owned.drain_delay if delay is None else check_delay(delay, "delay")
        end = deadline_after(timeout)
        try:
            if owned.begin_drain(delay):
                yield Until(lambda: owned.node.settled, end, owned.node.changed, self._core.session.changed)
                # No answer shows that consumers have seen DRAINING, so wait.
                begun = time.monotonic()
                yield from owned.delayed(delay)
                end += time.monotonic() - begun
        except BaseException:  # nobody waits any more
            owned.leave()
            owned.finish()
            raise
        owned.leave()
        if not (yield from owned.going(max(0.0, end - time.monotonic()))):
            self._note_late(owned)

    def _on_news(self) -> None:
        self._subscribers.offer(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._owned.name} {self.state}>"

    def __reduce__(self) -> str:
        raise TypeError("a registration belongs to its process and can't be pickled; its .instance can")
