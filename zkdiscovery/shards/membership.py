"""One member: the shards that it holds and those that it queues for, as the newest table says.

Threads: whoever runs `run`, a thread or an event loop, calls `step` after each change; so does whoever waits for the
member to leave. Tables and changes of places come on any thread, and only wake them.

Guarantees
- A member queues only for shards that the newest table gives to it. It consumes one only while it holds it.
- When a shard moves, its consumer is told, and the place is left after the consumer has ended. No other shard stops.
- A member that leaves takes its node out of the members first. It goes on until the table gives its shards to others,
  for at most `HANDOVER` seconds; then its consumers end, and its places are left.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from zkdiscovery.errors import ZkDiscoveryError
from zkdiscovery.locks import Place
from zkdiscovery.shards.claim import Claim, TakePlace
from zkdiscovery.shards.table import Layout, Table
from zkdiscovery.threads import Monitor, Steps, Until
from zkdiscovery.znodes import BaseHold

H = TypeVar("H", bound=BaseHold)

log = logging.getLogger("zkdiscovery.shards")

HANDOVER = 2.0  # seconds that a member that leaves waits for a table without it


class Registered(Protocol):
    """The node of a member, and the table that it follows."""

    @property
    def connected(self) -> bool:
        """True while ZooKeeper can be reached."""

    def leave(self) -> None:
        """Take the node away. Never blocks; idempotent."""

    def end(self) -> None:
        """Follow the table no more, and let others write it. Never blocks; idempotent."""

    def leaving(self, timeout: float) -> Steps[None]:
        """After `end`, wait until nothing is left in ZooKeeper; without contact, return at once."""

    def forked(self) -> None:
        """In a forked child: all of it is the parent's."""


