"""The stream of an engine's events, which is opened anew whenever it ends.

It runs on a thread of its own, which calls `note` for each event, `missed` after each reopening, and `changed` after
either. A stream that has been silent for `SILENCE` is opened anew as well: nothing tells a silent engine from a
half-open connection.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from docker.errors import DockerException
from docker.types import CancellableStream

from zkdiscovery.bridges.docker.engine import Engine
from zkdiscovery.bridges.source import SourceRefused, SourceUnavailable
from zkdiscovery.threads import start_thread

log = logging.getLogger("zkdiscovery.bridges")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0  # seconds between two attempts to open a stream
_SHORT = 1.0  # seconds: a stream that ended so early was none

Event = Mapping[str, Any]


class Events:
    """A stream of events.

    Args:
        engine: the engine.
        types: of the objects that it follows: `container`, `network`, `service`, `node`.
        actions: what happened to them. Without these the engine would send two events for each health check.
        note: is called with each event; returns False for one that changes nothing.
        missed: is called when a stream was opened anew, because events may be missing.
    """

    def __init__(
        self,
        engine: Engine,
        types: Sequence[str],
        actions: Sequence[str],
        note: Callable[[Event], bool],
        missed: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._filters = {"type": types, "event": actions}
        self._note = note
        self._missed = missed
        self._changed: Callable[[], None] = lambda: None
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._stream: CancellableStream | None = None
        self._since: str | None = None

    def start(self, changed: Callable[[], None]) -> None:
        """Open the stream, and follow it.

        Raises:
            SourceUnavailable: the engine does not answer.
            SourceRefused: we have no right to ask.
            NoThreadAvailable: the system has no thread to give.
        """
        self._changed = changed
        stream = self._opened()
        try:
            start_thread(lambda: self._follow(stream), "zkdiscovery-docker-events")
        except BaseException:
            _close(stream)
            raise

    def close(self) -> None:
        """End the stream. Its thread ends soon."""
        self._closing.set()
        with self._lock:
            if self._stream is not None:
                _close(self._stream)

    def _opened(self) -> CancellableStream:
        stream = self._engine.events(self._filters, self._since)
        with self._lock:
            self._stream = stream
            if self._closing.is_set():
                _close(stream)
        return stream

    def _follow(self, first: CancellableStream) -> None:
        stream: CancellableStream | None = first
        pause = _FIRST_PAUSE
        while stream is not None and not self._closing.is_set():
            began = time.monotonic()
            self._read(stream)
            _close(stream)
            # An engine that ends each stream at once must not be asked without a pause.
            pause = min(_LONGEST_PAUSE, 2 * pause) if time.monotonic() - began < _SHORT else 0.0
            stream = self._reopened(pause)

    def _read(self, stream: CancellableStream) -> None:
        try:
            for event in stream:
                if "timeNano" in event:
                    self._since = f"{event['timeNano'] // 10**9}.{event['timeNano'] % 10**9:09d}"
                if self._note(event):
                    self._changed()
        except Exception as error:  # noqa: BLE001 - whatever the other side sends
            log.debug("the stream of events broke: %s", error)

    def _reopened(self, pause: float) -> CancellableStream | None:
        """Open the stream again; None once it is closed."""
        while not self._closing.wait(pause * random.uniform(0.5, 1.0)):
            try:
                stream = self._opened()
            except (SourceUnavailable, SourceRefused) as error:
                log.debug("no stream of events: %s", error)
                pause = min(_LONGEST_PAUSE, max(_FIRST_PAUSE, 2 * pause))
                continue
            self._missed()
            self._changed()
            return stream
        return None


def _close(stream: CancellableStream) -> None:
    with contextlib.suppress(OSError, DockerException, AttributeError, ValueError):
        stream.close()
