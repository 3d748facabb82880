"""A client without ZooKeeper, for users' own unit tests: fixed instances, recorded registrations, locks granted.

It is for code that merely uses zkdiscovery. Whatever depends on sessions, outages or other processes needs the real
thing: see the fixtures `zkdiscovery_client`, `zkdiscovery_proxy` and `zkdiscovery_expire`. No thread runs, but that of
callbacks.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, TypeVar, cast

from zkdiscovery.client import Client
from zkdiscovery.codecs.curator import CuratorCodec
from zkdiscovery.config import Configs, ConfigStores
from zkdiscovery.core import Core, CoreSlot, Feature
from zkdiscovery.discovery import Discovery
from zkdiscovery.discovery.feed import Feed, difference
from zkdiscovery.election import Campaigns, Candidate, Observers
from zkdiscovery.election.candidacy import Candidacy, MakeTerm
from zkdiscovery.election.elections import Campaigner
from zkdiscovery.errors import InvalidInstance, NodeMissing
from zkdiscovery.integrations.jobs import Records
from zkdiscovery.locks import Counters, Locks
from zkdiscovery.model import Instance, Override, Snapshot, Status, StatusName, check_status
from zkdiscovery.registration import BaseRegistration, Checkers, CheckResult, Options, Overrides, Registrar, Sharing
from zkdiscovery.registration.checks import Outcome, Probe, Target
from zkdiscovery.session import Node, Session, Stat, State
from zkdiscovery.settings import settings_without_environment
from zkdiscovery.shards import Sharding, ShardReads
from zkdiscovery.testing.granted import Granted, GrantedCounters, GrantedLocks
from zkdiscovery.testing.granted_config import Documents, KeptConfigs, KeptStores, set_document
from zkdiscovery.testing.granted_shards import GrantedReads, GrantedShards
from zkdiscovery.threads import Worker
from zkdiscovery.validation import check_name
from zkdiscovery.znodes import OwnedNode, OwnedNodes, OwnedState

F = TypeVar("F", bound=Feature)
R = TypeVar("R", bound=BaseRegistration)

Instances = Iterable[str | Instance]
Table = dict[str, dict[str, Instance]]  # instances by service and id

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
    """See `static_client`."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1:2181", namespace="/")
        self._table: Table = {}
        self._made: list[BaseRegistration] = []
        self._documents = Documents()

    # -- what a test sets --

    def set_instances(self, service: str, instances: Instances) -> None:
        """Replace the instances of a service; its views follow at once.

        Raises:
            InvalidName: no name for a service; nothing is changed.
            InvalidInstance: what can't be an instance; nothing is changed.
            ClientClosed: the client was closed; nothing is changed.
        """
        check_name(service, "the service name")
        found = [_instance(service, entry) for entry in instances]
        core = None if self.state is State.NEW else cast("_StaticCore", self.slot.current())
        self._table[service] = {instance.id: instance for instance in found}
        if core is not None:
            core.publish(service)

    def set_config(self, name: str, values: dict[str, Any]) -> None:
        """Store a revision of a document; the configurations that read it follow at once.

        Raises:
            InvalidName: no name for a document.
            InvalidDocument: the document can't be stored.
        """
        set_document(self._documents, name, values)

    def lose_leadership(self, name: str) -> None:
        """End the terms of an election, as if the session had expired."""
        cast("_Campaigns", self.feature(Campaigns)).lose(name)

    def lose_lock(self, name: str) -> None:
        """End the holds of the locks and semaphores of a name, as if the session had expired."""
        cast("GrantedLocks", self.feature(Locks)).lose(name)

    def lose_shards(self, name: str) -> None:
        """End the holds of the shards of a name, as if the session had expired. They are taken again."""
        cast("GrantedShards", self.feature(Sharding)).lose(name)

    @property
    def registrations(self) -> list[BaseRegistration]:
        """Every registration made, the open and the closed ones, in order."""
        return self._made

    def _make_core(self, slot: CoreSlot) -> Core:
        return _StaticCore(slot, self._table, self._made, self._documents)

    def __repr__(self) -> str:
        return f"<StaticClient {self.state} services={sorted(self._table)}>"


