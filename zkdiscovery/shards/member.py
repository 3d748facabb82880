"""The node of one member, the table that it follows, and its part in writing that table.

Threads: the worker of the owned nodes joins; tables come on the worker of the loader.

Guarantees
- Joining is tried until it succeeds: a member may be made while ZooKeeper can't be reached.
- The number of shards is settled first. A member that was given another one takes no part.
- The node comes back after every outage, until `leave`.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from typing import Any

from zkdiscovery.core import Core
from zkdiscovery.errors import AccessDenied, InvalidSettings, UndecodableNode, ZkDiscoveryError
from zkdiscovery.session import State, StateChange
from zkdiscovery.shards.assigner import RETRY_DELAY, RIGHTS_DELAY, Assigner
from zkdiscovery.shards.membership import Membership
from zkdiscovery.shards.table import TABLE, Card, Layout, Table, decode_table, encode_card, settle_table
from zkdiscovery.threads import Steps, Until
from zkdiscovery.validation import deadline_after
from zkdiscovery.znodes import Delta, OwnedNode, OwnedState, WatchedChildren

log = logging.getLogger("zkdiscovery.shards")


def new_key() -> str:
    """Return the name of a member's node, which no other member ever has."""
    return uuid.uuid4().hex


class Member:
    """One member in ZooKeeper, from its making on.

    Args:
        core: of the client.
        layout: of the shards.
        card: what it says of itself.
        count: number of shards; None: whatever is stored.
        membership: is told of tables, and why it can't take part.
    """

    def __init__(self, core: Core, layout: Layout, card: Card, count: int | None, membership: Membership[Any]) -> None:
        self._core = core
        self._layout = layout
        self._card = card
        self._count = count
        self._membership = membership
        self._lock = threading.Lock()
        self._left = False
        self._node: OwnedNode | None = None
        self._table: WatchedChildren[Table] | None = None
        self._assigner: Assigner | None = None
        self._failure = ""  # used by the worker
        core.worker.start()  # before anything listens
        core.loader.worker.start()
        core.session.listen(self._on_state)
        self._schedule()

    @property
    def connected(self) -> bool:
        return self._core.session.state is State.CONNECTED

    def leave(self) -> None:
        with self._lock:
            self._left = True
            node = self._node
        if node is not None:
            node.release()

    def end(self) -> None:
        self.leave()
        self._core.session.unlisten(self._on_state)
        if self._table is not None:
            self._table.close()
        if self._assigner is not None:
            self._assigner.end()

    def leaving(self, timeout: float) -> Steps[None]:
        end, node = deadline_after(timeout), self._node
        if self._assigner is not None:
            yield from self._assigner.leaving(timeout)
        if node is not None:
            yield Until(lambda: node.state is OwnedState.RELEASED or not self.connected, end, node.changed)

    def forked(self) -> None:
        if self._assigner is not None:
            self._assigner.forked()

    def _on_state(self, change: StateChange) -> None:
        if change.state is State.CONNECTED:
            self._schedule()
        node = self._node
        if node is not None:
            node.wake()
        self._membership.wake()

    def _schedule(self, delay: float = 0.0) -> None:
        self._core.worker.schedule((self, "join"), self._join, delay)

    def _join(self) -> None:
        """Settle how many shards there are, and become a member (worker)."""
        session = self._core.session
        if self._node is not None or self._left or session.state is not State.CONNECTED:
            return  # a change of the state will call again
        deadline = time.monotonic() + session.settings.operation_timeout
        try:
            count = settle_table(session, self._layout, self._count, session.generation, deadline)
        except (InvalidSettings, UndecodableNode) as error:
            self._membership.refuse(error)
        except (ZkDiscoveryError, TimeoutError) as error:
            refused = isinstance(error, AccessDenied)
            if str(error) != self._failure:
                level = logging.WARNING if refused else logging.DEBUG
                log.log(level, "can't take part in %s, trying again: %s", self._layout.title, error)
            self._failure = str(error)
            self._schedule(RIGHTS_DELAY if refused else RETRY_DELAY)
        else:
            self._take_part(count)

    def _take_part(self, count: int) -> None:
        core, layout = self._core, self._layout
        with self._lock:
            if self._left:
                return
            self._table = WatchedChildren(core.loader, layout.assignment, decode_table, self._on_table)
            self._assigner = Assigner(core, layout, count)
            path = f"{layout.members}/{self._membership.key}"
            self._node = core.nodes.own(path, encode_card(self._card))

    def _on_table(self, delta: Delta[Table]) -> None:
        """Follow a newer table (worker of the loader). If it was deleted, or can't be used, the last one stands."""
        table = delta.changed.get(TABLE)
        if table is not None:
            self._membership.take_table(table)