class Membership(Generic[H]):
    """The shards of one member, and its claims to them.

    Args:
        layout: of the shards.
        key: of the member.
        take_place: takes a place in the queue of a shard.
        me: gives the thread or task that runs this.
        on_held: called with the numbers of the shards that are held, after they have changed.

    Attributes:
        changed: guards all of it, and tells of each change.
        refused: why this member can't take part.
        over: True once it has left.
    """

    def __init__(
        self,
        layout: Layout,
        key: str,
        take_place: TakePlace[H],
        me: Callable[[], object],
        on_held: Callable[[tuple[int, ...]], None],
    ) -> None:
        self.key = key
        self.changed = Monitor()
        self.refused: ZkDiscoveryError | None = None
        self.over = False
        self._layout = layout
        self._take_place = take_place
        self._me = me
        self._on_held = on_held
        self._told: tuple[int, ...] = ()
        self._claims: dict[int, Claim[H]] = {}
        self._table: Table | None = None
        self._wanted: frozenset[int] = frozenset()
        self._left = False  # takes nothing new
        self._stopping = False  # gives up all that it has
        self._news = True
        self._loss = ""  # the reason of a loss that was logged
        self._node: Registered

    # -- any thread; never blocks --

    def register(self, node: Registered) -> None:
        """Set the node of this member, before anything else is called."""
        self._node = node

    @property
    def held(self) -> tuple[int, ...]:
        """The shards that it holds, ascending."""
        with self.changed:
            return tuple(sorted(number for number, claim in self._claims.items() if claim.place.holds))

    @property
    def news(self) -> bool:
        """True if something has changed since the last step."""
        return self._news or self.over

    def take_table(self, table: Table) -> None:
        """Follow a newer table."""
        with self.changed:
            self._table = table
            self._wanted = frozenset(table.shards.get(self.key, ()))
        self.wake()

    def refuse(self, error: ZkDiscoveryError) -> None:
        """Note why it can't take part."""
        self.refused = error
        self.wake()

    def wake(self) -> None:
        """Let those who wait look again."""
        with self.changed:
            self._news = True
            self.changed.notify_all()

    def leave(self) -> None:
        """Leave the members, and take nothing new. `leaving` follows."""
        with self.changed:
            self._left = True
            me = self._me()
            for claim in self._claims.values():
                claim.spared = claim.spared or (claim.busy and claim.runner is me)
        self._node.leave()
        self.wake()

    def forked(self) -> None:
        """In a forked child: nothing of it is ours."""
        self.changed = Monitor()
        self.over = True
        for claim in list(self._claims.values()):
            claim.changed = Monitor()
            claim.place.forked()
        self._node.forked()

    # -- what is done about changes --

    def step(self) -> list[Claim[H]]:
        """Do what the newest table demands. Return what may be consumed from now on, and is not yet."""
        with self.changed:
            self._news = False  # first: what comes meanwhile is for the next step
        self._follow_table()
        with self.changed:
            claims = list(self._claims.values())
            unwanted = [claim for claim in claims if self._stopping or claim.number not in self._wanted]
        for claim in unwanted:
            claim.leave()
        self._log_losses(claims)
        gone = []
        for claim in claims:
            if claim.finished:
                claim.place.release()
                gone += [claim] if claim.place.over else []
        with self.changed:
            for claim in gone:
                if self._claims.get(claim.number) is claim:
                    del self._claims[claim.number]
            if gone:  # the table may give it to us again
                self._news = True
                self.changed.notify_all()
            ready = [] if self._left else [claim for claim in claims if claim.ready]
            if ready:
                self._loss = ""
        self._tell_held()
        return ready

    def _follow_table(self) -> None:
        """Queue for what the table gives us."""
        with self.changed:
            new = [] if self._left else sorted(self._wanted - self._claims.keys())
        for number in new:
            claim = Claim(number, self._take_place, self.wake)
            with self.changed:
                if not self._left:
                    self._claims[number] = claim
                    continue
            claim.place.release()  # it was left meanwhile

    def _log_losses(self, claims: list[Claim[H]]) -> None:
        """Log what was lost, once for each reason, until something is held again."""
        for claim in claims:
            hold = claim.place.hold
            reason = None if hold is None or claim.loss_noted or claim.leaving else hold.reason
            if reason is None:
                continue
            claim.loss_noted = True
            level = logging.DEBUG if reason in {self._loss, "released"} else logging.WARNING
            self._loss = reason
            log.log(level, "lost some of %s, number %d first: %s", self._layout.title, claim.number, reason)

    def _tell_held(self) -> None:
        with self.changed:  # so that a later value can't overtake an earlier one
            held = self.held
            if held != self._told:
                self._told = held
                self._on_held(held)

    # -- how it ends --

    def leaving(self, deadline: float) -> Steps[None]:
        """Leave, and wait for the consumers, but not for the caller, until `deadline` (monotonic seconds).

        Whatever interrupts the wait: in the end nothing is held.
        """
        self.leave()
        me = self._me()
        try:
            yield from self._stepping(self._is_handed_over, min(deadline, time.monotonic() + HANDOVER))
            self._stopping = True
            self.wake()
            yield from self._stepping(lambda: all(claim.runner is me for claim in self._claims.values()), deadline)
        finally:
            places = self._finish(me)
        for place in places:
            yield from place.leaving(max(0.0, deadline - time.monotonic()))
        yield from self._node.leaving(max(0.0, deadline - time.monotonic()))

    def abandon(self) -> None:
        """Leave without waiting for anything."""
        self.leave()
        self._finish(self._me())

    def _stepping(self, condition: Callable[[], bool], end: float) -> Steps[None]:
        while not self.over:
            self.step()
            if not (yield Until(lambda: self.news or condition(), end, self.changed)):
                return
            with self.changed:
                if condition():
                    return

    def _is_handed_over(self) -> bool:
        table = self._table
        others = table is not None and self.key in table.shards and len(table.shards) > 1
        return not (self._claims and others and self._node.connected)

    def _finish(self, me: object) -> list[Place[H]]:
        """Give up everything. Return the places that are not gone yet."""
        with self.changed:
            self._left = self._stopping = True
            claims, self._claims = list(self._claims.values()), {}
        for claim in claims:
            claim.leave()
            if claim.busy and claim.runner is not me:
                log.error(
                    "left %s, but what consumes shard %d still runs on %r and holds nothing any more",
                    self._layout.title, claim.number, claim.runner,
                )  # fmt: skip
            claim.place.withdraw("the member has left")
        self._node.end()
        self._tell_held()
        self.over = True
        self.wake()
        return [claim.place for claim in claims]
