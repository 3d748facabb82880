"""Locks on threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from zkdiscovery.lifecycle import leaving
from zkdiscovery.locks.base import LEAVE_TIMEOUT, WAIT, BaseLock, BaseReadWriteLock
from zkdiscovery.locks.locks import Contender
from zkdiscovery.locks.place import Place
from zkdiscovery.threads import Subscription, run_steps
from zkdiscovery.validation import check_timeout
from zkdiscovery.znodes import Hold


class Lock(BaseLock[Hold]):
    """One lock, made by `Client.lock`, or one side of a `ReadWriteLock`. Nothing is sent before the first use.

    Whoever waits is served in the order of arrival. A lock is not re-entrant: an object holds it once at a time, and
    each thread needs an object of its own. `with lock:` is `with lock.hold():`.
    """

    hold_type = Hold

    @contextmanager
    def hold(self, timeout: float | None = WAIT) -> Iterator[Hold]:
        """Wait for the lock; the block runs while it is held; leaving it releases.

        The block goes on if the hold is lost meanwhile, so call `hold.check()` before each step that must not be done
        twice. An end of the block after a loss raises, unless the block raises itself.

        Args:
            timeout: seconds to wait; None: without limit.

        Raises:
            LockTimeout: not free in time; nobody waits any more.
            HoldLost: at the end of the block: it was lost while the block ran.
            ClientClosed: the client was drained or closed.
            RuntimeError: this object holds the lock already, or waits for it.
            InvalidSettings: no time.
        """
        place, hold = run_steps(self._holding(timeout))
        with _block(place):
            yield hold

    @contextmanager
    def hold_if_free(self, timeout: float | None = 5.0) -> Iterator[Hold | None]:
        """Hold the lock for the block if nobody else holds it or waits for it; the block gets None otherwise.

        Args:
            timeout: seconds to wait for ZooKeeper.

        Raises:
            LockTimeout: ZooKeeper did not answer in time.
            HoldLost, ClientClosed, RuntimeError, InvalidSettings: as `hold`.
        """
        place = run_steps(self._acquiring(timeout, wait=False))
        if place is None:
            yield None
        else:
            with _block(place):
                yield place.hold

    def acquire(self, timeout: float | None = WAIT) -> Hold:
        """Wait for the lock and hold it until `release()` of what is returned, or until the client closes.

        For the arguments, and what it raises, see `hold`.
        """
        return run_steps(self._holding(timeout))[1]

    def try_acquire(self, timeout: float | None = 5.0) -> Hold | None:
        """Hold the lock if nobody else holds it or waits for it; None otherwise.

        It takes three round trips to ZooKeeper; more at the first use of a lock, whose parent has to be made, and a
        quarter of the session timeout more if this process stood still.

        Args:
            timeout: seconds to wait for ZooKeeper.

        Raises:
            LockTimeout: ZooKeeper did not answer in time.
            ClientClosed, RuntimeError, InvalidSettings: as `hold`.
        """
        place = run_steps(self._acquiring(timeout, wait=False))
        return None if place is None else place.hold

    def holder(self, timeout: float | None = 5.0) -> Contender | None:
        """The holder, or who comes next while it leaves; None if nobody does. Raises as `holders`."""
        return next(iter(self.holders(timeout)), None)

    def holders(self, timeout: float | None = 5.0) -> list[Contender]:
        """All who hold it; several of a lock with readers or of a semaphore; two reads.

        Raises:
            NotConnected, OperationTimeout, AccessDenied: not answered within `timeout` seconds, or refused.
        """
        return self._contenders(check_timeout(timeout)).holders

    def waiters(self, timeout: float | None = 5.0) -> list[Contender]:
        """All who wait, the next one first; two reads. Raises as `holders`."""
        return self._contenders(check_timeout(timeout)).waiters

    def request_release(self, timeout: float | None = 5.0) -> list[Contender]:
        """Ask those who hold the lock to release it. Return those who were asked; empty if nobody holds it.

        It ends no hold: a holder decides by itself, see `on_release_requested`. Curator's holders hear of it, too, if
        they are revocable; kazoo's don't. Two reads, and a write for each holder.

        Raises:
            NotConnected, OperationTimeout, AccessDenied: not done within `timeout` seconds, or refused.
        """
        return self._request_release(check_timeout(timeout))

    def on_release_requested(self, fn: Callable[[Hold], object]) -> Subscription[Hold]:
        """Call `fn(hold)` on the client's dispatcher thread when somebody asks this object to release what it holds.

        A request that came before, for the present hold, is told first. Requests that come while one waits for its
        call are one. Nothing is released unless somebody calls `hold.release()`.

        Raises:
            TypeError: `fn` is no plain callable.
        """
        return self._subscribe(fn)

    def __enter__(self) -> Hold:
        with ExitStack() as stack:
            hold = stack.enter_context(self.hold())
            self._blocks[threading.current_thread()] = stack.pop_all()
        return hold

    def __exit__(self, *exc: object) -> None:
        self._blocks.pop(threading.current_thread()).__exit__(*exc)  # type: ignore[arg-type]

    def _renew(self) -> None:
        super()._renew()
        self._blocks: dict[object, ExitStack] = {}  # by thread


class ReadWriteLock(BaseReadWriteLock[Lock]):
    """A lock that many readers may hold at once, or one writer alone; made by `Client.read_write_lock`.

    Attributes:
        read: the lock of readers. It is held by several at once, so fences of readers are unique but in no order.
        write: the lock of writers. It excludes everybody else, and the holders of a `lock` of that name.
    """

    lock_type = Lock


def _go_on() -> None:
    """Let the block go on, whatever becomes of its hold."""


@contextmanager
def _block(place: Place[Hold]) -> Iterator[None]:
    """Run a block that holds the lock, and leave the queue. While connected, wait until the node is gone."""
    place.enter_block(threading.current_thread, _go_on)
    try:
        yield
        place.check_kept()
    finally:
        place.leave_block()
        with leaving(LEAVE_TIMEOUT) as limit:
            run_steps(place.leaving(limit))
