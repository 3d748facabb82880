"""A client without ZooKeeper, for users' own unit tests: fixed instances, recorded registrations, every term granted.

It is for code that merely uses zkdiscovery. Whatever depends on sessions, outages or other processes needs the real
thing: see the fixtures `zkdiscovery_client`, `zkdiscovery_proxy` and `zkdiscovery_expire`. No thread runs, but that of
callbacks.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any, Self, cast

from zkdiscovery.client import Client
from zkdiscovery.codecs import CuratorCodec
from zkdiscovery.discovery import Service, make_view
from zkdiscovery.discovery.room import Preferences
from zkdiscovery.discovery.service import Attachment
from zkdiscovery.election import Candidate, Election, Room, Term
from zkdiscovery.election.candidacy import Candidacy
from zkdiscovery.election.election import OnSuspend
from zkdiscovery.errors import ClientClosed, InvalidInstance, NodeMissing
from zkdiscovery.lifecycle import Limits, time_for
from zkdiscovery.model import Instance, Override, Snapshot, Status, StatusName, check_status
from zkdiscovery.registration import Registrar, Registration
from zkdiscovery.registration.room import Options
from zkdiscovery.session import Lease, Node, Stat, State
from zkdiscovery.settings import settings_without_environment
from zkdiscovery.threads import Subscription, Worker
from zkdiscovery.validation import check_name
from zkdiscovery.znodes import OwnedNode, OwnedNodes, OwnedState, Paths

Instances = Iterable[str | Instance]

_HOST_AND_PORT = re.compile(r"(?:\[(?P<address>[^\[\]]+)\]|(?P<name>[^:\[\]]+)):(?P<port>[0-9]{1,5})")


def static_client(services: Mapping[str, Instances] | None = None, **more: Instances) -> StaticClient:
    """A client whose services are fixed: `static_client(payments=["127.0.0.1:8001"])`.

    Args:
        services: instances by service name, each `host:port` or an `Instance`; for names that are no keywords.
        more: the same, by keyword.

    Raises:
        InvalidName, InvalidInstance: what can't be an instance.
    """
    client = StaticClient()
    for name, instances in {**(services or {}), **more}.items():
        client.set_instances(name, instances)
    return client


class StaticClient(Client):
    """See `static_client`.

    Attributes:
        registrations: every registration made, the open and the closed ones, in order.
    """

    def __init__(self) -> None:
        super().__init__("127.0.0.1:2181", namespace="/")
        self.registrations: list[Registration] = []
        self._table: dict[str, dict[str, Instance]] = {}
        self._fences = itertools.count(1)
        self._versions = itertools.count(1)
        settings = settings_without_environment()
        session = cast(
            "Any",
            SimpleNamespace(
                settings=settings,
                state=State.CONNECTED,
                generation=1,
                listen=lambda _: None,
                known_addresses=lambda: {"127.0.0.1": ("127.0.0.1",)},
            ),
        )
        self._settings_in_force = settings
        self._registrar = Registrar(
            session, cast("OwnedNodes", _AtOnce()), _no_worker(), self._dispatcher, Paths("/"), CuratorCodec()
        )
        self._room = cast("Room", SimpleNamespace(session=session))

    # -- what a test sets --

    def set_instances(self, service: str, instances: Instances) -> None:
        """Replace the instances of a service; its views follow at once.

        Raises:
            InvalidName, InvalidInstance: what can't be an instance; nothing is changed.
        """
        check_name(service, "the service name")
        found = [_instance(service, entry) for entry in instances]
        self._table[service] = {instance.id: instance for instance in found}
        self._publish(service)

    def lose_leadership(self, name: str) -> None:
        """End the terms of an election, as if the session had expired."""
        for election in list(self._elections):
            if election.name == name and election.term is not None:
                election.term._lease.end("lost in a test")

    # -- the client's own names --

    def start(self) -> Self:
        self._require_open()
        return self

    def _time_to_end(self) -> float:
        return time_for(self._registrar.longest_drain_delay(), self.settings.close_timeout)

    def _begin_leaving(self, limits: Limits) -> None:
        self._registrar.say_goodbye(limits)
        super()._begin_leaving(limits)

    def _finish_leaving(self, limits: Limits) -> None:
        self._registrar.close(limits)
        super()._finish_leaving(limits)

    @property
    def state(self) -> State:
        return State.CLOSED if self._closed else State.CONNECTED

    @property
    def settings(self) -> Any:
        return self._settings_in_force

    def wait_connected(self, timeout: float | None = 10.0) -> Self:  # noqa: ARG002 - connected always
        return self.start()

    def register_many(self, entries: Iterable[Options]) -> list[Registration]:
        self._require_undrained()
        registrations = self._registrar.register(
            [cast("Options", {"host": "127.0.0.1", **_given(entry)}) for entry in entries]
        )
        self.registrations += registrations
        return registrations

    def register(self, service: str, port: int, **options: Any) -> Registration:
        return self.register_many([cast("Options", {"service": service, "port": port, **options})])[0]

    def override(
        self,
        service: str,
        id: str,
        *,
        status: Status | StatusName | None = None,
        weight: float | None = None,
        timeout: float | None = 5.0,  # noqa: ARG002 - at once
    ) -> Instance:
        override = Override(None if status is None else check_status(status), weight)
        return self._put(override.above(self._existing(service, id).own))

    def clear_override(self, service: str, id: str, *, timeout: float | None = 5.0) -> Instance:  # noqa: ARG002 - at once
        return self._put(self._existing(service, id).own)

    def remove(self, service: str, id: str, *, timeout: float | None = 5.0) -> bool:  # noqa: ARG002 - at once
        self._require_open()
        there = self._table.get(service, {}).pop(id, None) is not None
        self._publish(service)
        return there

    def service_names(self, timeout: float | None = 5.0) -> list[str]:  # noqa: ARG002 - at once
        self._require_open()
        return sorted(self._table)

    def instances(self, service: str, timeout: float | None = 5.0) -> list[Instance]:  # noqa: ARG002 - at once
        self._require_open()
        return sorted(self._table.get(service, {}).values(), key=lambda instance: instance.id)

    def discover(self, service: str, **preferences: Any) -> Service:
        self._require_open()
        check_name(service, "the service name")
        attachment = Attachment(_NO_ERROR, self._dispatcher, lambda: None)
        view = make_view(service, None, lambda _: attachment, cast("Preferences", preferences))
        self._views.add(view)
        self._publish(service)
        return view

    def election(self, name: str, *, id: str | None = None, on_suspend: OnSuspend = "hold") -> Election:
        self._require_undrained()
        election = _GrantedElection(name, id, on_suspend, lambda: self._room)
        election._fences = self._fences
        self._elections.add(election)
        return election

    # -- helpers --

    def _require_open(self) -> None:
        if self._closed:
            raise ClientClosed("the client was closed; make a new one")

    def _existing(self, service: str, id: str) -> Instance:
        self._require_open()
        try:
            return self._table.get(service, {})[id]
        except KeyError:
            raise NodeMissing(f"there is no instance {id!r} of {service!r}") from None

    def _put(self, instance: Instance) -> Instance:
        self._table[instance.service][instance.id] = instance
        self._publish(instance.service)
        return instance

    def _publish(self, service: str) -> None:
        from zkdiscovery.discovery.cache import difference  # noqa: PLC0415

        for view in list(self._views):
            if view.name == service:
                snapshot = Snapshot(
                    service,
                    version=next(self._versions),
                    instances=tuple(self._table.get(service, {}).values()),
                    loaded=True,
                )
                view.follow(difference(view.snapshot, snapshot))

    def __repr__(self) -> str:
        return f"<StaticClient {self.state} services={sorted(self._table)}>"


_NO_ERROR: Any = SimpleNamespace(error=None, fatal_error=None, path="static_client()")


def _given(entry: Options) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if value is not None}


def _instance(service: str, entry: str | Instance) -> Instance:
    if isinstance(entry, Instance):
        if entry.service != service:
            raise InvalidInstance(f"an instance of {entry.service!r} was given for {service!r}: {entry.id!r}")
        return entry
    text: object = entry  # whatever people give
    match = _HOST_AND_PORT.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise InvalidInstance(
            f"an instance of {service!r} must be an Instance or 'host:port', with an IPv6 address in brackets:"
            f" got {entry!r}"
        )
    return Instance(service, match["address"] or match["name"], int(match["port"]))


class _AtOnce:
    """In the place of `OwnedNodes`: every wish comes true at once."""

    fatal_error = None

    def prepare(self, path: str, data: bytes, **options: Any) -> OwnedNode:
        return OwnedNode(self._come_true, path, data, **options)

    def keep(self, nodes: Iterable[OwnedNode]) -> None:
        for node in nodes:
            self._come_true(node)

    def later(self, task: Callable[[], None], _delay: float) -> None:
        task()

    def _come_true(self, node: OwnedNode) -> None:
        if node.desired.exists and node.find_place is not None:
            if not node.find_place():
                return  # its port is not known yet
            node.find_place = None
        data = node.desired.data
        if data is None:
            node.record(OwnedState.RELEASED, None)
        else:
            node.record(OwnedState.HELD, Node(data, Stat(*[0] * 11)))


def _no_worker() -> Worker:
    """Nobody left anything here that would have to be removed."""
    return cast("Worker", SimpleNamespace(schedule=lambda *_: None))


class _Granted:
    """In the place of a `Candidacy`: the term is there at once."""

    error = None

    def __init__(self, election: str, fence: int) -> None:
        lease = Lease(cast("Any", self), "", math.inf, hold=True, on_lost=lambda _reason: None)
        self.term = Term(election, fence, lease, self.withdraw)

    @property
    def over(self) -> bool:
        return self.term.lost

    def forget(self, lease: Lease) -> None:
        """The lease asks to be renewed no more."""

    def wait(self, _condition: Callable[[Self], object], _end: float | None) -> None:
        """All is there already."""

    def withdraw(self, reason: str = "resigned") -> None:
        self.end_term(reason)

    def end_term(self, reason: str) -> None:
        self.term._lease.end(reason)

    def wait_gone(self, _timeout: float) -> None:
        """It is gone at once."""

    def forked(self) -> None:
        self.term._disown()


class _GrantedElection(Election):
    """An election that is won at once, with fences that grow."""

    _fences: itertools.count[int]

    def _stand(self, _end: float | None) -> Candidacy:
        with self._lock:
            self._require_open()
            self._candidacy = cast("Candidacy", _Granted(self.name, next(self._fences)))
            return self._candidacy

    def candidates(self, timeout: float | None = 5.0) -> list[Candidate]:  # noqa: ARG002 - at once
        term = self.term
        return [] if term is None else [Candidate(self.id, term.fence)]

    def on_change(self, fn: Callable[[Candidate | None], object]) -> Subscription[Candidate | None]:
        raise NotImplementedError("a static client's elections have nobody to observe; use a real ZooKeeper for that")
