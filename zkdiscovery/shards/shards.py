"""Shards on threads.

Threads: the caller of `run` waits and decides; each shard that is held is consumed on a thread of its own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Self

from zkdiscovery.errors import ClientClosed, NoThreadAvailable
from zkdiscovery.lifecycle import await_signals, leaving
from zkdiscovery.shards.base import LEAVE_TIMEOUT, RESTART_DELAY, WHAT, BaseShards
from zkdiscovery.shards.claim import BaseShard, Claim
from zkdiscovery.shards.reading import ShardReads, ShardTable
from zkdiscovery.threads import Subscription, run_steps, start_thread
from zkdiscovery.validation import check_function, check_timeout, deadline_after, refuse_coroutine
from zkdiscovery.znodes import Hold

log = logging.getLogger("zkdiscovery.shards")


class Shard(BaseShard[Hold]):
    """One shard that this process holds, as its consumer gets it.

    Attributes:
        number: of the shard, from 0 on.
        hold: proves that this process has the shard: `fence`, `check()`, `lost`, `remaining`. When a shard moves, its
            hold lasts until the consumer has ended, so that it can finish what it has begun.
    """

    def wait_lost(self, timeout: float | None) -> bool:
        """Wait until the consumer must end, at most `timeout` seconds, None: without limit; True if it must.

        There is no default, because a caller who ignores the result must not take a timeout for the end.
        """
        return run_steps(self._losing(timeout))


class Shards(BaseShards[Hold]):
    """Shards that the members of a group share out among themselves, made by `Client.shards`.

    Each shard is held by one member at a time. Nothing is sent before the first use.
    """

    hold_type = Hold

    def run(self, consume: Callable[[Shard], object]) -> None:
        """Become a member, and call `consume(shard)` on a thread for each shard that this member holds.

        It returns once the client is drained or closed, or these shards are. `consume` must end soon after
        `shard.lost` has become true, because the next member begins after that. If it raises or returns while the
        shard is held, it is called again a second later; what it raises is logged, and harms no other shard.

        Raises:
            InvalidSettings: another count is stored, or none and none was given.
            UndecodableNode: what is stored is no table of shards.
            TypeError: `consume` is no function, or a coroutine or generator function.
            RuntimeError: this object runs already.
        """
        check_function(consume, WHAT)
        try:
            run_steps(self._running(consume))
        except ClientClosed:
            log.debug("%s are closed", self._title)
        await_signals()

    def on_change(self, fn: Callable[[tuple[int, ...]], object]) -> Subscription[tuple[int, ...]]:
        """Call `fn(numbers)` on the client's dispatcher thread when other shards are held, the present ones first.

        Raises:
            TypeError: `fn` is no plain callable.
            ClientClosed: these shards were closed.
        """
        with self._changed:
            self._require_open()
            return self._subscribers.subscribe(fn, self._held)

    def table(self, timeout: float | None = 5.0) -> ShardTable:
        """Read who has which shard, and who the members are; needs no membership.

        Raises:
            NodeMissing: there are no shards of that name.
            UndecodableNode: what is stored is no table of shards.
            NotConnected, OperationTimeout, AccessDenied: not answered within `timeout` seconds, or refused.
        """
        return self._slot.current().feature(ShardReads).table(self.name, check_timeout(timeout))

    def close(self, timeout: float | None = LEAVE_TIMEOUT) -> None:
        """Leave the members, wait for the consumers up to `timeout` seconds, release all. Idempotent.

        A consumer that still runs then is logged at ERROR. From within one, it is not waited for.
        """
        run_steps(self._closing(deadline_after(timeout)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        with leaving(LEAVE_TIMEOUT) as limit:
            self.close(limit)

    def _me(self) -> threading.Thread:
        return threading.current_thread()

    def _begin(self, claim: Claim[Hold], consume: Callable[[Shard], object]) -> bool:
        hold = claim.place.hold
        if hold is None:
            raise AssertionError("a shard that is not held can't be consumed")
        shard = Shard(claim, hold, self._title)
        claim.busy = True
        name = f"zkdiscovery-shards-{self.name}-{claim.number}"
        try:
            start_thread(partial(self._consume, claim, shard, consume), name)
        except NoThreadAvailable as error:
            claim.busy = False
            log.warning("shard %d of %s is held, but not consumed yet: %s", claim.number, self._title, error)
            return False
        return True

    def _consume(self, claim: Claim[Hold], shard: Shard, consume: Callable[[Shard], object]) -> None:
        claim.runner = threading.current_thread()
        try:
            while not shard.lost:
                error: BaseException | None = None
                try:
                    refuse_coroutine(consume(shard), WHAT)
                except BaseException as raised:  # noqa: BLE001 - sys.exit() would end this thread without a word
                    error = raised
                self._note_end(shard, error)
                del error  # it refers to this frame
                shard.wait_lost(RESTART_DELAY)
        finally:
            claim.ended()
