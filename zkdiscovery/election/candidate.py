"""The candidates of an election as anybody can see them, and the leader among them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from zkdiscovery.election.cards import CARD
from zkdiscovery.errors import UndecodableNode
from zkdiscovery.lifecycle import MAX_ID
from zkdiscovery.session import Stat
from zkdiscovery.threads import Subscribers, Subscription
from zkdiscovery.znodes import Delta, Loader, WatchedChildren

_MAX_DATA = 4096  # bytes of a candidate's node that are read


@dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate of an election.

    Attributes:
        id: what it calls itself; `<hostname>:<pid>:<start>` by default; empty if that can't be read.
        fence: the fence of its term, once it leads.
    """

    id: str
    fence: int


def encode(id: str) -> bytes:
    """Return the data of a candidate's node."""
    return json.dumps({"id": id}, separators=(",", ":")).encode()


def decode(data: bytes, fence: int) -> Candidate:
    """Return the candidate behind a node. The data is untrusted: if it can't be read, the id is empty."""
    try:
        value = json.loads(data[:_MAX_DATA])["id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        value = ""
    return Candidate(value[:MAX_ID] if isinstance(value, str) and value.isprintable() else "", fence)


class Observer:
    """Tells subscribers who leads, on the client's dispatcher thread.

    Args:
        loader: reads the candidates.
        path: where they stand.
        subscribers: are told when another candidate leads, and of the present leader once that is known.
    """

    def __init__(self, loader: Loader, path: str, subscribers: Subscribers[Candidate | None]) -> None:
        self._lock = threading.Lock()
        self._subscribers = subscribers
        self._known = False  # the first load is complete
        self._leader: Candidate | None = None
        self._candidates: dict[str, Candidate] = {}  # used by the loader's worker only
        self._children = WatchedChildren(loader, path, _decode, self._on_change)

    def subscribe(self, fn: Callable[[Candidate | None], object]) -> Subscription[Candidate | None]:
        """Call `fn(leader)` when another candidate leads, and for the present one.

        Raises:
            TypeError: `fn` is no plain callable.
        """
        with self._lock:  # a later leader can't overtake this one
            return self._subscribers.subscribe(fn, *([self._leader] if self._known else []))

    def close(self) -> None:
        """Stop observing. Never blocks."""
        self._children.close()

    def _on_change(self, delta: Delta[Candidate]) -> None:
        """Take a change of the candidates (worker of the loader)."""
        for name in delta.removed:
            self._candidates.pop(name, None)
        self._candidates.update(delta.changed)
        leader = self._first()
        with self._lock:
            if self._known and leader == self._leader:
                return
            self._known, self._leader = True, leader
            self._subscribers.offer(leader)

    def _first(self) -> Candidate | None:
        """Return the candidate in the first place, with the id on its card if there is one (worker of the loader)."""
        places = [(candidate.fence, name) for name, candidate in self._candidates.items() if not name.endswith(CARD)]
        if not places:
            return None
        fence, name = min(places)
        return replace(self._candidates.get(f"{name}{CARD}", self._candidates[name]), fence=fence)


def _decode(_name: str, data: bytes, stat: Stat) -> Candidate:
    if not stat.ephemeral_owner:
        raise UndecodableNode("it is persistent, so nobody campaigns with it")
    return decode(data, stat.czxid)
