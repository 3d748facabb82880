"""The methods of an async client that make shards. No logic of its own."""

from __future__ import annotations

from zkdiscovery.aio.operations import Operations
from zkdiscovery.aio.shards import AsyncShards
from zkdiscovery.core import Core, CoreSlot
from zkdiscovery.shards import ShardReads
from zkdiscovery.validation import check_timeout


class AsyncShardMethods:
    """The part of `AsyncClient` that makes shards."""

    @property
    def slot(self) -> CoreSlot:
        """The slot that holds the core."""
        raise NotImplementedError

    def shards(self, name: str, count: int | None = None, *, weight: float = 1.0) -> AsyncShards:
        """Parts of a task that the members of a group share out. Nothing is sent yet. See `Client.shards`."""
        self.slot.require_undrained()
        return AsyncShards(name, count, weight, self.slot)

    async def shard_names(self, timeout: float | None = 5.0) -> list[str]:
        """Names of all shards, sorted; one read. Raises as `service_names`."""
        limit = check_timeout(timeout)
        core = await self._core()
        return await core.feature(Operations).run(lambda: core.feature(ShardReads).names(limit))

    async def _core(self) -> Core:
        """The present core."""
        raise NotImplementedError
