"""One candidacy: one place in the queue of an election, at most one term. See cards.py for the card beside it."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from zkdiscovery.core import Core
from zkdiscovery.election.candidate import encode
from zkdiscovery.election.cards import CARD, place_acl, read_candidates
from zkdiscovery.election.term import BaseTerm
from zkdiscovery.session import Lease
from zkdiscovery.znodes import OwnedNode, QueuePlace

log = logging.getLogger("zkdiscovery.election")

RESIGNED = "resigned"  # the reason for the end of a term that its holder has ended

MakeTerm: TypeAlias = Callable[[str, int, Lease, Callable[[], None]], BaseTerm]  # election, fence, lease, release


class Candidacy(QueuePlace[BaseTerm]):
    """A place in the queue of one election. Candidates are ordered by the transaction id of their creation."""

    def __init__(self, core: Core, election: str, id: str, *, hold: bool, make_term: MakeTerm) -> None:
        self.election = election
        self._make_term = make_term
        self._parent = core.paths.election(election)
        where, public, data = f"{self._parent}/{uuid.uuid4().hex}", place_acl(core.session.leaf_acl), encode(id)
        self._card: OwnedNode | None = None
        if public is not None:  # the card first: whoever sees the place finds it
            self._card = core.nodes.own(f"{where}{CARD}", data, restore=False)
            data = b""
        super().__init__(core.session, core.nodes, core.worker, where, data, acl=public, hold=hold)

    def read_queue(self, generation: int, deadline: float) -> list[str]:
        candidates = read_candidates(self._session, self._parent, generation=generation, deadline=deadline)
        return [candidate.path for candidate in candidates]

    def make_hold(self, fence: int, lease: Lease) -> BaseTerm:
        return self._make_term(self.election, fence, lease, partial(self.withdraw, RESIGNED))

    def on_begun(self, fence: int) -> None:
        log.info("leading the election %r, fence %d", self.election, fence)

    def on_ended(self, fence: int, reason: str, *, by_us: bool) -> None:
        level = logging.INFO if by_us else logging.WARNING
        log.log(level, "the term %d of the election %r is over: %s", fence, self.election, reason)

    def release_nodes(self) -> None:
        super().release_nodes()
        if self._card is not None:
            self._card.release()
