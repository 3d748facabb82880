"""All registrations of one client."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Iterable
from typing import Any, NamedTuple, Self, TypeVar, get_args

from zkdiscovery.core import Core, Feature, Phase
from zkdiscovery.errors import InvalidInstance, RegistrationConflict
from zkdiscovery.lifecycle import delays_until
from zkdiscovery.model import Instance, Status
from zkdiscovery.registration.address import LISTEN_PORT, Choice, Given, given_host, given_listen_port, settled
from zkdiscovery.registration.base import BaseRegistration
from zkdiscovery.registration.container import runtime
from zkdiscovery.registration.leftovers import Leftovers
from zkdiscovery.registration.locator import Locator
from zkdiscovery.registration.machine import default_id, machine
from zkdiscovery.registration.options import FIELDS, Options, Ready, check_checks, check_deregister_after
from zkdiscovery.registration.owned_instance import OwnedInstance
from zkdiscovery.registration.place import Place
from zkdiscovery.registration.readiness import SILENT
from zkdiscovery.registration.sharing import Sharing
from zkdiscovery.session import Digest, State, StateChange, some_of
from zkdiscovery.threads import run_steps
from zkdiscovery.validation import check_choice, check_delay
from zkdiscovery.znodes import OnConflict

R = TypeVar("R", bound=BaseRegistration)

log = logging.getLogger("zkdiscovery.registration")

ASK_AGAIN = 0.1  # seconds between two looks at what is not known yet of ZooKeeper's addresses
TOGETHER = 1.0  # seconds within which those that are not taken out in time are logged in one line
NOTICEABLE = 0.1  # seconds by which a drain delay is cut

_UNREACHED = (
    "not ready, so nobody calls it. Start the server there, or register the port that it opens"
    f" (listen_port= or {LISTEN_PORT}, if callers use another one)"
)


class _Told(NamedTuple):
    """Messages that are logged together within a second."""

    registered: Digest
    silent: Digest
    down: Digest
    trouble: Digest

    @classmethod
    def make(cls) -> Self:
        return cls(
            Digest(log, logging.INFO, "registered %s, first as %s"),
            Digest(log, logging.WARNING, f"nothing has listened for {SILENT:g} s at %s: %s"),
            Digest(log, logging.WARNING, "%s: DOWN, because %s"),
            Digest(log, logging.WARNING, "can't check %s, which says nothing about the service: %s"),
        )


class Registrar(Feature):
    """Makes and ends the registrations of one client."""

    phase = Phase.OWNED

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        self._worker = core.worker
        self._locator = Locator(core.session)
        self._leftovers = Leftovers(core)
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._open: dict[str, OwnedInstance] = {}  # by path
        self._leaving: list[OwnedInstance] = []  # from `begin_close` on
        self._late: list[OwnedInstance] = []  # not taken out in time, and not logged yet
        self._told = _Told.make()
        core.session.listen(self._on_state)

    def register(self, entries: Iterable[Options], kind: type[R]) -> list[R]:
        """Register all or, whatever fails, none. Never waits for ZooKeeper.

        Args:
            entries: what to register.
            kind: the class of the registrations.
        """
        made = [self._make(entry) for entry in entries]
        registrations = [kind(self.core, owned, self._note_late) for owned in made]
        with self._lock:
            self.require_open()
            table = dict(self._open)
            for owned in made:
                path = owned.node.path
                if table.setdefault(path, owned) is not owned:
                    raise _taken(path)
            self._open = table
        try:
            for owned in made:
                owned.begin()
            if any(owned.shared for owned in made):
                self.core.feature(Sharing).keep([owned.node for owned in made if owned.shared])
            self.core.nodes.keep([owned.node for owned in made if not owned.shared])
        except BaseException:  # all or none
            for owned in made:
                owned.abandon()
            raise
        return registrations

    def _make(self, entry: Options) -> OwnedInstance:
        if unknown := entry.keys() - FIELDS:
            raise InvalidInstance(f"unknown fields: {', '.join(sorted(unknown))}; there are {', '.join(FIELDS)}")
        fields: dict[str, Any] = {name: value for name, value in entry.items() if value is not None}
        if missing := {"service", "port"} - set(fields):
            raise InvalidInstance(f"{' and '.join(sorted(missing))} must be given")
        ready = check_choice(fields.pop("ready", "now"), "ready", get_args(Ready))
        on_conflict = check_choice(fields.pop("on_conflict", "replace"), "on_conflict", get_args(OnConflict))
        drain_delay = check_delay(fields.pop("drain_delay", 0.0), "drain_delay")
        checks = check_checks(fields.pop("checks", ()))
        deregister_after = check_deregister_after(fields.pop("deregister_after", None), checks, on_conflict)
        servers = self.core.session.known_addresses()
        given = given_host(fields.pop("host", None))
        listen_port = given_listen_port(fields.pop("listen_port", None))
        host = settled(given, servers)
        port = fields.pop("port")
        port_known = isinstance(port, bool) or port != 0
        default = "id" not in fields
        if host is None:
            host, known = self._locator.forecast(given, servers), False
        else:
            known = port_known
        if default:
            fields |= {"id": default_id(host, port), "machine": machine()}
        instance = Instance(
            **{"zone": self.core.settings.zone, "runtime": runtime()} | fields,
            host=host,
            port=port if port_known else 1,
            status=Status.UP if ready == "now" and not checks else Status.STARTING,
            registered_at=now_to_the_millisecond(),
        )
        path = self.core.paths.instance(instance.service, instance.id)
        if not port_known and default:
            path += f"/{next(self._numbers)}"  # each will have a port of its own
        return OwnedInstance(
            self.core,
            self,
            path,
            instance,
            Place(given, default, known, port_known, listen_port),
            ready=ready,
            drain_delay=drain_delay,
            on_conflict=on_conflict,
            checks=checks,
            deregister_after=deregister_after,
        )

    # -- what an owned instance asks for --

    def locate(self, given: Given, port: int) -> Choice | None:
        """Return where a port can be reached; None: not known yet (worker)."""
        choice = self._locator.locate(given, port)
        if choice is None:
            self._worker.schedule(self, self._ask_again, ASK_AGAIN)
        return choice

    def move(self, owned: OwnedInstance, instance: Instance, data: bytes) -> None:
        """Give an instance the path of its id (worker)."""
        path = self.core.paths.instance(instance.service, instance.id)
        with self._lock:
            if self._open.get(owned.node.path) is not owned:
                return  # closed in the same moment
            if self._open.get(path, owned) is not owned:
                raise _taken(path)
            del self._open[owned.node.path]
            self._open[path] = owned
            owned.node.move(path, data)

    def note_held(self, owned: OwnedInstance) -> None:
        """Log in a second that it is registered, together with others (worker)."""
        own = owned.wanted
        with self._lock:
            self._told.registered.add(owned.node.path, str(own.status), f"{owned.name} at {own.netloc}")
        self.core.nodes.later(self._log_told, TOGETHER)
        if owned.place.default_id:  # an earlier process of this machine may have left one beside it
            self._leftovers.remove_beside(own)

    def forget(self, owned: OwnedInstance) -> None:
        """Free its path."""
        with self._lock:
            path = owned.node.path
            if self._open.get(path) is owned:
                del self._open[path]

    def note_silent(self, owned: OwnedInstance, where: str) -> None:
        """Log in a second that nothing listens at its port, together with others (checks)."""
        with self._lock:
            self._told.silent.add(where, _UNREACHED, f"{where}, the port of {owned.name}")
        self.core.nodes.later(self._log_told, TOGETHER)

    def note_down(self, owned: OwnedInstance, why: str) -> None:
        """Log in a second that its checks have found it DOWN, together with others (checks)."""
        with self._lock:
            self._told.down.add(owned.node.path, why, owned.name)
        self.core.nodes.later(self._log_told, TOGETHER)

    def note_trouble(self, owned: OwnedInstance, check: str, why: str) -> None:
        """Log in a second that a check can't run, together with others (checks)."""
        with self._lock:
            self._told.trouble.add(owned.node.path, why, f"{owned.name} by {check}")
        self.core.nodes.later(self._log_told, TOGETHER)

    def _log_told(self) -> None:
        with self._lock:
            told, self._told = self._told, _Told.make()
        for digest in told:
            digest.tell()

    # -- addresses (worker) --

    def _ask_again(self) -> None:
        for owned in self.open():
            owned.node.nudge()

    def _on_state(self, change: StateChange) -> None:
        if change.state is State.CONNECTED and self._open:
            self._worker.schedule((self, "addresses"), self._follow_addresses)

    def _follow_addresses(self) -> None:
        """Replace addresses that this machine has lost."""
        found = [owned for owned in self.open() if owned.place.known and owned.place.given.is_rule]
        if found:
            left = self._locator.left(owned.wanted.host for owned in found)
            for owned in found:
                if owned.wanted.host in left:
                    owned.follow_address()

    def open(self) -> list[OwnedInstance]:
        """All instances that are not closed."""
        with self._lock:
            return list(self._open.values())

    # -- the end --

    def time_to_close(self) -> float:
        return max((owned.drain_delay for owned in self.open()), default=0.0)

    def begin_close(self, deadline: float) -> None:
        left = max(0.0, delays_until(deadline) - time.monotonic())
        self._leaving = self.open()
        cut = []
        for owned in self._leaving:
            delay = owned.drain_delay
            if not owned.begin_drain(delay):
                delay = 0.0
            elif delay > left + NOTICEABLE:
                cut.append(owned)
            self.core.nodes.later(owned.leave, min(delay, left))
        if cut:
            longest = max(cut, key=lambda owned: owned.drain_delay)
            names = some_of(owned.name for owned in (longest, *(owned for owned in cut if owned is not longest)))
            log.warning(
                "the time for closing cuts the drain delay of %g s to %.1f s: %s", longest.drain_delay, left, names
            )

    def close(self, deadline: float) -> None:
        start = time.monotonic()
        for owned in self._leaving:
            run_steps(owned.delayed(max(0.0, deadline - time.monotonic())))
            owned.leave()  # the worker has not come to it
        late = [owned for owned in self._leaving if not run_steps(owned.going(max(0.0, deadline - time.monotonic())))]
        within = None if self._late else time.monotonic() - start
        with self._lock:
            self._late += late
        self._log_late(within)

    def _note_late(self, owned: OwnedInstance) -> None:
        """Log in a second that one was not taken out in time, together with others of the same cause."""
        with self._lock:
            self._late.append(owned)
        self.core.nodes.later(self._log_late, TOGETHER)

    def _log_late(self, within: float | None = None) -> None:
        with self._lock:
            late, self._late = self._late, []
        if late:
            limit = "in time" if within is None else f"within {within:.1f} s"
            names = some_of(owned.node.path for owned in late)
            log.warning("not taken out %s, and left to vanish with the session: %s", limit, names)

    def forked(self) -> None:
        for owned in self._open.values():
            owned.forked()


def now_to_the_millisecond() -> float:
    """Seconds since the epoch, as precisely as the wire format holds them."""
    return round(time.time(), 3)


def _taken(path: str) -> RegistrationConflict:
    return RegistrationConflict(
        f"{path} is registered by this client already; update() it, or give another id", path=path
    )
