"""The methods of a client that make shards. No logic of its own."""

from __future__ import annotations

from zkdiscovery.core import CoreSlot
from zkdiscovery.shards.reading import ShardReads
from zkdiscovery.shards.shards import Shards
from zkdiscovery.validation import check_timeout


class ShardMethods:
    """The part of `Client` that makes shards."""

    slot: CoreSlot

    def shards(self, name: str, count: int | None = None, *, weight: float = 1.0) -> Shards:
        """Parts of a task, numbered from 0 to `count` - 1, that the members of a group share out. Nothing is sent yet.

        The first use stores the count for all.

        Args:
            name: name of the shards.
            count: how many there are, from 1 to 4096, the same for all; None: whatever is stored.
            weight: the part that this member wants, relative to the others; above 0.

        Raises:
            InvalidName: no name for shards.
            InvalidSettings: no count, or no weight.
            ClientClosed: the client was drained or closed.
        """
        self.slot.require_undrained()
        return Shards(name, count, weight, self.slot)

    def shard_names(self, timeout: float | None = 5.0) -> list[str]:
        """Names of all shards, sorted; one read. Raises as `service_names`."""
        return self.slot.current().feature(ShardReads).names(check_timeout(timeout))
