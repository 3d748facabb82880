"""One list of Consul, kept in step by blocking queries.

Guarantees
- Each fault ends in a new question: no answer, nonsense, an index that is no number above 0.
- `take` never answers with what was known before a fault.
- A connection that says nothing is noticed within `SILENCE` seconds.
- Attempts that fail, and answers that come at once without a change, follow each other ever more slowly, up to
  `LONGEST_PAUSE` seconds, or `REFUSED_PAUSE` where a right is missing.
- After an index that falls the next question starts anew at 0, and `fell` is called.
- A question at 0 asks for consistency: a server that was restarted and replays its log answers others with a part.

Threads: each has one of its own, which calls `changed` and `fell`. The methods may be called on any thread.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from zkdiscovery.bridges.consul.api import ConsulApi
from zkdiscovery.bridges.http import Answer
from zkdiscovery.bridges.in_step import Fault, InStep
from zkdiscovery.bridges.source import SourceRefused, SourceUnavailable
from zkdiscovery.threads import start_thread

T = TypeVar("T")

log = logging.getLogger("zkdiscovery.bridges.consul")

WAIT = 15  # seconds after which Consul answers without a change; it adds up to a 16th
SILENCE = 22.0  # seconds
FIRST_PAUSE, LONGEST_PAUSE, REFUSED_PAUSE = 0.1, 1.5, 10.0  # seconds
_INDEX = "X-Consul-Index"


@dataclass(frozen=True, slots=True)
class Taken(Generic[T]):
    """What a list said.

    Attributes:
        value: of the list.
        index: grows with each change of the list.
        faults: how many there were before.
    """

    value: T
    index: int
    faults: int


class Poll(Generic[T]):
    """One list.

    Args:
        api: of Consul.
        path: of the list.
        parse: makes the value of an answer; raises SourceUnavailable for nonsense.
        changed: called after the list changed, after a fault, and after the end of a fault.
        fell: called before `changed` if the index fell: Consul has lost data.
    """

    def __init__(
        self,
        api: ConsulApi,
        path: str,
        parse: Callable[[Answer], T],
        changed: Callable[[], None],
        fell: Callable[[], None],
    ) -> None:
        self._api = api
        self._path = path
        self._parse = parse
        self._changed = changed
        self._fell = fell
        self._step: InStep[Taken[T]] = InStep(api.where)
        self._index = 0  # of the last answer; used by its own thread alone, as are the faults
        self._faults = 0
        self._pace = 0.0
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, if it has not begun.

        Raises:
            NoThreadAvailable: the system has no thread to give.
        """
        if self._thread is None:
            self._thread = start_thread(self._run, f"zkdiscovery-consul-{self._path.rpartition('/')[2]}")

    def take(self, deadline: float) -> Taken[T]:
        """Return the list, in step with Consul. Waits for that until `deadline` (monotonic seconds).

        Raises:
            SourceUnavailable: it is not in step.
            SourceRefused: a right is missing.
        """
        return self._step.take(deadline)

    def slow_down(self, seconds: float) -> None:
        """Wait for so long after each change, so that changes which follow each other are read together."""
        self._pace = seconds

    def close(self) -> None:
        """End it. Waits for nothing; the call under way ends with the connection."""
        self._closed.set()

    def _run(self) -> None:
        index = failures = early = 0
        while not self._closed.is_set():
            began = time.monotonic()
            try:
                found = self._ask(index)
            except (SourceUnavailable, SourceRefused) as error:
                fault: Fault = error
            except Exception as error:
                log.exception("%s of %s can't be read", self._path, self._api.where)
                fault = SourceUnavailable(f"{self._path} can't be read: {error!r}")
            else:
                failures = 0
                # An answer at once without a change, again and again, would be a loop without a pause.
                idle = found.index == index and time.monotonic() - began < WAIT / 2
                early = early + 1 if idle else 0
                index = self._note(found)
                self._pause(early, LONGEST_PAUSE) if early else self._closed.wait(self._pace)
                continue
            failures, index = failures + 1, 0
            self._faults += 1
            self._settle(None, fault)
            self._pause(failures, REFUSED_PAUSE if isinstance(fault, SourceRefused) else LONGEST_PAUSE)

    def _pause(self, count: int, limit: float) -> None:
        self._closed.wait(min(limit, FIRST_PAUSE * 2 ** min(count - 1, 10)) * random.uniform(0.5, 1.0))

    def _ask(self, index: int) -> Taken[T]:
        query = {"index": index, "wait": f"{WAIT}s"} if index else {"consistent": ""}
        answer = self._api.get(self._path, query, SILENCE)
        given = answer.headers.get(_INDEX, "")
        if not (given.isascii() and given.isdigit() and int(given) > 0):
            raise SourceUnavailable(f"{self._api.where} answers without an index: {_INDEX} is {given[:40]!r}")
        return Taken(self._parse(answer), int(given), self._faults)

    def _note(self, found: Taken[T]) -> int:
        """Take over an answer. Return the index to ask with."""
        fell = found.index < self._index
        self._index = found.index
        if fell:
            log.warning("the index of %s at %s fell: it has lost data", self._path, self._api.where)
            self._fell()
        self._settle(found, None)
        return 0 if fell else found.index

    def _settle(self, found: Taken[T] | None, fault: Fault | None) -> None:
        if self._step.settle(found, fault) and not self._closed.is_set():
            self._changed()