class _StaticCore(Core):
    """A core without a connection, whose features do everything at once."""

    def __init__(self, slot: CoreSlot, table: Table, made: list[BaseRegistration], documents: Documents) -> None:
        super().__init__(slot, settings_without_environment(), CuratorCodec(), _StaticSession, _AtOnce)
        self.documents = documents
        self.table = table
        self.made = made
        self.granted: list[tuple[Candidate, Granted]] = []

    def publish(self, service: str) -> None:
        """Let the views of a service follow the table."""
        cast("_Services", self.feature(Discovery)).publish(service)

    def make(self, kind: type[F]) -> F:
        return super().make(cast("type[F]", _FEATURES.get(kind, kind)))


class _StaticSession(Session):
    """A session that is connected until it is closed."""

    def start(self) -> None:
        self.generation = 1
        self.move(State.CONNECTED)

    def known_addresses(self) -> dict[str, tuple[str, ...]]:
        return {"127.0.0.1": ("127.0.0.1",)}


class _Services(Discovery):
    """Views of the instances that a test has set."""

    core: _StaticCore

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        self._versions = itertools.count(1)

    def make_feed(self, service: str) -> Feed:
        feed = Feed(self.core, service, "static_client()", self._drop, self._collected)
        feed.snapshot = self._snapshot(service)
        return feed

    def publish(self, service: str) -> None:
        feed = self._feeds.get(service)
        if feed is not None:
            feed.publish(difference(feed.snapshot, self._snapshot(service)))

    def service_names(self, timeout: float) -> list[str]:
        return sorted(self.core.table)

    def instances(self, service: str, timeout: float) -> list[Instance]:
        return sorted(self.core.table.get(service, {}).values(), key=lambda instance: instance.id)

    def _snapshot(self, service: str) -> Snapshot:
        instances = tuple(self.core.table.get(service, {}).values())
        return Snapshot(service, version=next(self._versions), instances=instances, loaded=True)


class _Registrations(Registrar):
    """Registrations that succeed at once."""

    core: _StaticCore

    def register(self, entries: Iterable[Options], kind: type[R]) -> list[R]:
        given = [{name: value for name, value in entry.items() if value is not None} for entry in entries]
        made = super().register([cast("Options", {"host": "127.0.0.1", **entry}) for entry in given], kind)
        self.core.made += made
        return made

    def note_held(self, owned: object) -> None:
        pass


class _Passing(Checkers):
    """Checks that pass at once, without being run. Those that wait for beats wait for them, but for no longer."""

    def make_worker(self) -> Worker:
        return _FirstRuns("zkdiscovery-health")

    def run(self, probe: Probe, target: Target) -> Outcome:
        return Outcome(CheckResult.PASS, "a static client runs no checks")


class _FirstRuns(Worker):
    """Runs what is due at once, on the calling thread, and nothing else."""

    def start(self) -> None:
        pass

    def schedule(self, key: Hashable, task: Callable[[], None], delay: float = 0.0) -> None:
        if delay == 0:
            task()


class _Sharing(Sharing):
    """Registrations that no other process shares."""

    def prepare(self, owner: object, path: str, data: bytes, **options: Any) -> OwnedNode:
        return self.core.nodes.prepare(path, data, **options)

    def keep(self, nodes: Iterable[OwnedNode]) -> None:
        self.core.nodes.keep(nodes)


