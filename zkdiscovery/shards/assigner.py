"""The assigner: one of the members, which writes the table. The first place in a queue is elected, as holder of a lock.

Threads: changes of the members come on the loader's worker; the worker of the owned nodes reads and writes the table.

Guarantees
- One assigner at a time writes: each table is written in one transaction with a check of its place in the queue, and
  only over the version that it was made from. ZooKeeper refuses all others.
- A table is made from the one before, see assignment.py. Without an assigner the last one stands.
- Members that join within `MERGE` seconds are seen to together. One that is gone is seen to at once, unless a table was
  written in the last `MERGE` seconds.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Mapping

from zkdiscovery.core import Core
from zkdiscovery.errors import AccessDenied, NodeChanged, UndecodableNode, ZkDiscoveryError
from zkdiscovery.session import SetData, State
from zkdiscovery.shards.place import ShardPlace
from zkdiscovery.shards.table import Card, Layout, decode_card, encode_table, ensure_table
from zkdiscovery.threads import Steps
from zkdiscovery.znodes import Delta, Hold, WatchedChildren, execute_writes

log = logging.getLogger("zkdiscovery.shards")

MERGE = 1.0  # seconds
RETRY_DELAY = 0.2  # seconds after a refusal on a standing connection
RIGHTS_DELAY = 10.0  # seconds after a refusal for the lack of a right, of whose return no event tells


class Assigner:
    """The place of one member among those that may write the table, until `end`."""

    def __init__(self, core: Core, layout: Layout, count: int) -> None:
        self._core = core
        self._layout = layout
        self._count = count
        self._lock = threading.Lock()
        self._ended = False
        self._turn: Turn | None = None  # while the place holds
        with self._lock:
            self._place = self._take_place()

    def end(self) -> None:
        """Write no more, and let the next one follow. Never blocks; idempotent."""
        with self._lock:
            self._ended = True
            turn, self._turn = self._turn, None
            place = self._place
        if turn is not None:
            turn.close()
        place.withdraw("the member has left")

    def leaving(self, timeout: float) -> Steps[None]:
        """After `end`, wait until the place is gone; without contact, return at once."""
        return self._place.leaving(timeout)

    def forked(self) -> None:
        """In a forked child: the place is the parent's."""
        self._place.forked()

    def _take_place(self) -> ShardPlace[Hold]:
        title = f"the assigner of {self._layout.title}"
        return ShardPlace(self._core, title, self._layout.assigner, Hold, self._on_place)

    def _on_place(self) -> None:
        self._core.worker.schedule((self, "follow"), self._follow_place)

    def _follow_place(self) -> None:
        """Assign while the place holds; take another one after it was lost (worker)."""
        with self._lock:
            before = self._turn
            if self._ended:
                return
            if self._place.over:
                self._turn = None
                self._place = self._take_place()
            elif not self._place.holds:
                self._turn = None
            elif before is None:
                self._turn = Turn(self._core, self._layout, self._count, self._place)
        if before is not None and self._turn is not before:
            before.close()


class Turn:
    """The time during which one place holds, and its member assigns."""

    def __init__(self, core: Core, layout: Layout, count: int, place: ShardPlace[Hold]) -> None:
        self._core = core
        self._layout = layout
        self._count = count
        self._place = place
        self._closed = False
        self._known: dict[str, Card] = {}  # used by the loader's worker
        self._members: Mapping[str, Card] = {}  # replaced, never changed
        self._written = -math.inf  # monotonic seconds: when this turn wrote last
        self._failure = ""
        self._watch = WatchedChildren(core.loader, layout.members, decode_card, self._on_members)

    def close(self) -> None:
        """Assign no more. Never blocks."""
        self._closed = True
        self._watch.close()
        self._core.worker.cancel((self, "assign"))

    def _on_members(self, delta: Delta[Card]) -> None:
        """Take a change of the members (worker of the loader)."""
        for key in delta.removed:
            self._known.pop(key, None)
        self._known.update(delta.changed)
        self._members = dict(self._known)
        # After a reload, members that are missing may be about to come back, as we do.
        is_gone = bool(delta.removed) and not delta.reloaded
        self._schedule(max(0.0 if is_gone else MERGE, self._written + MERGE - time.monotonic()))

    def _schedule(self, delay: float) -> None:
        self._core.worker.schedule((self, "assign"), self._assign, delay)

    def _assign(self) -> None:
        """Write the table for the present members, unless it stands (worker)."""
        session = self._core.session
        hold = self._place.hold
        if self._closed or hold is None or hold.lost or session.state is not State.CONNECTED:
            return  # the members are loaded anew on the next connection, and call again
        deadline = time.monotonic() + session.settings.operation_timeout
        try:
            self._write(hold, session.generation, deadline)
        except (ZkDiscoveryError, TimeoutError) as error:
            self._note_failure(error)
            self._schedule(RIGHTS_DELAY if isinstance(error, (AccessDenied, UndecodableNode)) else RETRY_DELAY)
        else:
            self._failure = ""

    def _write(self, hold: Hold, generation: int, deadline: float) -> None:
        session, layout = self._core.session, self._layout
        stored = ensure_table(session, layout, self._count, generation, deadline)  # somebody may have deleted it
        if stored is None:
            raise NodeChanged(f"{layout.table} was deleted in this moment", path=layout.table)
        table = stored.table.followed_by(self._members)
        if table == stored.table:
            return
        write = SetData(layout.table, encode_table(table), stored.version)
        execute_writes(session, [write], guard=hold, generation=generation, deadline=deadline)
        self._written = time.monotonic()
        moved = sum(stored.table.owners().get(shard) != key for shard, key in table.owners().items())
        log.info("assigned %s to %d members: %d move", layout.title, len(table.cards), moved)

    def _note_failure(self, error: Exception) -> None:
        """Log what fails, once for each cause."""
        level = logging.WARNING if isinstance(error, (AccessDenied, UndecodableNode)) else logging.DEBUG
        if str(error) != self._failure:
            log.log(level, "can't assign %s, trying again: %s", self._layout.title, error)
        self._failure = str(error)
