"""The part of shards that the sync and the async ones share: one membership at a time, the steps of `run`.

Guarantees
- A function that consumes runs at most once at a time for each shard, and only from the moment at which the shard is
  held. If it raises or returns while the shard is held, it is called again `RESTART_DELAY` seconds later.
- Whatever ends `run`: all consumers are told, and nothing is held once they have ended, or `LEAVE_TIMEOUT` has passed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

from zkdiscovery.core import Core, CoreSlot
from zkdiscovery.errors import ClientClosed, HoldLost
from zkdiscovery.lifecycle import leaving
from zkdiscovery.shards.claim import BaseShard, Claim
from zkdiscovery.shards.membership import Membership
from zkdiscovery.shards.sharding import Sharding
from zkdiscovery.shards.table import MOST_SHARDS
from zkdiscovery.threads import Monitor, Steps, Subscribers, Until, latest
from zkdiscovery.validation import LONGEST_TIMEOUT, check_number, check_whole
from zkdiscovery.znodes import BaseHold, Paths

H = TypeVar("H", bound=BaseHold)

log = logging.getLogger("zkdiscovery.shards")

LEAVE_TIMEOUT = 5.0  # seconds that leaving waits for the consumers by default
RESTART_DELAY = 1.0  # seconds until what consumes is called again
WHAT = "what consumes a shard"


class BaseShards(Generic[H]):
    """Some shards, and this object's part in them. Nothing is sent before the first use."""

    hold_type: ClassVar[type[Any]]

    def __init__(self, name: str, count: int | None, weight: float, slot: CoreSlot) -> None:
        if count is not None:
            check_whole(count, "the count of shards", 1, MOST_SHARDS)
        check_number(weight, "the weight of a member", above=0, most=1e6)
        Paths("").shards(name)
        self.name = name
        self._count = count
        self._weight = float(weight)
        self._slot = slot
        self._title = f"the shards {name!r}"
        self._closed = False
        self._return_logged = False
        self._subscribers: Subscribers[tuple[int, ...]] = Subscribers(slot.dispatcher, latest)
        self._renew()
        slot.add(self)

    def _renew(self) -> None:
        self._changed = Monitor()
        self._membership: Membership[H] | None = None
        self._held: tuple[int, ...] = ()  # as the subscribers were told last

    def forked(self) -> None:
        """In a forked child: as new; what is held is the parent's."""
        self._renew()

    def revive(self, core: Core) -> None:
        """In a forked child: shards are taken when `run` is called."""

    def held(self) -> list[int]:
        """The numbers of the shards that this object holds, ascending. It reads memory."""
        membership = self._membership
        return [] if membership is None else list(membership.held)

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{len(self.held())} held" if self._membership else "idle"
        return f"<{type(self).__name__} {self.name!r} {state}>"

    def __reduce__(self) -> str:
        raise TypeError("shards hold a connection and can't be pickled; call shards() in the other process")

    # -- what the clients add --

    def _me(self) -> object:
        """The thread or task that runs this."""
        raise NotImplementedError

    def _begin(self, claim: Claim[H], consume: Callable[[Any], object]) -> bool:
        """Consume a shard, on a thread or in a task of its own. False if there is none to be had."""
        raise NotImplementedError

    # -- the steps --

    def _running(self, consume: Callable[[Any], object]) -> Steps[None]:
        """Take part until the membership is over."""
        membership = self._join()
        try:
            while not membership.over:
                # A list, because all must begin.
                begun = [self._begin(claim, consume) for claim in membership.step()]
                end = time.monotonic() + (LONGEST_TIMEOUT if all(begun) else RESTART_DELAY)
                yield Until(lambda: membership.news or membership.refused is not None, end, membership.changed)
                if membership.refused is not None:
                    raise membership.refused
        except GeneratorExit:  # nobody takes these steps any more
            membership.abandon()
            raise
        except BaseException:
            with leaving(LEAVE_TIMEOUT) as limit:
                yield from membership.leaving(time.monotonic() + limit)
            raise
        finally:
            with self._changed:
                self._membership = None

    def _join(self) -> Membership[H]:
        core = self._slot.current()
        with self._changed:
            self._require_open()
            if self._membership is not None:
                raise RuntimeError(f"this object runs {self._title} already; make another one with client.shards()")
            self._membership = core.feature(Sharding).join(
                self.name, self._count, self._weight, self.hold_type, self._me, self._note_held
            )
            return self._membership

    def _closing(self, deadline: float) -> Steps[None]:
        with self._changed:
            self._closed = True
            membership = self._membership
        if membership is not None:
            yield from membership.leaving(deadline)

    def _require_open(self) -> None:
        if self._closed:
            raise ClientClosed(f"{self._title} were closed")

    def _note_held(self, held: tuple[int, ...]) -> None:
        with self._changed:
            self._held = held
            self._subscribers.offer(held)

    def _note_end(self, shard: BaseShard[H], error: BaseException | None) -> None:
        """Log why a function that consumes has ended."""
        number, title = shard.number, self._title
        if isinstance(error, HoldLost) and shard.lost:
            log.debug("what consumes shard %d of %s ended with its hold", number, title)
        elif error is not None:
            then = "the shard moves on" if shard.lost else "it is called again"
            log.error("what consumes shard %d of %s raised; %s", number, title, then, exc_info=error)
        elif not shard.lost:
            level = logging.DEBUG if self._return_logged else logging.WARNING
            self._return_logged = True
            log.log(
                level,
                "what consumes shard %d of %s returned while the shard is held; it is called again every %g s",
                number, title, RESTART_DELAY,
            )  # fmt: skip