class _AtOnce(OwnedNodes):
    """Nodes that stand as soon as they are wanted."""

    def prepare(self, path: str, data: bytes, **options: Any) -> OwnedNode:
        return OwnedNode(self._apply, path, data, **options)

    def keep(self, nodes: Iterable[OwnedNode]) -> None:
        for node in nodes:
            self._apply(node)

    def later(self, task: Callable[[], None], delay: float) -> None:
        task()

    def _apply(self, node: OwnedNode) -> None:
        if node.desired.exists and node.find_place is not None:
            if not node.find_place():
                return  # its port is not known yet
            node.find_place = None
        data = node.desired.data
        if data is None:
            node.record(OwnedState.RELEASED, None)
        else:
            node.record(OwnedState.HELD, Node(data, Stat(*[0] * 11)))


class _Overrides(Overrides):
    """Operators' writes into the table of a test."""

    core: _StaticCore

    def override(
        self,
        service: str,
        instance_id: str,
        status: Status | StatusName | None,
        weight: float | None,
        timeout: float,
    ) -> Instance:
        override = Override(None if status is None else check_status(status), weight)
        return self._put(override.above(self._existing(service, instance_id).own))

    def clear(self, service: str, instance_id: str, timeout: float) -> Instance:
        return self._put(self._existing(service, instance_id).own)

    def remove(self, service: str, instance_id: str, timeout: float) -> bool:
        there = self.core.table.get(service, {}).pop(instance_id, None) is not None
        self.core.publish(service)
        return there

    def _existing(self, service: str, instance_id: str) -> Instance:
        try:
            return self.core.table.get(service, {})[instance_id]
        except KeyError:
            raise NodeMissing(f"there is no instance {instance_id!r} of {service!r}") from None

    def _put(self, instance: Instance) -> Instance:
        self.core.table[instance.service][instance.id] = instance
        self.core.publish(instance.service)
        return instance


class _Campaigns(Campaigns):
    """Elections that are won at once, with fences that grow."""

    core: _StaticCore

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        self._fences = itertools.count(1)

    def new_candidacy(
        self,
        campaigner: Campaigner,
        election: str,
        id: str,
        *,
        hold: bool,
        make_term: MakeTerm,
    ) -> Candidacy:
        self.add(campaigner)
        granted = Granted(election, next(self._fences), make_term)
        self.core.granted.append((Candidate(id, granted.hold.fence), granted))
        return cast("Candidacy", granted)

    def lose(self, election: str) -> None:
        for _, granted in self.core.granted:
            if granted.election == election:
                granted.end_hold("lost in a test")


class _Observers(Observers):
    """Reads of the elections that were won."""

    core: _StaticCore

    def names(self, timeout: float) -> list[str]:
        return sorted({granted.election for _, granted in self.core.granted})

    def candidates(self, election: str, timeout: float) -> list[Candidate]:
        return [who for who, granted in self.core.granted if granted.election == election and not granted.over]

    def observe(self, *_: Any) -> Any:
        raise NotImplementedError("a static client's elections have nobody to observe; use a real ZooKeeper for that")


class _Records(Records):
    """Records of jobs, kept here."""

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        self._kept: dict[str, tuple[int, bytes]] = {}

    def read(self, election: str, timeout: float) -> tuple[int | None, bytes]:
        return self._kept.get(election, (None, b""))

    def write(self, election: str, data: bytes, version: int | None, timeout: float) -> int | None:
        present = self._kept.get(election, (None, b""))[0]
        if present != version:
            return None
        self._kept[election] = (version or 0) + 1, data
        return (version or 0) + 1


_FEATURES: dict[type[Feature], type[Feature]] = {
    Campaigns: _Campaigns,
    Checkers: _Passing,
    ConfigStores: KeptStores,
    Configs: KeptConfigs,
    Counters: GrantedCounters,
    Discovery: _Services,
    Locks: GrantedLocks,
    Observers: _Observers,
    Overrides: _Overrides,
    Records: _Records,
    Registrar: _Registrations,
    ShardReads: GrantedReads,
    Sharding: GrantedShards,
    Sharing: _Sharing,
}


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
