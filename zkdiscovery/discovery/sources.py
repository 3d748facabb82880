"""The sources of bridges that instances name: are they followed, and since when not?

A view that holds no instance of a bridge costs nothing here. For each source that one of a client's services names, the
client follows the children of one node: the bridges that run, and whether the source is away.

Threads: `follow` and `unfollow` are called on any thread; all else runs on the loader's worker.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from zkdiscovery.core import Core, Feature, Phase
from zkdiscovery.errors import InvalidName
from zkdiscovery.session import Stat
from zkdiscovery.znodes import AWAY, Delta, WatchedChildren

log = logging.getLogger("zkdiscovery.discovery")

OnSource = Callable[[str, str], None]  # the name of a source; why its instances are suspects, "" if they are not

_LARGEST = 64 * 1024  # bytes of a child that are read
_LONGEST = 300  # characters of a reason


class Away(NamedTuple):
    """A source that can't be reached: since when, in seconds since the epoch, and why."""

    since: float
    why: str


class Trouble(NamedTuple):
    """What is wrong with a source, and since when, in monotonic seconds."""

    since: float
    why: str


class Sources(Feature):
    """The sources that one client follows."""

    phase = Phase.VIEWS

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        self._lock = threading.Lock()
        self._followed: dict[str, _Source] = {}

    def follow(self, name: str, listener: OnSource) -> None:
        """Call `listener` when the instances of a source become suspects, and when they are none any more."""
        with self._lock:
            found = self._followed.get(name)
            if found is None:
                try:
                    path = self.core.paths.bridge(name)
                except InvalidName:  # whoever wrote that is no bridge
                    return
                found = self._followed[name] = _Source(self.core, name, path)
            found.listeners = (*found.listeners, listener)
        found.schedule()

    def unfollow(self, name: str, listener: OnSource) -> None:
        """Call it no more. Never blocks."""
        with self._lock:
            found = self._followed.get(name)
            if found is None:
                return
            found.listeners = tuple(each for each in found.listeners if each != listener)
            if found.listeners:
                return
            del self._followed[name]
        found.close()

    def begin_close(self, deadline: float) -> None:  # noqa: ARG002 - it is quick
        with self._lock:
            followed, self._followed = self._followed, {}
        for each in followed.values():
            each.close()


class _Source:
    """One source. Attributes: listeners: replaced, never changed."""

    def __init__(self, core: Core, name: str, path: str) -> None:
        self.listeners: tuple[OnSource, ...] = ()
        self._name = name
        self._timeout = core.settings.source_timeout
        self._worker = core.loader.worker
        self._children: dict[str, Away | None] = {}  # None: a bridge
        self._unread = False  # there are children that we may not read: bridges of other users
        self._loaded = False
        self._closed = False
        self._trouble: Trouble | None = None
        self._told: dict[OnSource, str] = {}
        self._watched = WatchedChildren(core.loader, path, _decode, self._on_change, largest=_LARGEST)

    def close(self) -> None:
        """Follow it no more. Never blocks."""
        self._closed = True
        self._watched.close()
        self._worker.cancel(self)

    def schedule(self, delay: float = 0.0) -> None:
        """Look what there is to tell."""
        if not self._closed:
            self._worker.schedule(self, self._tell, delay)

    # -- the worker --

    def _on_change(self, delta: Delta[Away | None]) -> None:
        for name in delta.removed:
            self._children.pop(name, None)
        self._children.update(delta.changed)
        self._unread = bool(delta.rejected)
        self._loaded = self._loaded or delta.reloaded
        self._trouble = self._look(time.monotonic())
        self._tell()

    def _look(self, now: float) -> Trouble | None:
        """Return what is wrong. A trouble that follows another one goes on: the instances were not renewed between."""
        away = self._children.get(AWAY)
        if away is not None:
            since, why = now - max(0.0, time.time() - away.since), f"it can't be reached: {away.why}"
        elif self._children or self._unread:
            return None
        else:
            since, why = now, "no bridge follows it"
        return Trouble(since if self._trouble is None else min(since, self._trouble.since), why)

    def _tell(self) -> None:
        """Tell each listener what it does not know."""
        trouble, why = self._trouble, ""
        if self._closed or not self._loaded:
            return
        if trouble is not None:
            left = trouble.since + self._timeout - time.monotonic()
            if left <= 0:
                why = trouble.why
            else:
                self.schedule(left)
        before, self._told = self._told, dict.fromkeys(self.listeners, why)
        if why and why not in before.values():
            log.warning("the instances of %s are suspects: %s", self._name, why)
        for listener in self.listeners:
            if before.get(listener, "") != why:
                listener(self._name, why)


def _decode(name: str, data: bytes, _stat: Stat) -> Away | None:
    """Return what a child says. The data is untrusted: what can't be read is away since now."""
    if name != AWAY:
        return None
    try:
        found = json.loads(data)
        since, why = float(found["since"]), str(found["why"])
    except (ValueError, TypeError, KeyError, RecursionError):
        since, why = time.time(), "the bridge does not say why"
    return Away(since, why[:_LONGEST])
