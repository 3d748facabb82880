"""`on_conflict="share"`: the registrations of one client that other processes share.

`takeover.py` has the rules, `share.py` keeps one registration.

Threads: any thread makes and changes nodes; the worker of owned nodes sees to them. One more thread, which starts with
the first shared registration, hears of the ends of processes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Any, ClassVar

from zkdiscovery.core import Core, Feature, Phase
from zkdiscovery.registration.share import Share
from zkdiscovery.registration.shared_node import SharedNode, SharingOwner
from zkdiscovery.session import State, StateChange
from zkdiscovery.threads import Exits
from zkdiscovery.znodes import OwnedNode


class Sharing(Feature):
    """All shared registrations of one client."""

    phase: ClassVar[Phase] = Phase.OWNED

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        self.session = core.session
        self.worker = core.worker
        self.paths = core.paths
        self.exits = Exits("zkdiscovery-exits")
        self.session_ids: set[int] = set()  # of our sessions so far; used by the worker only
        self._lock = threading.Lock()
        self._shares: dict[OwnedNode, Share] = {}
        core.session.listen(self._on_state)

    def prepare(self, owner: SharingOwner, path: str, data: bytes, **options: Any) -> OwnedNode:
        """Make a node that is wanted from `keep` on. For `options` see OwnedNode."""
        node = SharedNode(self._make_due, path, data, session_id=lambda: self.session.session_id, **options)
        node.owner = owner
        return node

    def keep(self, nodes: Iterable[OwnedNode]) -> None:
        """Want nodes that `prepare` made. Never blocks.

        Raises:
            NoThreadAvailable: the system has no thread to give; none of them is wanted then.
        """
        shares: dict[OwnedNode, Share] = {node: Share(self, node) for node in nodes if isinstance(node, SharedNode)}
        if not shares:
            return
        self.worker.start()
        self.exits.start()
        with self._lock:
            self._shares.update(shares)
        for share in shares.values():
            share.due()

    def forget(self, node: SharedNode) -> None:
        """Its registration is over."""
        with self._lock:
            self._shares.pop(node, None)

    def close(self, deadline: float) -> None:
        self.exits.close(max(0.0, deadline - time.monotonic()))

    def forked(self) -> None:
        self.exits.forked()

    def _make_due(self, node: OwnedNode) -> None:
        if (share := self._shares.get(node)) is not None:
            share.due()

    def _on_state(self, change: StateChange) -> None:
        if change.state is State.CONNECTED:
            with self._lock:
                shares = list(self._shares.values())
            for share in shares:
                share.due()
