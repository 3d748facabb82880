"""What a Docker engine knows, as sources of a bridge: its containers, and the tasks of the Swarm that it manages.

`sources` tells which of the two an engine is. Each has a stream of events of its own on a thread of its own; everything
else runs on the thread of the bridge.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

from docker.errors import NotFound

from zkdiscovery.bridges.docker import containers, tasks
from zkdiscovery.bridges.docker.engine import Engine
from zkdiscovery.bridges.docker.events import Event, Events
from zkdiscovery.bridges.docker.labels import NAME, Wanted, parse
from zkdiscovery.bridges.docker.memory import Memory
from zkdiscovery.bridges.docker.place import MachineAddress, Place
from zkdiscovery.bridges.source import Death, Imported, Listing, Source, SourceUnavailable
from zkdiscovery.errors import InvalidInstance, InvalidName

_RELIST = 1.5  # seconds: a lost event of a container costs so much at most. Engines drop some for slow readers.
_RELIST_TASKS = 1.0  # seconds: managers send no events of tasks that run on other nodes
_REFRESH = 10.0  # seconds: a lost event of a service or a node costs so much at most


def sources(address: MachineAddress, own_container: str | None = None) -> list[Source]:
    """Return the sources that the engine of DOCKER_HOST, or of the context, is.

    Args:
        address: finds out the address of the engine's machine.
        own_container: id of the container that this process runs in, if it does.

    Raises:
        SourceUnavailable: the engine does not answer.
        SourceRefused: we have no right to ask.
    """
    engine = Engine()
    try:
        managed = _manages(engine.info())
    finally:
        engine.close()
    found: list[Source] = [EngineSource(address, own_container)]
    if managed:
        found.append(SwarmSource(address, own_container))
    return found


class _Engines:
    """The part that both sources share."""

    kind: str
    _types: Sequence[str]
    _actions: Sequence[str]

    def __init__(self, address: MachineAddress, own_container: str | None = None) -> None:
        self._address = address
        self._own_container = own_container
        self._engine = Engine()
        self._events = Events(self._engine, self._types, self._actions, self._note, self._missed)
        self.where = self._engine.where

    def subscribe(self, changed: Callable[[], None]) -> None:
        """See `Source.subscribe`."""
        self._events.start(changed)

    def list(self) -> Listing:
        """See `Source.list`."""
        return self._engine.call(self._list)

    def close(self) -> None:
        """See `Source.close`."""
        self._events.close()
        self._engine.close()

    def _note(self, event: Event) -> bool:
        """Take an event, on the thread of the events. False: it changes nothing."""
        raise NotImplementedError

    def _missed(self) -> None:
        """Take note that events may be missing, on the thread of the events."""

    def _list(self, api: Any) -> Listing:
        raise NotImplementedError

    def _own_networks(self, api: Any) -> frozenset[str] | None:
        """Return the ids of the networks that our own container is on; None if we are in none of this engine."""
        if self._own_container is None:
            return None
        found = api.containers(filters={"id": [self._own_container]})
        return frozenset(each.network for entry in found for each in containers.attached(entry)) if found else None


class EngineSource(_Engines):
    """The containers of one engine, without those of Swarm's tasks."""

    kind = "docker"
    clustered = False
    relist = _RELIST
    _types = ("container", "network")
    _actions = (
        "start", "kill", "die", "pause", "unpause", "rename", "health_status", "connect", "disconnect",
    )  # fmt: skip

    def __init__(self, address: MachineAddress, own_container: str | None = None) -> None:
        super().__init__(address, own_container)
        self._memory = Memory()

    def identity(self) -> str:
        """Return the engine's id; see `Source.identity`."""
        return _text(self._engine.info(), "ID")

    def _list(self, api: Any) -> Listing:
        own = self._own_networks(api)
        info = cache(api.info)  # asked for if an address of the machine is needed
        place = Place(
            lambda: self._address.find(info(), self._engine.remote, in_container=own is not None),
            self._address.local,
            own or frozenset(),
        )
        healthy = api.containers(filters={"status": ["running"], "health": ["healthy", "none"], "label": [NAME]})
        everything = api.containers(all=True)
        running = {each["Id"] for each in everything if each["State"] in containers.LIVE}
        ending = self._ending(api, running)
        found = _Found()
        for container in healthy:
            labels = container.get("Labels") or {}
            if container["Id"] in running and containers.TASK not in labels:
                draining = container["Id"] in ending
                make = partial(containers.imported, container, place=place, ending=draining)
                found.add(containers.name_of(container), labels, make)
        stopped = (Death(each["Id"]) for each in everything if each["State"] in {"exited", "dead"})
        deaths = [*self._memory.deaths(running), *stopped]
        shared = containers.shared_networks(everything)
        return found.listing([death for death in deaths if death.runtime not in shared])

    def _ending(self, api: Any, running: set[str]) -> set[str]:
        """Return those containers that were sent a signal that ends them."""
        ending = set()
        for container, (number, at) in self._memory.signals().items():
            if container in running and containers.ends_it(number, _inspected(api, container), at):
                ending.add(container)
            else:
                self._memory.forget_signal(container, at)
        return ending

    def _note(self, event: Event) -> bool:
        actor = event.get("Actor") or {}
        labels, action, number = actor.get("Attributes") or {}, event.get("Action"), actor.get("ID") or ""
        if event.get("Type") != "container":
            return True
        at = event.get("timeNano", 0) / 1e9
        if action == "kill":
            self._memory.note_signal(number, labels.get("signal", ""), at)
        elif action == "die":
            self._memory.note_death(number, at)
            return True  # what it registered itself must go, whatever its labels
        return NAME in labels


