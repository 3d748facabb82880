"""asyncio: the client and its handles with the same names as on threads, awaitable.

Threads: everything here runs on the event loop that awaits it, over the core that the sync client has. A wait is a
future that the thread which makes the change completes, so no thread is parked for a waiter. One-off reads and writes
run on a few threads of the client; its first use and its closing run on a thread each.
"""

from __future__ import annotations

from zkdiscovery.aio.barrier import AsyncBarrier
from zkdiscovery.aio.client import AsyncClient
from zkdiscovery.aio.config import AsyncConfig
from zkdiscovery.aio.config_store import AsyncConfigStore
from zkdiscovery.aio.counter import AsyncCounter
from zkdiscovery.aio.election import AsyncElection
from zkdiscovery.aio.lock import AsyncLock, AsyncReadWriteLock
from zkdiscovery.aio.registration import AsyncRegistration
from zkdiscovery.aio.semaphore import AsyncSemaphore
from zkdiscovery.aio.service import AsyncService
from zkdiscovery.aio.shards import AsyncShard, AsyncShards
from zkdiscovery.aio.subscription import AsyncSubscription
from zkdiscovery.aio.term import AsyncHold, AsyncTerm

__all__ = [
    "AsyncBarrier",
    "AsyncClient",
    "AsyncConfig",
    "AsyncConfigStore",
    "AsyncCounter",
    "AsyncElection",
    "AsyncHold",
    "AsyncLock",
    "AsyncReadWriteLock",
    "AsyncRegistration",
    "AsyncSemaphore",
    "AsyncService",
    "AsyncShard",
    "AsyncShards",
    "AsyncSubscription",
    "AsyncTerm",
]
