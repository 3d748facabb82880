"""The instances of one engine: ephemerals of the bridge's session, so they go with the host.

A bridge that starts takes them over from its predecessor in one transaction, without a gap. If two bridges of one
engine run, the later one has what both want, and the other one waits for each instance to be free: they never fight.

Threads: the bridge's, and the worker of owned nodes where it says so.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping

from zkdiscovery.bridges.naming import Key, above
from zkdiscovery.bridges.writer import Refusals
from zkdiscovery.core import Core
from zkdiscovery.errors import InvalidInstance, UndecodableNode
from zkdiscovery.model import Instance, Status
from zkdiscovery.znodes import OwnedNode, OwnedState

log = logging.getLogger("zkdiscovery.bridges")


class Ephemeral:
    """One instance that is kept."""

    def __init__(self, core: Core, key: Key, wanted: Instance) -> None:
        self._core = core
        self._lock = threading.Lock()
        self._wanted = wanted
        self.node: OwnedNode = core.nodes.prepare(
            core.paths.instance(*key),
            core.codec.encode(wanted),
            on_state=self._on_state,
            on_foreign_write=self._on_foreign_write,
        )

    def want(self, own: Instance) -> None:
        """Want it so, below an operator's override. Raises InvalidInstance if it can't be stored."""
        with self._lock:
            wanted = above(self._wanted, own)
            if wanted != self._wanted:
                data = self._core.codec.encode(wanted)
                self._wanted = wanted
                self.node.write(data)

    def leave(self) -> None:
        """Deregister it. Never blocks."""
        with self._lock:
            leaving = self._wanted.own.with_(status=Status.OUT_OF_SERVICE)
        try:
            self.node.release(self._core.codec.encode(leaving))
        except InvalidInstance:  # the deletion must not fail for that
            self.node.release()

    def _on_state(self, node: OwnedNode) -> None:
        """After it was held once, leave it to another bridge that has taken it (worker)."""
        if node.state is OwnedState.HELD:
            node.on_conflict = "wait"

    def _on_foreign_write(self, data: bytes) -> None:
        """Adopt an operator's override; all else is written as it was (worker)."""
        with self._lock:
            own = self._wanted.own
            try:
                override = self._core.codec.decode(own.service, own.id, data).override
            except UndecodableNode:
                override = None
            self._wanted = own if override is None else override.above(own)
            self.node.write(self._core.codec.encode(self._wanted))


class Ephemerals:
    """All instances of one engine that this bridge keeps."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._kept: dict[Key, Ephemeral] = {}

    def keep(self, desired: Mapping[Key, Instance], standing: Mapping[Key, Instance]) -> Refusals:
        """Keep these and no others. Never blocks.

        Args:
            desired: all that the source has.
            standing: what stands in ZooKeeper, of our predecessors; it goes on as it was.

        Returns:
            the error for each that can't be stored.
        """
        refused: Refusals = {}
        new: dict[Key, Ephemeral] = {}
        for key, target in desired.items():
            try:
                if (kept := self._kept.get(key)) is not None:
                    kept.want(target)
                else:
                    new[key] = Ephemeral(self._core, key, above(standing.get(key), target))
            except InvalidInstance as error:
                refused[key] = error
        for key in self._kept.keys() - desired.keys():
            self._kept.pop(key).leave()
        if new:
            self._core.nodes.keep([kept.node for kept in new.values()])
            self._kept |= new
        errors = {key: kept.node.error for key, kept in self._kept.items()}
        return refused | {key: error for key, error in errors.items() if error is not None}
