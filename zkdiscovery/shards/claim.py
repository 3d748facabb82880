"""One shard that a member has or queues for, and what its consumer sees of it.

Threads: the one that runs `run` decides; the one that consumes reads; places tell of changes on any thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeAlias, TypeVar

from zkdiscovery.locks import Place
from zkdiscovery.threads import Monitor, Steps, Until
from zkdiscovery.validation import deadline_after
from zkdiscovery.znodes import BaseHold

H = TypeVar("H", bound=BaseHold)

TakePlace: TypeAlias = Callable[[int, Callable[[], None]], Place[H]]  # shard, what to call at each change of the place


class Claim(Generic[H]):
    """A place in the queue of one shard, from the table that gives the shard until the place is gone.

    Args:
        number: of the shard.
        take_place: takes the place.
        on_change: called at each change, on any thread; must not block.

    Attributes:
        number: of the shard.
        place: in its queue.
        changed: tells of all changes.
        leaving: True once whoever consumes must end, because the shard moves or the member leaves.
        busy: True while it is consumed.
        runner: the thread or task that consumes.
        spared: True if that one makes the member leave, so it must not be cancelled.
        loss_noted: True once a loss was logged.
    """

    def __init__(self, number: int, take_place: TakePlace[H], on_change: Callable[[], None]) -> None:
        self.number = number
        self.changed = Monitor()
        self.leaving = False
        self.busy = False
        self.runner: object | None = None
        self.spared = False
        self.loss_noted = False
        self._on_change = on_change
        self.place = take_place(number, self.tell)

    @property
    def lost(self) -> bool:
        """True once the hold is over."""
        hold = self.place.hold
        return hold is not None and hold.lost

    @property
    def ready(self) -> bool:
        """True if the shard is held and may be consumed, and is not consumed yet."""
        return self.place.holds and not self.leaving and not self.busy

    @property
    def finished(self) -> bool:
        """True once the place must go: nobody consumes, and nobody will."""
        return not self.busy and (self.leaving or self.lost or self.place.over)

    def leave(self) -> None:
        """Let whoever consumes end. Never blocks; idempotent."""
        if not self.leaving:
            self.leaving = True
            with self.changed:
                self.changed.notify_all()

    def ended(self) -> None:
        """Nobody consumes any more."""
        self.busy, self.runner = False, None
        self.tell()

    def tell(self) -> None:
        """Wake all who wait for a change (any thread; never blocks)."""
        with self.changed:
            self.changed.notify_all()
        self._on_change()


class BaseShard(Generic[H]):
    """One shard that this process holds, as its consumer gets it.

    Attributes:
        number: of the shard, from 0 on.
        hold: proves that this process has the shard: `fence`, `check()`, `lost`, `remaining`. When a shard moves, its
            hold lasts until the consumer has ended, so that it can finish what it has begun.
    """

    def __init__(self, claim: Claim[H], hold: H, title: str) -> None:
        self.number = claim.number
        self.hold = hold
        self._claim = claim
        self._title = title

    @property
    def lost(self) -> bool:
        """True once the consumer must end: the shard moves, the client closes, or the hold was lost."""
        return self._claim.leaving or self.hold.lost

    def __repr__(self) -> str:
        state = "lost" if self.hold.lost else "moving" if self.lost else "held"
        return f"<{type(self).__name__} {self.number} of {self._title}: {state}, fence={self.hold.fence}>"

    def __reduce__(self) -> str:
        raise TypeError(f"a {type(self).__name__} belongs to its process and can't be pickled; its number can")

    def _losing(self, timeout: float | None) -> Steps[bool]:
        """Wait until the consumer must end, at most `timeout` seconds; True if it must."""
        end = deadline_after(timeout)
        while not self.lost:
            now = time.monotonic()
            if now >= end:
                return False
            # No longer than the lease, because the threads that would tell may not run.
            yield Until(lambda: self.lost, min(end, now + self.hold.remaining), self._claim.changed)
        return True
