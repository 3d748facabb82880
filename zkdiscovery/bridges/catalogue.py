"""All instances of a namespace, by what a bridge asks of them: who wrote them, and which run they name.

Threads: changes come on the loader's worker, which keeps the tables; any thread reads them, under the lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from zkdiscovery.bridges.naming import Key, is_run_of
from zkdiscovery.codecs import MAX_DATA_BYTES
from zkdiscovery.core import Core
from zkdiscovery.model import Instance
from zkdiscovery.session import Stat, State
from zkdiscovery.znodes import Delta, WatchedChildren


class Entry(NamedTuple):
    """An instance as it stands in ZooKeeper."""

    instance: Instance
    stat: Stat

    @property
    def runtime(self) -> str | None:
        """The run that it names, if it was registered inside a container; None for what a bridge imported."""
        return None if self.instance.source is not None else self.instance.runtime


class Catalogue:
    """Follows all services of a client's namespace.

    Args:
        core: of the client.
        changed: called after each change that concerns a bridge of the source; must not block.
        source: name of the source.
        everything: call it after each change of any instance, because the source shows them to others.
    """

    def __init__(self, core: Core, changed: Callable[[], None], source: str, *, everything: bool) -> None:
        self._core = core
        self._changed = changed
        self._source = source
        self._everything = everything
        self._lock = threading.Lock()
        self._closed = False
        self._services: dict[str, WatchedChildren[Entry]] = {}
        self._entries: dict[str, dict[str, Entry]] = {}  # by service and id
        self._by_source: dict[str, dict[Key, Entry]] = {}
        self._by_run: dict[str, dict[Key, Entry]] = {}  # by the part in front of the first slash
        self._names = WatchedChildren(core.loader, core.paths.services(), _nothing, self._on_services)

    @property
    def complete(self) -> bool:
        """True if all of it is in step with the present connection, but for what ZooKeeper does not let us read."""
        session = self._core.session
        generation = session.generation
        with self._lock:
            sets: list[WatchedChildren[Any]] = [self._names, *self._services.values()]
        return session.state is State.CONNECTED and all(
            each.generation == generation or each.error is not None for each in sets
        )

    def services(self) -> frozenset[str]:
        """The names of all services that have a node."""
        with self._lock:
            return frozenset(self._services)

    def of_source(self, source: str) -> dict[Key, Entry]:
        """Everything that the bridges of a source have written."""
        with self._lock:
            return dict(self._by_source.get(source, {}))

    def of_run(self, runtime: str) -> dict[Key, Entry]:
        """Everything that was registered in a run, or in a part of it."""
        with self._lock:
            found = self._by_run.get(runtime.partition("/")[0], {})
            return {key: entry for key, entry in found.items() if is_run_of(entry.runtime or "", runtime)}

    def registered(self) -> dict[str, list[Instance]]:
        """The instances of all services that no bridge has written."""
        with self._lock:
            return {
                service: [entry.instance for entry in entries.values() if entry.instance.source is None]
                for service, entries in self._entries.items()
            }

    def _is_closed(self) -> bool:
        with self._lock:
            return self._closed

    def close(self) -> None:
        """Follow nothing any more. Never blocks."""
        with self._lock:
            self._closed = True
            sets: list[WatchedChildren[Any]] = [self._names, *self._services.values()]
        for each in sets:
            each.close()

    # -- the worker --

    def _on_services(self, delta: Delta[None]) -> None:
        if self._is_closed():
            return
        with self._lock:
            gone = {name: self._services.pop(name) for name in delta.removed if name in self._services}
            for name in gone:
                self._replace(name, {}, list(self._entries.pop(name, {})))
            new = [name for name in delta.changed if name not in self._services]
        for each in gone.values():
            each.close()
        for name in new:
            children = WatchedChildren(
                self._core.loader,
                f"{self._core.paths.services()}/{name}",
                partial(self._decode, name),
                partial(self._on_instances, name),
                largest=MAX_DATA_BYTES,
            )
            with self._lock:
                self._services[name] = children
            if self._is_closed():
                children.close()
        self._changed()

    def _decode(self, service: str, name: str, data: bytes, stat: Stat) -> Entry:
        return Entry(self._core.codec.decode(service, name, data), stat)

    def _on_instances(self, service: str, delta: Delta[Entry]) -> None:
        with self._lock:
            if service not in self._services:
                return
            concerned = self._replace(service, delta.changed, [*delta.removed, *delta.changed])
        if concerned or delta.reloaded:
            self._changed()

    def _replace(self, service: str, new: dict[str, Entry], old: list[str]) -> bool:
        """Put entries in the place of others. True if that concerns the bridge. The caller holds the lock."""
        entries = self._entries.setdefault(service, {})
        concerned = self._everything
        for name in old:
            if (entry := entries.pop(name, None)) is not None:
                concerned = concerned or self._concerns(entry)
                for table, place in self._places(entry):
                    del table[place][Key(service, name)]
                    if not table[place]:
                        del table[place]
        for name, entry in new.items():
            entries[name] = entry
            concerned = concerned or self._concerns(entry)
            for table, place in self._places(entry):
                table.setdefault(place, {})[Key(service, name)] = entry
        if not entries:
            del self._entries[service]
        return concerned

    def _concerns(self, entry: Entry) -> bool:
        return entry.instance.source == self._source or entry.runtime is not None

    def _places(self, entry: Entry) -> list[tuple[dict[str, dict[Key, Entry]], str]]:
        places = []
        if entry.instance.source is not None:
            places.append((self._by_source, entry.instance.source))
        if entry.runtime is not None:
            places.append((self._by_run, entry.runtime.partition("/")[0]))
        return places


def _nothing(_name: str, _data: bytes, _stat: Stat) -> None:
    """Read nothing: the node of a service holds nothing of ours."""
