"""The methods of an async client that make locks. No logic of its own."""

from __future__ import annotations

from zkdiscovery.aio.lock import AsyncLock, AsyncReadWriteLock
from zkdiscovery.aio.semaphore import AsyncSemaphore
from zkdiscovery.core import CoreSlot
from zkdiscovery.locks import Kind, Layout, check_layout, lock_queue


class AsyncLockMethods:
    """The part of `AsyncClient` that makes locks."""

    @property
    def slot(self) -> CoreSlot:
        """What holds the core."""
        raise NotImplementedError

    def lock(self, name: str, *, layout: Layout = "curator") -> AsyncLock:
        """A lock that one process, thread or task holds at a time. Nothing is sent yet. See `Client.lock`."""
        self.slot.require_undrained()
        check_layout(layout)
        return AsyncLock(f"the lock {name!r}", lock_queue(name), Kind.LOCK, layout, self.slot)

    def read_write_lock(self, name: str, *, layout: Layout = "curator") -> AsyncReadWriteLock:
        """A lock that many readers hold at once, or one writer alone. See `Client.read_write_lock`."""
        self.slot.require_undrained()
        check_layout(layout)
        return AsyncReadWriteLock(name, layout, self.slot)

    def semaphore(self, name: str, limit: int | None = None) -> AsyncSemaphore:
        """A lock that up to `limit` processes, threads or tasks hold at once. See `Client.semaphore`."""
        self.slot.require_undrained()
        return AsyncSemaphore(name, limit, self.slot)
