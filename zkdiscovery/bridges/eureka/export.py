"""Registers our instances in a Eureka, and renews their leases.

- The key `zkdiscovery-registry` in the metadata names the registry that an instance came from. Nothing else is touched.
- Only `write`, which the bridge that leads calls, registers anything. A heartbeat for what is not registered any more
  forgets it, and asks for the next `write`. So a bridge that leads no more never brings back what the next one removed.
- Each lease is renewed every `RENEWAL` seconds, at moments of its own. A bridge that takes over finds the instances
  there, and goes on with the heartbeats; they outlive `DURATION` seconds without a bridge.

Threads: the bridge's thread calls `write`; a thread of its own renews the leases.
"""

from __future__ import annotations

import heapq
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from zkdiscovery.bridges.eureka.api import EurekaApi
from zkdiscovery.bridges.eureka.exported import RENEWAL, half_way, revision_of, wanted
from zkdiscovery.bridges.eureka.followed import Known
from zkdiscovery.bridges.eureka.objects import MARK, Json, Name, metadata_of
from zkdiscovery.bridges.source import SourceRefused, SourceUnavailable
from zkdiscovery.model import Instance, Status
from zkdiscovery.threads import start_thread

log = logging.getLogger("zkdiscovery.bridges.eureka")

WRITE_LIMIT = 10.0  # seconds after which `write` lets the bridge look around
FAULT_PAUSE = 2.0  # seconds after a heartbeat without an answer
_STICKY = (Status.UP.value, Status.OUT_OF_SERVICE.value)


@dataclass(frozen=True, slots=True)
class Lease:
    """What was registered."""

    revision: str
    status: str


class Exports:
    """What of ours is registered there.

    Args:
        api: of Eureka.
        changed: called when something is to be registered again.
    """

    def __init__(self, api: EurekaApi, changed: Callable[[], None]) -> None:
        self._api = api
        self._changed = changed
        self._ready = threading.Condition()
        self._leases: dict[Name, Lease] = {}
        self._due: list[tuple[float, Name]] = []  # a heap, by monotonic seconds
        self._scheduled: set[Name] = set()
        self._gone: set[Name] = set()  # Eureka may list them from its cache, but has them no more
        self._closed = False
        self._thread: threading.Thread | None = None
        self._faults = 0

    def write(self, services: Mapping[str, Sequence[Instance]], registry: str, known: Known) -> dict[str, str]:
        """Register exactly these instances, and deregister what this registry had registered before.

        Args:
            services: instances by the name of the service.
            registry: what tells it from other registries; the same for all of its bridges.
            known: what Eureka lists.

        Returns:
            reason by `SERVICE/INSTANCE` or `SERVICE` for what Eureka does not take.

        Raises:
            SourceUnavailable: no server answers.
            SourceRefused: a right is missing.
        """
        deadline = time.monotonic() + WRITE_LIMIT
        plan = wanted(services, registry)
        ours = {name: each for name, each in known.instances.items() if metadata_of(each).get(MARK) == registry}
        if known.faults != self._faults:  # it may have lost all
            self._faults = known.faults
            with self._ready:
                self._leases.clear()
        problems = plan.problems
        with self._ready:
            leases = dict(self._leases)
            self._gone &= ours.keys()
            gone = set(self._gone)
        for name in (leases.keys() | ours.keys() - gone) - plan.instances.keys():
            if time.monotonic() > deadline:
                break
            self._forget(name)
            self._api.deregister(*name)
            with self._ready:
                self._gone.add(name)
        for name, instance in plan.instances.items():
            lease = leases.get(name)
            there = None if name in gone else ours.get(name)
            revision = revision_of(instance) or ""
            if lease is None and there is not None and revision_of(there) == revision:
                self._keep(name, instance)
            elif lease is None or lease.revision != revision:
                if time.monotonic() > deadline:
                    break
                before = lease.status if lease is not None else None if there is None else ""
                if reason := self._register(name, instance, before):
                    problems[plan.sources[name]] = reason
        if time.monotonic() > deadline:
            self._changed()  # the rest comes with the next call
        return problems

    def close(self) -> None:
        """Renew nothing any more. Waits for nothing."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()

    def _register(self, name: Name, instance: Json, before: str | None) -> str:
        """Register an instance that had that status, empty: any, None: it was not there. Return why it is refused."""
        status = instance["status"]
        if before is not None and status in _STICKY and before != status:
            # Between these two, Eureka keeps the status that a lease has.
            self._api.register(name.app, half_way(instance))
        reason = self._api.register(name.app, instance)
        if not reason:
            self._keep(name, instance)
        return reason

    def _keep(self, name: Name, instance: Json) -> None:
        """Renew its lease from now on."""
        with self._ready:
            self._leases[name] = Lease(revision_of(instance) or "", instance["status"])
            self._gone.discard(name)
            if name not in self._scheduled:
                self._scheduled.add(name)
                heapq.heappush(self._due, (time.monotonic() + random.uniform(0.1, 1.0) * RENEWAL, name))
            if self._thread is None:
                self._thread = start_thread(self._renew, "zkdiscovery-eureka-leases")
            self._ready.notify_all()

    def _forget(self, name: Name) -> None:
        with self._ready:
            self._leases.pop(name, None)

    # -- its thread --

    def _renew(self) -> None:
        while (name := self._next()) is not None:
            try:
                registered = self._api.renew(*name)
            except (SourceUnavailable, SourceRefused) as error:
                log.debug("a lease can't be renewed: %s", error)
                self._schedule(name, random.uniform(0.5, 1.0) * FAULT_PAUSE)
                with self._ready:
                    self._ready.wait_for(lambda: self._closed, FAULT_PAUSE / 4)
                continue
            except Exception:
                log.exception("the lease of %s can't be renewed", name.id)
                registered = True
            if registered:
                self._schedule(name, RENEWAL)
            else:
                self._forget_lost(name)

    def _next(self) -> Name | None:
        """Wait for the next lease that is to be renewed; None at the end."""
        with self._ready:
            while not self._closed:
                left = self._due[0][0] - time.monotonic() if self._due else None
                if left is not None and left <= 0:
                    name = heapq.heappop(self._due)[1]
                    if name in self._leases:
                        return name
                    self._scheduled.discard(name)
                else:
                    self._ready.wait(left)
            return None

    def _schedule(self, name: Name, seconds: float) -> None:
        with self._ready:
            heapq.heappush(self._due, (time.monotonic() + seconds, name))

    def _forget_lost(self, name: Name) -> None:
        """Forget what is not registered any more. It is registered again if it is still wanted."""
        with self._ready:
            self._scheduled.discard(name)
            self._gone.add(name)
            lost = self._leases.pop(name, None) is not None
        if lost:
            self._changed()
