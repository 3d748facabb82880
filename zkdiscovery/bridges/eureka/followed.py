"""All instances of a Eureka, kept in step by its list of changes.

Guarantees
- The list of changes counts only if Eureka's hash of all instances agrees afterwards; else everything is read.
- Everything is read after each fault, after a change of servers, and every `FULL` seconds, because the hash counts
  statuses and nothing else.
- Instances that are missing after a fault, or after the server has restarted, are awaited until their heartbeats must
  have come: the list is not settled before.
- `take` never answers with what was known before a fault, which is noticed within 30 s.
- Questions follow each other ever more slowly, up to `LONGEST_PAUSE` seconds, while they fail or take long.

Threads: one asks, and calls `changed`. The methods may be called on any thread.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from zkdiscovery.bridges.eureka.api import EurekaApi
from zkdiscovery.bridges.eureka.objects import (
    MARK,
    RENEWAL,
    Json,
    Name,
    applications_of,
    changed_by,
    hashcode_of,
    metadata_of,
    renewal_of,
)
from zkdiscovery.bridges.in_step import Fault, InStep
from zkdiscovery.bridges.source import SourceRefused, SourceUnavailable
from zkdiscovery.threads import start_thread

log = logging.getLogger("zkdiscovery.bridges.eureka")

PAUSE = 0.4  # seconds between two questions
LONGEST_PAUSE = 5.0  # seconds
REFUSED_PAUSE = 10.0  # seconds
FULL = 30.0  # seconds after which everything is read
CACHE = 30.0  # seconds until Eureka shows a new instance, by default


@dataclass(frozen=True, slots=True)
class Known:
    """What is known.

    Attributes:
        instances: all that Eureka lists.
        awaited: instances that were listed before a fault, and may still come back.
        faults: grows with each fault.
    """

    instances: Mapping[Name, Json]
    awaited: frozenset[Name]
    faults: int


class Followed:
    """All instances.

    Args:
        api: of Eureka.
        changed: called after a change, after a fault, and after the end of a fault.
        cache: seconds until the server shows a new instance.
    """

    def __init__(self, api: EurekaApi, changed: Callable[[], None], cache: float = CACHE) -> None:
        self._api = api
        self._changed = changed
        self._cache = cache
        self._step: InStep[Known] = InStep(api.where)
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        # Of the thread alone:
        self._faults = 0
        self._instances: Mapping[Name, Json] = {}
        self._doubtful = True  # something may have been missed
        self._full_at = 0.0  # monotonic seconds
        self._where, self._version = "", 0  # of the last list of changes
        self._settled: Mapping[Name, Json] = {}  # the imported ones when nothing was awaited
        self._await_until = 0.0  # monotonic seconds

    def start(self) -> None:
        """Begin, if it has not begun.

        Raises:
            NoThreadAvailable: the system has no thread to give.
        """
        if self._thread is None:
            self._thread = start_thread(self._run, "zkdiscovery-eureka")

    def take(self, deadline: float) -> Known:
        """Return what is known, in step with Eureka. Waits for that until `deadline` (monotonic seconds).

        Raises:
            SourceUnavailable: it is not in step.
            SourceRefused: a right is missing.
        """
        return self._step.take(deadline)

    def close(self) -> None:
        """End it. Waits for nothing; the call under way ends with the connection."""
        self._closed.set()

    # -- its thread --

    def _run(self) -> None:
        failures = 0
        while not self._closed.is_set():
            began = time.monotonic()
            fault: Fault | None = None
            try:
                self._ask(began)
            except (SourceUnavailable, SourceRefused) as error:
                fault = error
            except Exception as error:
                log.exception("the answers of %s can't be read", self._api.where)
                fault = SourceUnavailable(f"the answers of {self._api.where} can't be read: {error!r}")
            pause = max(PAUSE, min(LONGEST_PAUSE, time.monotonic() - began))  # at most half of the time
            failures = 0 if fault is None else failures + 1
            if fault is not None:
                self._doubtful = True
                pause = min(LONGEST_PAUSE / 2, PAUSE * 2 ** min(failures - 1, 10)) * random.uniform(0.5, 1.0)
                pause = REFUSED_PAUSE if isinstance(fault, SourceRefused) else pause
            self._settle(fault)
            self._closed.wait(pause)

    def _ask(self, now: float) -> None:
        """Bring the instances in step."""
        answer = self._api.delta()
        delta = None
        if answer is not None:
            delta = applications_of(answer)
            moved = answer.where != self._where
            if not moved and delta.version < self._version:
                log.warning("%s has restarted", answer.where)
            self._doubtful = self._doubtful or moved or delta.version < self._version
            self._where, self._version = answer.where, delta.version
        if delta is not None and not self._doubtful and now - self._full_at < FULL:
            self._instances = changed_by(self._instances, delta)
            if hashcode_of(self._instances) != delta.hashcode:
                self._read_all(now)
        else:
            self._read_all(now)

    def _read_all(self, now: float) -> None:
        found = applications_of(self._api.apps()).instances
        self._instances = found
        self._full_at = now
        if self._doubtful:
            self._doubtful = False
            if self._settled.keys() - found.keys():
                renewal = max((renewal_of(each) for each in self._settled.values()), default=RENEWAL)
                self._await_until = time.monotonic() + renewal + self._cache

    def _settle(self, fault: Fault | None) -> None:
        """Take over what was read, or a fault."""
        awaited: frozenset[Name] = frozenset()
        if fault is None:
            if time.monotonic() < self._await_until:
                awaited = frozenset(self._settled.keys() - self._instances.keys())
            if not awaited:
                self._await_until = 0.0
                self._settled = {name: each for name, each in self._instances.items() if MARK not in metadata_of(each)}
        known = Known(self._instances, awaited, self._faults) if fault is None else None
        differs = self._step.settle(known, fault)
        if fault is not None and differs:
            self._faults += 1
        if differs and not self._closed.is_set():
            self._changed()
