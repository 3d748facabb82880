"""Barriers: a group of parties begins together, and ends together.

Semantics
- `enter` returns once `parties` parties wait at the barrier, this one included. One transaction opens it for the first
  of them, so it opens for exactly that many, or for nobody.
- `leave` returns once all members of the group have left.
- Parties that come while a group is under way make the next group; one group does not wait for another. So the same
  parties enter and leave as often as they like.
- A party is there as long as its node: until it gives up, leaves or dies. One that dies before the barrier opens does
  not count, from the end of its session on. One that dies in the group counts as one that has left.
- A party that gives up, in whatever way, leaves no node. If the barrier opens in that moment, the others begin, and it
  counts as one that has left.
- A broken connection changes nothing. If the session of a party ends, `enter` and `leave` raise HoldLost: the others
  may have begun without it, or have stopped waiting for it.
- All parties of a barrier give the same number. One that finds another number before it raises InvalidSettings.
- While it waits, a party reads a bounded number of times, however many parties there are: see party.py.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from zkdiscovery.core import CoreSlot
from zkdiscovery.errors import ClientClosed, HoldLost, OperationTimeout
from zkdiscovery.lifecycle import default_id
from zkdiscovery.locks.base import WAIT, leave
from zkdiscovery.locks.locks import Locks
from zkdiscovery.locks.party import Party
from zkdiscovery.threads import Monitor, Steps, Until, run_steps
from zkdiscovery.validation import check_timeout, check_whole, deadline_after
from zkdiscovery.znodes import Paths

MOST = 1000  # parties: one transaction writes the nodes of all


class BaseBarrier:
    """The part of a barrier that the sync and the async one share. Nothing is sent before the first use."""

    def __init__(self, name: str, parties: int, slot: CoreSlot) -> None:
        check_whole(parties, "the parties of a barrier", 1, MOST)
        Paths("").barrier(name)
        self.name = name
        self.parties = parties
        self._title = f"the barrier {name!r}"
        self._slot = slot
        self._renew()
        slot.add(self)

    def _renew(self) -> None:
        self._changed = Monitor()
        self._party: Party | None = None

    def forked(self) -> None:
        """In a forked child: as new; the party is the parent's."""
        self._renew()

    def revive(self, core: object) -> None:
        """In a forked child: the barrier is entered when that is asked for."""

    def __repr__(self) -> str:
        party = self._party
        state = "not entered" if party is None else f"{party.seen} waiting" if party.group is None else "entered"
        return f"<{type(self).__name__} {self.name!r} of {self.parties}: {state}>"

    def __reduce__(self) -> str:
        raise TypeError("a barrier holds a connection and can't be pickled; call barrier() in the other process")

    def _entering(self, timeout: float | None) -> Steps[None]:
        timeout = check_timeout(timeout)
        end = deadline_after(timeout)
        party = self._come()
        try:
            yield Until(lambda: _is_decided(party), end, party.changed)
            if party.group is None:
                raise self._not_entered(party, timeout)
        except GeneratorExit:  # nobody takes these steps any more
            self._go(party)
            raise
        except BaseException:
            yield from leave(self._go(party))
            raise

    def _leaving(self, timeout: float | None) -> Steps[None]:
        timeout = check_timeout(timeout)
        end = deadline_after(timeout)
        with self._changed:
            party = self._party
            if party is None or party.group is None:
                raise RuntimeError(f"this object has not entered {self._title}, so it can't leave it")
            self._party = None
        party.begin_leaving()
        try:
            yield Until(lambda: party.left or party.lost is not None or party.stopped, end, party.changed)
        except GeneratorExit:
            party.release()
            raise
        except BaseException:
            yield from leave(party)
            raise
        yield from leave(party)
        if party.lost is not None or party.stopped:
            reason = party.lost or "the client was closed"
            raise HoldLost(f"this party was not at {self._title} any more, so nobody waited for it: {reason}")
        if not party.left:
            why = party.error or self._slot.current().session.status_message or "others of its group have not left"
            raise OperationTimeout(f"{self._title} was not left by all within {timeout:g} s, but by this party: {why}")

    def _ending(self, *, failed: bool) -> Steps[None]:
        """Leave after a block, unless the block has left. One that failed waits for nobody."""
        with self._changed:
            party = self._party
        if party is None:
            return
        if failed:
            yield from leave(self._go(party))
        else:
            yield from self._leaving(WAIT)

    def _come(self) -> Party:
        core = self._slot.current()
        with self._changed:
            if self._party is not None:
                raise RuntimeError(
                    f"this object has entered {self._title}, or waits at it: leave it first, or make another object for"
                    " another party"
                )
            path = core.paths.barrier(self.name)
            self._party = core.feature(Locks).come(self._title, path, self.parties, default_id())
            return self._party

    def _go(self, party: Party) -> Party:
        party.release()
        with self._changed:
            self._party = None
        return party

    def _not_entered(self, party: Party, timeout: float) -> Exception:
        if party.refused is not None:
            return party.refused
        if party.stopped:
            return ClientClosed("the client was closed")
        if party.lost is not None:
            return HoldLost(
                f"this party is not at {self._title} any more: {party.lost}; the others may have begun without it"
            )
        present = f"{party.seen} of {self.parties} parties were there when this one looked"
        why = party.error or self._slot.current().session.status_message or present
        return OperationTimeout(f"{self._title} did not open within {timeout:g} s: {why}")


def _is_decided(party: Party) -> bool:
    return party.group is not None or party.lost is not None or party.stopped or party.refused is not None


class Barrier(BaseBarrier):
    """A barrier that a group of parties enters together and leaves together, made by `Client.barrier`. Nothing is sent
    before the first use.

    An object is one party: each thread needs an object of its own. `with barrier:` enters and leaves; a block that
    raises leaves and waits for nobody.

    Attributes:
        name: of the barrier.
        parties: how many make a group.
    """

    def enter(self, timeout: float | None = WAIT) -> None:
        """Wait until as many parties have entered as make a group.

        Args:
            timeout: seconds to wait; None: without limit.

        Raises:
            OperationTimeout: too few came in time; this party waits no more.
            HoldLost: the session ended; the others may have begun without this party.
            InvalidSettings: the parties that wait give another number, or no time.
            ClientClosed: the client was drained or closed.
            RuntimeError: this object has entered, or waits.
        """
        run_steps(self._entering(timeout))

    def leave(self, timeout: float | None = WAIT) -> None:
        """Leave, and wait until all others of the group have left.

        Args:
            timeout: seconds to wait; None: without limit.

        Raises:
            OperationTimeout: others did not leave in time; this party has left.
            HoldLost: the session ended before, so the others did not wait for this party; or the client was closed.
            InvalidSettings: no time.
            RuntimeError: this object has not entered.
        """
        run_steps(self._leaving(timeout))

    def __enter__(self) -> Self:
        self.enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        run_steps(self._ending(failed=kind is not None))
