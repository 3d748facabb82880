"""The part of an election that the sync and the async one share: one candidacy after the other, the steps of waiting.

Guarantees
- One candidacy of an election object stands at a time: a new one begins after the node of the former is gone.
- After `close()` no term begins, and whoever waits for one is woken.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import Generic, Literal, TypeVar

from zkdiscovery.core import Core, CoreSlot
from zkdiscovery.election.candidacy import RESIGNED, Candidacy
from zkdiscovery.election.elections import Campaigns
from zkdiscovery.election.following import Following
from zkdiscovery.election.term import BaseTerm
from zkdiscovery.errors import ClientClosed, InvalidName, OperationTimeout
from zkdiscovery.lifecycle import MAX_ID, default_id
from zkdiscovery.threads import Monitor, Steps, Until, run_steps
from zkdiscovery.validation import check_timeout, deadline_after
from zkdiscovery.znodes import Paths

T = TypeVar("T", bound=BaseTerm)

log = logging.getLogger("zkdiscovery.election")

OnSuspend = Literal["hold", "release"]

LEAVE_TIMEOUT = 5.0  # seconds that leaving a campaign waits for the node to be gone
RESTART_DELAY = 1.0  # seconds before `start` campaigns again after its function raised


class BaseElection(Generic[T]):
    """One election. Nothing is sent before the first campaign."""

    make_term: type[T]

    def __init__(self, name: str, id: str | None, on_suspend: OnSuspend, slot: CoreSlot) -> None:
        if on_suspend not in {"hold", "release"}:
            raise ValueError(f"on_suspend must be 'hold' or 'release': got {on_suspend!r}")
        if id is not None and not (1 <= len(id) <= MAX_ID and id.isprintable()):
            raise InvalidName(f"the candidate's id must be a string of 1 to {MAX_ID} printable characters")
        Paths("").election(name)
        self.name = name
        self._id = id
        self._hold = on_suspend == "hold"
        self._slot = slot
        self._following = Following(name, slot)
        self._closed = False
        self._renew()
        slot.add(self)

    def _renew(self) -> None:
        self._changed = Monitor()
        self._busy = False  # a campaign is under way
        self._candidacy: Candidacy | None = None  # the present or the last one
        self._block: tuple[T, object] | None = None  # what runs as the leader, and its thread or task
        self._runner: object | None = None  # the thread or task of `start`

    def forked(self) -> None:
        """In a forked child: as new, but closed if it was; candidacy and term are the parent's."""
        candidacy = self._candidacy
        self._renew()
        if candidacy is not None:
            candidacy.forked()

    def revive(self, core: Core) -> None:
        """In a forked child: a campaign begins when it is asked for."""

    @property
    def id(self) -> str:
        """The name that this candidate gives itself."""
        return self._id or default_id()

    @property
    def term(self) -> T | None:
        """Our term, while it lasts."""
        term = self._won()
        return None if term is None or term.lost else term

    def __repr__(self) -> str:
        if self._closed:
            state = "closed"
        elif self.term is not None:
            state = "leading"
        else:
            state = "campaigning" if self._busy else "idle"
        return f"<{type(self).__name__} {self.name!r} {state}>"

    def __reduce__(self) -> str:
        raise TypeError("an election holds a connection and can't be pickled; call election() in the other process")

    # -- campaigns --

    def _me(self) -> object:
        """The thread or task that runs this."""
        raise NotImplementedError

    def _name_of(self, runner: object) -> str:
        """A thread or a task, for a message."""
        raise NotImplementedError

    def _won(self) -> T | None:
        candidacy = self._candidacy
        return None if candidacy is None else candidacy.hold  # type: ignore[return-value]  # made by `make_term`

    def _require_open(self) -> None:
        if self._closed:
            raise ClientClosed(f"the election {self.name!r} was closed")

    def _begin(self) -> None:
        self._slot.require_undrained()
        with self._changed:
            self._require_open()
            if self._busy:
                raise RuntimeError(
                    f"a campaign of this object for the election {self.name!r} is under way; make another one with"
                    " client.election()"
                )
            self._busy = True

    def _electing(self, timeout: float | None) -> Steps[T]:
        """Campaign until elected. A candidacy that was lost is followed by another."""
        timeout = check_timeout(timeout)
        end = deadline_after(timeout)
        while True:
            candidacy = yield from self._standing(end)
            yield Until(partial(self._is_decided, candidacy), end, candidacy.changed)
            with self._changed:
                self._require_open()
                term = self._won()
                if term is not None and not term.lost:
                    self._block = term, self._me()
                    return term
            if time.monotonic() >= end:
                error = candidacy.error or self._slot.current().session.status_message or "another candidate leads"
                raise OperationTimeout(f"not elected in {self.name!r} within {timeout:g} s: {error}")
            candidacy.withdraw(RESIGNED)

    def _is_decided(self, candidacy: Candidacy) -> bool:
        return candidacy.hold is not None or candidacy.over or self._closed

    def _standing(self, end: float) -> Steps[Candidacy]:
        """A candidacy; a new one once the former is over. It may be over, or have no term, when `end` comes."""
        former = self._candidacy
        if former is not None:
            yield Until(lambda: former.over or self._closed, end, former.changed)
            if not former.over:
                return former
        campaigns = self._slot.current().feature(Campaigns)
        with self._changed:
            self._require_open()
            self._candidacy = campaigns.new_candidacy(
                self, self.name, self.id, hold=self._hold, make_term=self.make_term
            )
            return self._candidacy

    def _withdraw(self) -> Candidacy | None:
        """End the term after its block, and leave the queue. Never blocks; `leaving` of the result follows."""
        with self._changed:
            self._block = None
            candidacy = self._candidacy
            self._changed.notify_all()
        if candidacy is not None:
            candidacy.withdraw(RESIGNED)
        return candidacy

    # -- closing --

    def end_term(self) -> None:
        """End the term, and let none begin. Never blocks; `leave` follows."""
        with self._changed:
            self._closed = True
            candidacy = self._candidacy
            self._changed.notify_all()
        if candidacy is not None:
            candidacy.end_hold("the election was closed")

    def leave(self, deadline: float) -> None:
        """Wait for the block of the term, at most until `deadline` (monotonic seconds), and leave the queue.

        The next leader begins when our node goes: not before our block has ended, if it ends in time.
        """
        run_steps(self._leaving(deadline))

    def _leaving(self, deadline: float) -> Steps[None]:
        me = self._me()

        def ended() -> bool:
            return self._block is None or self._block[1] is me

        def done() -> bool:
            return self._runner is None or self._runner is me

        yield Until(ended, deadline, self._changed)
        with self._changed:
            still = None if ended() else self._block
            candidacy = self._candidacy
        if candidacy is not None:
            candidacy.withdraw("the election was closed")
            yield from candidacy.leaving(max(0.0, deadline - time.monotonic()))
        yield Until(done, deadline, self._changed)
        if still is not None:
            term, runner = still
            log.error(
                "the election %r is closed, but the block of its term %d still runs on %s and leads no more",
                self.name, term.fence, self._name_of(runner),
            )  # fmt: skip
