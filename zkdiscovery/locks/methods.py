"""The methods of a client that make locks. No logic of its own."""

from __future__ import annotations

from zkdiscovery.core import CoreSlot
from zkdiscovery.locks.barrier import Barrier
from zkdiscovery.locks.base import WAIT, lock_queue
from zkdiscovery.locks.counter import Counter
from zkdiscovery.locks.decorator import LockedDecorator
from zkdiscovery.locks.lock import Lock, ReadWriteLock
from zkdiscovery.locks.names import Kind, Layout, check_layout
from zkdiscovery.locks.semaphore import Semaphore
from zkdiscovery.validation import require_name


class LockMethods:
    """The part of `Client` that makes locks."""

    slot: CoreSlot

    def lock(self, name: str, *, layout: Layout = "curator") -> Lock:
        """A lock that one process, thread or task holds at a time. Nothing is sent yet.

        Args:
            name: name of the lock. One that begins with `/` is a path outside of the namespace, to share the lock with
                other software.
            layout: "curator": Curator waits for us, and kazoo does with `extra_lock_patterns=["-lock-"]`; "kazoo":
                kazoo waits for us, and Curator does not. We wait for all of them.

        Raises:
            InvalidName: no name for a lock.
            ValueError: no such layout.
            ClientClosed: the client was drained or closed.
        """
        self.slot.require_undrained()
        check_layout(layout)
        return Lock(f"the lock {name!r}", lock_queue(name), Kind.LOCK, layout, self.slot)

    def read_write_lock(self, name: str, *, layout: Layout = "curator") -> ReadWriteLock:
        """A lock that many readers hold at once, or one writer alone. Nothing is sent yet.

        For the arguments, and what it raises, see `lock`. kazoo waits for a "curator" lock with
        `extra_lock_patterns=["__READ__", "__WRIT__"]` (writers), `["__WRIT__"]` (readers).
        """
        self.slot.require_undrained()
        check_layout(layout)
        return ReadWriteLock(name, layout, self.slot)

    def semaphore(self, name: str, limit: int | None = None) -> Semaphore:
        """A lock that up to `limit` processes, threads or tasks hold at once. Nothing is sent yet.

        The first use stores the limit for all. Its nodes are Curator's (`InterProcessSemaphoreV2`).

        Args:
            name: name of the semaphore. One that begins with `/` is a path outside of the namespace.
            limit: how many may hold it, the same for all; None: whatever is stored.

        Raises:
            InvalidName: no name for a semaphore.
            InvalidSettings: no limit.
            ClientClosed: the client was drained or closed.
        """
        self.slot.require_undrained()
        return Semaphore(name, limit, self.slot)

    def barrier(self, name: str, parties: int) -> Barrier:
        """A barrier that opens once `parties` parties wait at it, and that they leave together. Nothing is sent yet.

        Args:
            name: name of the barrier. One that begins with `/` is a path outside of the namespace.
            parties: how many make a group, from 1 to 1000; the same for all.

        Raises:
            InvalidName: no name for a barrier.
            InvalidSettings: no number of parties.
            ClientClosed: the client was drained or closed.
        """
        self.slot.require_undrained()
        return Barrier(name, parties, self.slot)

    def counter(self, name: str) -> Counter:
        """A whole number that all processes share; each change is made exactly once. Nothing is sent yet.

        Args:
            name: name of the counter. One that begins with `/` is a path outside of the namespace, to share the counter
                with kazoo's `Counter`.

        Raises:
            InvalidName: no name for a counter.
        """
        return Counter(name, self.slot)

    def locked(self, name: str, *, timeout: float | None = WAIT, skip_if_held: bool = False) -> LockedDecorator:
        """Decorate a function that runs while this process holds a lock.

        Each call holds the lock for itself and returns what the function returns. A call whose hold was lost raises
        HoldLost at its end.

        Args:
            name: as of `lock`.
            timeout: seconds to wait, after which a call raises LockTimeout; None: without limit.
            skip_if_held: while another holds the lock, a call returns None at once, and the function does not run.
                `timeout` is for ZooKeeper's answers then.

        Raises:
            TypeError: at decoration, for `async def` and generator functions; at the call, if it returns a coroutine.
            InvalidName, InvalidSettings: no name for a lock, or no time.
        """
        require_name(name, "locked")
        lock_queue(name)
        return LockedDecorator(lambda: self.lock(name), timeout, skip_if_held=skip_if_held)
