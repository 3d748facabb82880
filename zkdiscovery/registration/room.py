"""All registrations of one client."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict, get_args

from zkdiscovery.codecs import Codec
from zkdiscovery.errors import ClientClosed, InvalidInstance, RegistrationConflict
from zkdiscovery.lifecycle import Limits
from zkdiscovery.model import Instance, Status
from zkdiscovery.registration.address import Choice, Given, given_host, given_listen_port, settled
from zkdiscovery.registration.leftovers import Leftovers
from zkdiscovery.registration.locator import Locator
from zkdiscovery.registration.machine import default_id, machine
from zkdiscovery.registration.registration import (
    Place,
    Ready,
    Registration,
    Tools,
    now_to_the_millisecond,
)
from zkdiscovery.session import Session, State, StateChange, some_of
from zkdiscovery.threads import Dispatcher, Worker
from zkdiscovery.validation import check_choice, check_delay
from zkdiscovery.znodes import OnConflict, OwnedNodes, Paths

log = logging.getLogger("zkdiscovery.registration")

ASK_AGAIN = 0.1  # seconds between two looks at what is not known yet of ZooKeeper's addresses
TOGETHER = 1.0  # seconds within which those that are not taken out in time are told of together
NOTICEABLE = 0.1  # seconds by which a drain delay is cut


class RegisterOptions(TypedDict, total=False):
    """What `Client.register` takes beside the service and its port."""

    host: str | None
    listen_port: int | None
    id: str | None
    ports: Mapping[str, int]
    tls_port: int | None
    weight: float
    zone: str | None
    version: str | None
    tags: Sequence[str]
    metadata: Mapping[str, str]
    ready: Ready
    drain_delay: float
    on_conflict: OnConflict


class Options(RegisterOptions, total=False):
    """One entry of `Client.register_many`."""

    service: str
    port: int


_FIELDS = dict.fromkeys(Options.__annotations__)


class Registrar:
    """Makes and ends the registrations of one client."""

    def __init__(
        self,
        session: Session,
        nodes: OwnedNodes,
        worker: Worker,
        dispatcher: Dispatcher,
        paths: Paths,
        codec: Codec,
    ) -> None:
        self._session = session
        self._worker = worker
        self._paths = paths
        self._locator = Locator(session)
        self._leftovers = Leftovers(session, worker, paths, codec)
        self._tools = Tools(
            nodes,
            codec,
            dispatcher,
            self._forget,
            self._locate,
            self._move,
            self._leftovers.remove_beside,
            self._note_late,
        )
        self._numbers = itertools.count()
        session.listen(self._on_state)
        self._lock = threading.Lock()
        self._open: dict[str, Registration] = {}
        self._closed = False
        self._leaving: list[Registration] = []  # from the goodbye on
        self._late: list[Registration] = []  # not taken out in time, and not told yet

    def register(self, entries: Iterable[Options]) -> list[Registration]:
        """Register all or, whatever fails, none. Never waits for ZooKeeper."""
        made = [self._make(entry) for entry in entries]
        with self._lock:
            if self._closed:
                raise ClientClosed("the client was closed")
            table = dict(self._open)
            for registration in made:
                path = registration._node.path
                if table.setdefault(path, registration) is not registration:
                    raise _taken(path)
            self._open = table
        try:
            for registration in made:
                registration._begin()
            self._tools.nodes.keep([registration._node for registration in made])
        except BaseException:  # all or none
            for registration in made:
                registration._abandon()
            raise
        return made

    def _make(self, entry: Options) -> Registration:
        if unknown := entry.keys() - _FIELDS:
            raise InvalidInstance(f"unknown fields: {', '.join(sorted(unknown))}; there are {', '.join(_FIELDS)}")
        fields: dict[str, Any] = {name: value for name, value in entry.items() if value is not None}
        if missing := {"service", "port"} - set(fields):
            raise InvalidInstance(f"{' and '.join(sorted(missing))} must be given")
        ready = check_choice(fields.pop("ready", "now"), "ready", get_args(Ready))
        on_conflict = check_choice(fields.pop("on_conflict", "replace"), "on_conflict", get_args(OnConflict))
        drain_delay = check_delay(fields.pop("drain_delay", 0.0), "drain_delay")
        settings = self._session.settings
        servers = self._session.known_addresses()
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
            **{"zone": settings.zone} | fields,
            host=host,
            port=port if port_known else 1,
            status=Status.UP if ready == "now" else Status.STARTING,
            registered_at=now_to_the_millisecond(),
        )
        path = self._paths.instance(instance.service, instance.id)
        if not port_known and default:
            path += f"/{next(self._numbers)}"  # each will have a port of its own
        return Registration(
            self._tools,
            path,
            instance,
            Place(given, default, known, port_known, listen_port),
            ready=ready,
            drain_delay=drain_delay,
            on_conflict=on_conflict,
        )

    def _locate(self, given: Given, port: int) -> Choice | None:
        choice = self._locator.locate(given, port)
        if choice is None:
            self._worker.schedule(self, self._ask_again, ASK_AGAIN)
        return choice

    def _ask_again(self) -> None:
        for registration in self.open():
            registration._node.nudge()

    def _on_state(self, change: StateChange) -> None:
        if change.state is State.CONNECTED and self._open:
            self._worker.schedule((self, "addresses"), self._follow_addresses)

    def _follow_addresses(self) -> None:
        """An address that has left this machine leads nobody to its instance (worker)."""
        found = [r for r in self.open() if r._place.known and r._place.given.is_rule]
        if found:
            left = self._locator.left(r._wanted.host for r in found)
            for registration in found:
                if registration._wanted.host in left:
                    registration._follow_address()

    def _move(self, registration: Registration, instance: Instance, data: bytes) -> None:
        """To where it belongs, now that this is known (worker)."""
        path = self._paths.instance(instance.service, instance.id)
        with self._lock:
            if self._open.get(registration._node.path) is not registration:
                return  # closed in the same moment
            if self._open.get(path, registration) is not registration:
                raise _taken(path)
            del self._open[registration._node.path]
            self._open[path] = registration
            registration._node.move(path, data)

    def _forget(self, registration: Registration) -> None:
        with self._lock:
            path = registration._node.path
            if self._open.get(path) is registration:
                del self._open[path]

    def open(self) -> list[Registration]:
        """All registrations that are not closed."""
        with self._lock:
            return list(self._open.values())

    def longest_drain_delay(self) -> float:
        """Seconds that the goodbye of one of them takes."""
        return max((registration._drain_delay for registration in self.open()), default=0.0)

    def say_goodbye(self, limits: Limits) -> None:
        """Say goodbye for all, to leave after their drain delays; take no more. Never blocks; `close` follows."""
        with self._lock:
            self._closed = True
        now = time.monotonic()
        room = max(0.0, limits.delays - now)
        self._leaving = self.open()
        cut = []
        for registration in self._leaving:
            delay = registration._drain_delay
            if not registration._say_goodbye(delay):
                delay = 0.0
            elif delay > room + NOTICEABLE:
                cut.append(registration)
            self._tools.nodes.later(registration._leave, min(delay, room))
        if cut:
            longest = max(cut, key=lambda registration: registration._drain_delay)
            log.warning(
                "the time for closing cuts the drain delay of %g s to %.1f s: %s",
                longest._drain_delay, room, some_of(map(repr, (longest, *(r for r in cut if r is not longest)))),
            )  # fmt: skip

    def close(self, limits: Limits) -> None:
        """Wait until all are out, within the limits."""
        start = time.monotonic()
        for registration in self._leaving:
            registration._wait_left(max(0.0, limits.holds - time.monotonic()))
            registration._leave()  # the worker has not come to it
        late = [r for r in self._leaving if not r._wait_gone(max(0.0, limits.holds - time.monotonic()))]
        within = None if self._late else time.monotonic() - start
        self._late += late
        self._tell_late(within)

    def _note_late(self, registration: Registration) -> None:
        """One that was closed alone was not taken out in time. Its neighbours may follow, for the same reason."""
        self._late.append(registration)
        self._tools.nodes.later(self._tell_late, TOGETHER)

    def _tell_late(self, within: float | None = None) -> None:
        with self._lock:
            late, self._late = self._late, []
        if late:
            limit = "in time" if within is None else f"within {within:.1f} s"
            names = some_of(registration._node.path for registration in late)
            log.warning("not taken out %s, and left to vanish with the session: %s", limit, names)

    def forked(self) -> None:
        """In a forked child: they are the parent's."""
        for registration in self._open.values():
            registration._forked()


def _taken(path: str) -> RegistrationConflict:
    return RegistrationConflict(
        f"{path} is registered by this client already; update() it, or give another id", path=path
    )
