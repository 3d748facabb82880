"""All registrations of one client."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict, get_args

from zkdiscovery.codecs import Codec
from zkdiscovery.errors import ClientClosed, InvalidInstance, RegistrationConflict
from zkdiscovery.model import Instance, Status
from zkdiscovery.registration.address import advertised_host
from zkdiscovery.registration.registration import Ready, Registration, Tools, now_to_the_millisecond
from zkdiscovery.session import Dispatcher, Session
from zkdiscovery.znodes import OnConflict, OwnedNodes, Paths

log = logging.getLogger("zkdiscovery.registration")


class Options(TypedDict, total=False):
    """What `Client.register` takes; one entry of `Client.register_many`."""

    service: str
    port: int
    host: str | None
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


class Registrar:
    """Makes and ends the registrations of one client."""

    def __init__(self, session: Session, nodes: OwnedNodes, dispatcher: Dispatcher, paths: Paths, codec: Codec) -> None:
        self._session = session
        self._nodes = nodes
        self._paths = paths
        self._tools = Tools(codec, dispatcher, self._forget)
        self._lock = threading.Lock()
        self._open: dict[str, Registration] = {}
        self._closed = False

    def register(self, entries: Iterable[Options]) -> list[Registration]:
        """Register all or, if one of them is invalid or registered already, none. Never waits for ZooKeeper."""
        prepared = [self._prepare(entry) for entry in entries]
        wishes = []
        with self._lock:
            if self._closed:
                raise ClientClosed("the client was closed")
            taken: set[str] = set()
            for path, _, _ in prepared:
                if path in self._open or path in taken:
                    raise RegistrationConflict(
                        f"{path} is registered by this client already; update() it, or give another id", path=path
                    )
                taken.add(path)
            self._open.update({path: registration for path, registration, _ in prepared})
        for path, registration, on_conflict in prepared:
            options: dict[str, Any] = {
                "on_conflict": on_conflict,
                "on_state": registration._on_state,
                "on_foreign_write": registration._on_foreign_write,
            }
            wishes.append((path, registration._data, options))
        for node, (_, registration, _) in zip(self._nodes.own_many(wishes), prepared, strict=True):
            registration._begin(node)
        return [registration for _, registration, _ in prepared]

    def _prepare(self, entry: Options) -> tuple[str, Registration, OnConflict]:
        options: dict[str, Any] = dict(entry)
        if unknown := set(options) - set(Options.__annotations__):
            raise InvalidInstance(
                f"unknown fields: {', '.join(sorted(unknown))}; there are {', '.join(Options.__annotations__)}"
            )
        if "service" not in options or "port" not in options:
            raise InvalidInstance("service and port must be given")
        ready = options.pop("ready", "now")
        on_conflict = options.pop("on_conflict", "replace")
        drain_delay = options.pop("drain_delay", 0.0)
        for name, value, known in (
            ("ready", ready, get_args(Ready)),
            ("on_conflict", on_conflict, get_args(OnConflict)),
        ):
            if value not in known:
                raise InvalidInstance(f"{name} must be one of {', '.join(known)}: got {value!r}")
        if (
            isinstance(drain_delay, bool)
            or not isinstance(drain_delay, (int, float))
            or not 0 <= drain_delay < math.inf
        ):
            raise InvalidInstance(f"drain_delay must be seconds, 0 or more: got {drain_delay!r}")
        host = advertised_host(options.pop("host", None), peer=self._session.settings.hosts.split(",")[0])
        given = {name: value for name, value in options.items() if value is not None}
        given.setdefault("zone", self._session.settings.zone)
        instance = Instance(
            given.pop("service"),
            host,
            given.pop("port"),
            status=Status.UP if ready == "now" else Status.STARTING,
            registered_at=now_to_the_millisecond(),
            **given,
        )
        registration = Registration(self._tools, instance, ready=ready, drain_delay=float(drain_delay))
        return self._paths.instance(instance.service, instance.id), registration, on_conflict

    def _forget(self, registration: Registration) -> None:
        instance = registration._own
        path = self._paths.instance(instance.service, instance.id)
        with self._lock:
            if self._open.get(path) is registration:
                del self._open[path]

    def open(self) -> list[Registration]:
        """All registrations that are not closed."""
        with self._lock:
            return list(self._open.values())

    def close(self, timeout: float) -> None:
        """Say goodbye for all, side by side, within `timeout` seconds; take no more."""
        with self._lock:
            self._closed = True
            left = list(self._open.values())
        end = time.monotonic() + timeout
        delays = [r._drain_delay for r in left]
        threads = []
        if any(delays):
            # Delays must run side by side: one thread for each distinct delay is enough, and there are few.
            for delay in set(delays):
                group = [r for r in left if r._drain_delay == delay]
                threads.append(
                    threading.Thread(target=_drain_all, args=(group, delay, end), daemon=True, name="zkdiscovery-drain")
                )
                threads[-1].start()
            for thread in threads:
                thread.join(max(0.0, end - time.monotonic()))
        else:
            _drain_all(left, 0.0, end)


def _drain_all(registrations: list[Registration], delay: float, end: float) -> None:
    """Begin all goodbyes before waiting for the first."""
    for registration in registrations:
        registration._farewell(delay)
    if delay:
        threading.Event().wait(max(0.0, min(delay, end - time.monotonic())))
    for registration in registrations:
        registration._leave()
    for registration in registrations:
        registration._left(max(0.0, end - time.monotonic()))