class SwarmSource(_Engines):
    """The tasks of a Swarm's services. The engine must be one of its managers.

    Managers tell each change of a service or a node, so that these are asked for after such an event alone, and every
    `_REFRESH` seconds. Of tasks on other nodes they tell nothing.
    """

    kind = "swarm"
    clustered = True
    relist = _RELIST_TASKS
    _types = ("container", "service", "node")
    _actions = ("start", "kill", "die", "health_status", "create", "update", "remove")

    def __init__(self, address: MachineAddress, own_container: str | None = None) -> None:
        super().__init__(address, own_container)
        self._stale = threading.Event()  # what is known of services and nodes is no more true
        self._stale.set()
        self._known_at = 0.0  # monotonic seconds
        self._services: Mapping[str, Any] = {}
        self._nodes: Mapping[str, Any] = {}
        self._shared: frozenset[str] = frozenset()

    def identity(self) -> str:
        """Return the Swarm's id; see `Source.identity`."""
        return _text(_managed(self._engine.info()), "ID")

    def list(self) -> Listing:
        """See `Source.list`."""
        try:
            return super().list()
        except BaseException:
            self._stale.set()  # another Swarm may answer next
            raise

    def _missed(self) -> None:
        self._stale.set()

    def _look_around(self, api: Any) -> None:
        """Ask for what tasks belong to, if it may have changed."""
        now = time.monotonic()
        if self._stale.is_set() or now - self._known_at >= _REFRESH:
            self._stale.clear()  # before: a change that comes meanwhile counts
            self._shared = self._own_networks(api) or frozenset()
            self._services = {each["ID"]: each for each in api.services()}
            self._nodes = {each["ID"]: each for each in api.nodes()}
            self._known_at = now

    def _list(self, api: Any) -> Listing:
        # The tasks come last: what they belong to is known by then, or is gone, or its event is on its way.
        self._look_around(api)
        services, nodes = self._services, self._nodes
        # Each task has the address of its node.
        place = Place(lambda: "", self._address.local, self._shared)
        found = _Found()
        deaths = []
        for task in api.tasks():
            if tasks.has_ended(task) and (container := tasks.container_of(task)):
                deaths.append(Death(container))
            service = services.get(task.get("ServiceID") or "")
            if service is not None and tasks.runs(task, nodes):
                make = partial(tasks.imported, task, service, nodes[task["NodeID"]], place=place)
                found.add(f"service {service['Spec']['Name']}", tasks.labels_of(service, task), make)
        return found.listing(deaths)

    def _note(self, event: Event) -> bool:
        if event.get("Type") == "container":
            return containers.TASK in ((event.get("Actor") or {}).get("Attributes") or {})
        self._stale.set()
        return True


class _Found:
    """The instances and problems of one list."""

    def __init__(self) -> None:
        self._instances: list[Imported] = []
        self._problems: dict[str, str] = {}

    def add(self, what: str, labels: Mapping[str, str], make: Callable[[Wanted], Imported]) -> None:
        """Add the instance of an object, if its labels ask for one; or else the problem with it."""
        try:
            wanted = parse(labels)
            if wanted is None:
                return
            self._instances.append(make(wanted))
            if wanted.unknown:
                self._problems[what] = f"no such label, ignored: {', '.join(wanted.unknown)}"
        except (InvalidInstance, InvalidName) as error:
            self._problems[what] = str(error)

    def listing(self, deaths: Sequence[Death]) -> Listing:
        """Return all of it."""
        return Listing(self._instances, self._problems, deaths)


def _inspected(api: Any, container: str) -> Mapping[str, Any]:
    """Return what the engine says of a container; nothing if it is gone."""
    try:
        details: Mapping[str, Any] = api.inspect_container(container)
    except NotFound:
        return {}
    return details


def _text(answer: Mapping[str, Any], key: str) -> str:
    value = answer.get(key)
    if not isinstance(value, str) or not value:
        raise SourceUnavailable("the Docker engine does not tell its id")
    return value


def _manages(info: Mapping[str, Any]) -> bool:
    return bool((info.get("Swarm") or {}).get("ControlAvailable"))


def _managed(info: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a manager says of its Swarm."""
    if not _manages(info):
        raise SourceUnavailable("the Docker engine is no manager of a Swarm now")
    cluster: Mapping[str, Any] = info["Swarm"].get("Cluster") or {}
    return cluster
