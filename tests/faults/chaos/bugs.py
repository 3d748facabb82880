"""Planted bugs: what the checker must find. Each replaces a part of the SDK in this process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tests import rules
from tests.faults.chaos import lock_bugs
from zkdiscovery.session import Lease, Multi, Node
from zkdiscovery.session import lease as lease_module
from zkdiscovery.session.exchanges import Exchanges
from zkdiscovery.session.lease import Leases
from zkdiscovery.session.requests import MultiRead
from zkdiscovery.znodes import watched
from zkdiscovery.znodes.reconciler import Reconciler


def _ignore_deadline() -> None:
    """A leader that goes on until it is told that it lost: no clock ends its term."""

    class Deaf(Lease):
        @property
        def reason(self) -> str | None:
            return self._reason

        @property
        def remaining(self) -> float:
            return 0.0 if self._reason is not None else 1.0

        def extend(self, deadline: float) -> None:
            with self._lock:
                self._deadline = max(self._deadline, deadline)

    lease_module.Lease = Deaf  # type: ignore[misc]


def _renew_by_pings() -> None:
    """A lease renewed by what any server acknowledges by itself, as it does a ping, in place of a committed write."""
    submit = Leases._submit

    class Pinged(Exchanges):
        def add(self, sent: float, answered: float, *, trip: bool = False, commit: bool = False) -> None:
            super().add(sent, answered, trip=trip, commit=commit)
            self.heard = max(self.heard, sent)

    def careless(self: Leases, request: Any, generation: int | None = None) -> Any:
        if isinstance(request, Multi) and generation is None:  # a renewal
            request = MultiRead([write.path for write in request.operations])
        return submit(self, request, generation)

    lease_module.Exchanges = Pinged  # type: ignore[misc]
    Leases._submit = careless  # type: ignore[method-assign]


def _forget_owner() -> None:
    """An owned node that takes whatever stands on its path for its own."""
    learn = Reconciler._learn

    def careless(self: Any, tracked: Any, found: Node | None) -> None:
        if found is not None:
            found = found._replace(stat=found.stat._replace(ephemeral_owner=self._session_id))
        learn(self, tracked, found)

    Reconciler._learn = careless  # type: ignore[method-assign]


def _compare_version_only() -> None:
    """A cache that knows a node by its version instead of (czxid, mzxid, mtime)."""
    decoded = watched.WatchedChildren._decoded

    def blurred(self: Any, nodes: Any) -> Any:
        def blur(path: str, node: Any) -> Any:
            if isinstance(node, Node) and "/services/" in path:
                node = node._replace(stat=node.stat._replace(czxid=0, mzxid=node.stat.version, mtime=0))
            return path, node

        return decoded(self, (blur(path, node) for path, node in nodes))

    watched.WatchedChildren._decoded = blurred  # type: ignore[method-assign]


PLANTS: dict[str, Callable[[], None]] = {
    "ignores-deadline": _ignore_deadline,
    "ping-lease": _renew_by_pings,
    "old-lease": partial(rules.follow, "old"),
    "one-trip-lease": partial(rules.follow, "repair"),
    "no-owner-guard": _forget_owner,
    "version-only": _compare_version_only,
    "foreign-place": lock_bugs.adopt_first_node,
    "first-writer": lock_bugs.watch_first_writer,
    "container-limit": lock_bugs.keep_limit_in_container,
    "shard-without-lock": lock_bugs.take_shards_at_once,
}


def plant(name: str) -> None:
    """Switch one on, for this process."""
    PLANTS[name]()
