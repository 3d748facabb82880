"""Consul as the source of a bridge: the services of one datacenter become ours.

Two blocking queries tell of changes: one of the catalogue's services, one of all checks. What they tell of is read
service by service, because only that answer has an instance and its checks as of one moment. A changed check costs one
request. A changed catalogue costs one for each service, because Consul does not say which one has changed; such
rounds take at most a fifth of the time. A service with a check does not wait for one, because its check tells of it.

Threads: one for each of the two, see `poll.py`; the bridge's thread calls the rest.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from zkdiscovery.bridges.consul.api import READ_RULE, ConsulApi
from zkdiscovery.bridges.consul.export import Exports
from zkdiscovery.bridges.consul.objects import (
    CONSUL,
    Check,
    Checks,
    checks_of,
    imported,
    items_of,
    names_of,
    node_of,
    what_is,
)
from zkdiscovery.bridges.consul.poll import Poll
from zkdiscovery.bridges.source import Imported, Listing, SourceRefused, SourceUnavailable
from zkdiscovery.model import Instance

log = logging.getLogger("zkdiscovery.bridges.consul")

SETTLING = 60.0  # seconds after a loss of data in which Consul's agents register again
RELIST = 60.0  # seconds after which everything is read again: a node's address changes without an event
SUBSCRIBE_LIMIT = 10.0  # seconds for the first lists
STEP_LIMIT = 2.0  # seconds that `list` waits for a query that is being restored
READ_LIMIT = 25.0  # seconds to read services; what was read by then counts the next time
_SHARE = 4  # a round of reads is followed by so many times its duration without one
_LONGEST_REST = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class Read:
    """What was read of one service.

    Attributes:
        entries: its instances with their checks.
        seen: the index of the catalogue, and the faults of the queries until then.
        checks: what was known of its checks.
        at: when, in monotonic seconds.
    """

    entries: Sequence[Any]
    seen: tuple[int, ...]
    checks: tuple[frozenset[Check], ...]
    at: float


class ConsulSource:
    """The services of the datacenter of an agent or server.

    Args:
        url: of the agent or server; None: that of CONSUL_HTTP_ADDR. All bridges of one Consul name the same one.

    Raises:
        InvalidSettings: the URL or the environment can't be used.
    """

    kind = "consul"
    clustered = True

    def __init__(self, url: str | None = None) -> None:
        self._api = ConsulApi(url)
        self.where = self._api.where
        self._tell: Callable[[], None] = _tell_nobody
        self._read: dict[str, Read] = {}
        self._lock = threading.Lock()
        self._settled = 0.0  # monotonic seconds
        self._unsettled = False  # the last list said so
        self._servers: frozenset[str] = frozenset()  # their node ids, which they lose with their data
        self._services = Poll(self._api, "/v1/catalog/services", names_of, self._changed, self._unsettle)
        self._checks = Poll(self._api, "/v1/health/state/any", checks_of, self._changed, self._unsettle)

    @property
    def relist(self) -> float:
        """Seconds after which to list without an event."""
        return max(1.0, self._settling()) if self._unsettled else RELIST

    def identity(self) -> str:
        """Return the URL and the datacenter. Consul has no id of its own that outlives the loss of its data."""
        servers = self._entries(CONSUL)
        if not servers:
            self._refuse_part()
        try:
            return f"{self.where} {servers[0]['Node']['Datacenter']}"
        except (LookupError, TypeError) as error:
            raise SourceUnavailable(f"{self.where} lists a server that can't be understood: {error!r}") from error

    def subscribe(self, changed: Callable[[], None]) -> None:
        """Start the blocking queries, and return once both have answered."""
        self._tell = changed
        deadline = time.monotonic() + SUBSCRIBE_LIMIT
        for poll in (self._services, self._checks):
            poll.start()
        for each in (self._services, self._checks):
            each.take(deadline)

    def list(self) -> Listing:
        """Return what is there. What was read before and has not changed since is not read again."""
        deadline = time.monotonic() + STEP_LIMIT
        services = self._services.take(deadline)
        taken = self._checks.take(deadline)
        checks, seen = taken.value, (services.index, services.faults, taken.faults)
        if CONSUL not in services.value:
            self._refuse_part()
        names = services.value.keys() | checks.of_service.keys()  # the catalogue may be at rest
        self._read = {name: read for name, read in self._read.items() if name in names}
        self._refresh([name for name in names if not self._is_fresh(name, seen, checks)], seen, checks)
        self._note_servers(self._read[CONSUL].entries)
        instances: list[Imported] = []
        problems: dict[str, str] = {}
        for name, read in self._read.items():
            if name == CONSUL:
                continue
            for entry in read.entries:
                try:
                    instance = imported(entry)
                except (AttributeError, LookupError, TypeError, ValueError) as error:
                    why = str(error) if isinstance(error, ValueError) else f"it can't be understood: {error!r}"
                    problems[what_is(entry)] = why
                    continue
                if instance is not None:
                    instances.append(instance)
        self._unsettled = self._settling() > 0
        if self._unsettled:
            problems[self.where] = (
                "it has lost data, so nothing is added or removed until its agents had time to return"
            )
        return Listing(instances, problems, settling=self._unsettled, returning=SETTLING)

    def close(self) -> None:
        """End the queries."""
        self._tell = _tell_nobody
        self._services.close()
        self._checks.close()
        self._api.close()

    # -- any thread --

    def _changed(self) -> None:
        self._tell()

    def _unsettle(self) -> None:
        with self._lock:
            self._settled = time.monotonic() + SETTLING

    def _settling(self) -> float:
        """Return the seconds until Consul's agents had the time to register again after a loss of data."""
        with self._lock:
            return self._settled - time.monotonic()

    # -- reading --

    def _is_fresh(self, name: str, seen: tuple[int, ...], checks: Checks) -> bool:
        read = self._read.get(name)
        return (
            read is not None
            and read.seen == seen
            and read.checks == checks.of(name, map(node_of, read.entries))
            and time.monotonic() - read.at < RELIST / 2
        )

    def _refresh(self, names: Sequence[str], seen: tuple[int, ...], checks: Checks) -> None:
        """Read services anew."""
        began = time.monotonic()
        gone = False
        for name in names:
            if time.monotonic() - began > READ_LIMIT:
                raise SourceUnavailable(f"{self.where} is slow: {len(names)} services are not read in {READ_LIMIT:g} s")
            entries = self._entries(name)
            gone = gone or not entries
            nodes = map(node_of, entries)
            self._read[name] = Read(entries, seen, checks.of(name, nodes), time.monotonic())
        if gone and not self._entries(CONSUL):
            self._read.clear()
            self._refuse_part()
        self._services.slow_down(min(_LONGEST_REST, _SHARE * (time.monotonic() - began)))

    def _note_servers(self, entries: Sequence[Any]) -> None:
        """Tell from the servers whether data were lost: the index may have grown past the former one meanwhile."""
        servers = frozenset(str(entry["Node"].get("ID")) for entry in entries)
        if self._servers and servers.isdisjoint(self._servers):
            log.warning("all servers of %s are others than before: they have lost their data", self.where)
            self._unsettle()
        self._servers = servers

    def _entries(self, name: str) -> Sequence[Any]:
        answer = self._api.get(f"/v1/health/service/{quote(name, safe='')}")
        entries = items_of(answer)
        try:
            for entry in entries:
                entry["Node"].items()
                node_of(entry)
        except (AttributeError, LookupError, TypeError) as error:
            raise SourceUnavailable(f"{self.where} lists an instance that can't be understood: {error!r}") from error
        return entries

    def _refuse_part(self) -> None:
        """Raise the error for a list without Consul's own servers, which is never the whole truth."""
        if self._api.checks_rights:
            text = "its lists lack even its own servers"
            raise SourceRefused(self._api.missing("read the catalogue", READ_RULE, text))
        raise SourceUnavailable(f"{self.where} lists not even its own servers yet")


class ExportingConsulSource(ConsulSource):
    """The same, and our services become services of an external node of the datacenter.

    Args:
        registry: returns the id of the registry, which marks what is exported.
        url: as of `ConsulSource`.

    Raises:
        InvalidSettings: as `ConsulSource`.
    """

    def __init__(self, registry: Callable[[], str], url: str | None = None) -> None:
        super().__init__(url)
        self._registry = registry
        self._exports = Exports(self._api)

    def export(self, services: Mapping[str, Sequence[Instance]]) -> Mapping[str, str]:
        """Make exactly these services visible in the datacenter."""
        return self._exports.write(services, self._registry())


def _tell_nobody() -> None:
    pass
