"""Objects of one kind, kept in step with the API server: list, then watch.

Guarantees
- Each fault ends in a new list: a stream that broke or ended before its time, a silence of more than `SILENCE` seconds,
  a version that the server has forgotten (410).
- `items` never answers with what was known before a fault.
- A half-open connection is noticed within `SILENCE` seconds: the server ends each watch earlier than that.
- Attempts that fail follow each other ever more slowly, up to `LONGEST_PAUSE` seconds, or `REFUSED_PAUSE` where a right
  is missing.

Threads: each has one of its own, which calls `changed` and `gone`. The methods may be called on any thread.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Generic, TypeVar

from urllib3.response import BaseHTTPResponse

from zkdiscovery.bridges.in_step import Fault, InStep
from zkdiscovery.bridges.kubernetes.api import Api, ApiError, Kind
from zkdiscovery.bridges.source import SourceRefused, SourceUnavailable
from zkdiscovery.threads import start_thread

T = TypeVar("T")

log = logging.getLogger("zkdiscovery.bridges.kubernetes")

WATCH = 20  # seconds after which the server ends a watch
SILENCE = 25.0  # seconds
FIRST_PAUSE, LONGEST_PAUSE, REFUSED_PAUSE = 0.1, 1.5, 10.0  # seconds
_PAGE = 500  # objects in one answer to a list


class Watched(Generic[T]):
    """The objects of one kind.

    Args:
        api: the server.
        kind: of the objects.
        namespace: theirs; None: all.
        parse: makes what is kept of an object; None: nothing is kept.
        changed: called after something changed, after a fault, and after the end of a fault.
        gone: called with what was kept of an object that was deleted.
    """

    def __init__(
        self,
        api: Api,
        kind: Kind,
        namespace: str | None,
        parse: Callable[[Mapping[str, Any]], T | None],
        changed: Callable[[], None],
        gone: Callable[[T], None] = lambda _: None,
    ) -> None:
        self._api = api
        self._kind = kind
        self._namespace = namespace
        self._parse = parse
        self._changed = changed
        self._gone = gone
        self._step: InStep[dict[str, T]] = InStep(api.where)
        self._items: dict[str, T] = {}  # by UID; the value, once it is in step
        self._closed = threading.Event()
        self._response: BaseHTTPResponse | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, if it has not begun.

        Raises:
            NoThreadAvailable: the system has no thread to give.
        """
        if self._thread is None:
            self._thread = start_thread(self._run, f"zkdiscovery-{self._kind.plural}")

    def items(self, deadline: float) -> list[T]:
        """Return what is there, in step with the server. Waits for that until `deadline` (monotonic seconds).

        Raises:
            SourceUnavailable: it is not in step.
            SourceRefused: a right is missing.
        """
        with self._step.lock:
            return list(self._step.take(deadline).values())

    def close(self) -> None:
        """End the stream. Waits for nothing."""
        self._closed.set()
        with self._step.lock:
            response = self._response
        if response is not None:
            _interrupt(response)

    def _run(self) -> None:
        failures = 0
        while not self._closed.is_set():
            began = time.monotonic()
            try:
                self._follow()
            except (SourceUnavailable, SourceRefused) as error:
                fault: Fault = error
            except Exception as error:
                log.exception("%s of %s can't be followed", self._kind.plural, self._api.where)
                fault = SourceUnavailable(f"{self._kind.plural} can't be read: {error!r}")
            else:
                return
            failures = 1 if time.monotonic() - began > WATCH else failures + 1
            self._settle(fault)
            limit = REFUSED_PAUSE if isinstance(fault, SourceRefused) else LONGEST_PAUSE
            self._closed.wait(min(limit, FIRST_PAUSE * 2 ** min(failures, 10)) * random.uniform(0.5, 1.0))

    def _settle(self, fault: Fault | None) -> None:
        if self._step.settle(None if fault else self._items, fault) and not self._closed.is_set():
            self._changed()

    def _follow(self) -> None:
        """List, then watch for as long as nothing fails. Returns only when it is closed."""
        version = self._list()
        while not self._closed.is_set():
            version = self._watch(version)

    def _list(self) -> str:
        """Take over what is there. Return the version from which to watch."""
        found: dict[str, T] = {}
        query: dict[str, object] = {"limit": _PAGE}
        while True:
            answer = self._api.call("list", self._kind, self._namespace, query=query)
            for item in answer.get("items") or ():
                kept = self._keep(item)
                if kept is not None:
                    found[item["metadata"]["uid"]] = kept
            token = answer["metadata"].get("continue")
            if not token:
                break
            query["continue"] = token
        with self._step.lock:
            before, self._items = self._items, found
        for uid in before.keys() - found.keys():
            self._gone(before[uid])
        return str(answer["metadata"]["resourceVersion"])

    def _watch(self, version: str) -> str:
        """Follow what happens until the server ends the stream. Return the version that was reached."""
        began = time.monotonic()
        seconds = random.randint(WATCH * 3 // 4, WATCH)
        query = {"resourceVersion": version, "allowWatchBookmarks": "true", "timeoutSeconds": seconds}
        try:
            with self._api.events(self._kind, self._namespace, query, SILENCE, self._note) as events:
                self._settle(None)
                for event in events:
                    self._take(event)
                    version = event["object"]["metadata"]["resourceVersion"]
        finally:
            self._note(None)
        if time.monotonic() - began < seconds / 2 and not self._closed.is_set():
            # An end at once, again and again, would be a loop without a pause.
            raise SourceUnavailable(f"{self._api.where} ended a watch of {self._kind.plural} before its time")
        return version

    def _note(self, response: BaseHTTPResponse | None) -> None:
        with self._step.lock:
            self._response = response
        if response is not None and self._closed.is_set():
            _interrupt(response)

    def _take(self, event: Mapping[str, Any]) -> None:
        """Take over one event."""
        found, kind = event["object"], event["type"]
        if kind == "ERROR":
            text = f"{self._api.where} ended a watch of {self._kind.plural}: {found.get('message')}"
            raise ApiError(text, found.get("code", 0), {})
        if kind == "BOOKMARK":
            return
        uid = found["metadata"]["uid"]
        kept = None if kind == "DELETED" else self._keep(found)
        with self._step.lock:
            before = self._items.get(uid)
            if kept is None:
                self._items.pop(uid, None)
            else:
                self._items[uid] = kept
        if before is not None and kind == "DELETED":
            self._gone(before)
        if before != kept or kept is None:  # what was exported is not kept, but somebody may have changed it
            self._changed()

    def _keep(self, found: Mapping[str, Any]) -> T | None:
        """Return what is kept of an object. One that can't be understood harms none of the others."""
        try:
            return self._parse(found)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            name = found["metadata"].get("name")
            log.warning("%s %s of %s can't be understood: %r", self._kind.plural, name, self._api.where, error)
            return None


def _interrupt(response: BaseHTTPResponse) -> None:
    """End a read that waits, on whatever thread."""
    with suppress(OSError, RuntimeError, ValueError):  # it has ended by itself
        response.shutdown()
