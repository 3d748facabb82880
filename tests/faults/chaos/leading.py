"""Campaigning, acting as the leader, and proof of when a term was valid.

A stamp is read before the term is looked at, so it proves that the term was valid at that time; and a term that is
valid at one time was so since it began, for a lost term never revives.
"""

from __future__ import annotations

import contextlib
import threading
from random import Random
from typing import Any

from tests.faults.chaos.history import History, now
from tests.faults.chaos.mood import Mood
from tests.faults.chaos.store import StoreClient
from zkdiscovery import Client, ClientClosed, OperationTimeout, Term, ZkDiscoveryError

SAMPLE = 0.02  # seconds between two looks at a term
TELL = 0.1  # seconds between two lines about it: what a killed process loses at most
ACT = 0.15  # seconds between two writes of a leader
LEAVE = 5.0  # seconds that leaving a campaign may take on top of its time limit (election.LEAVE_TIMEOUT)


class Sampler:
    """Looks at all terms of the process, on a thread of its own."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._changed = threading.Condition()
        self._terms: dict[Term, tuple[float, float]] = {}  # the latest stamp, and when it was told

    def add(self, term: Term) -> bool:
        """A term begins; False if it is over already."""
        stamp = now()
        if term.lost:
            return False
        self._history.write("term", el=term.election, fence=term.fence, begin=stamp, remaining=term.remaining)
        with self._changed:
            self._terms[term] = (stamp, stamp)
            self._changed.notify_all()
        return True

    def run(self) -> None:
        """For ever."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._terms))
                terms = dict(self._terms)
            for term, (last, told) in terms.items():
                stamp = now()
                if term.lost:
                    self._tell(term, last, over=term.reason)
                    with self._changed:
                        del self._terms[term]
                elif stamp - told >= TELL:
                    self._tell(term, stamp)
                    self._terms[term] = (stamp, stamp)
                else:
                    self._terms[term] = (stamp, told)
            with self._changed:
                self._changed.wait(SAMPLE)

    def _tell(self, term: Term, stamp: float, over: str | None = None) -> None:
        self._history.write(
            "valid", el=term.election, fence=term.fence, to=stamp, remaining=round(term.remaining, 3), over=over
        )


class Campaigner:
    """Stands in one election again and again, on a thread of its own."""

    def __init__(
        self,
        client: Client,
        name: str,
        who: str,
        store: int,
        history: History,
        sampler: Sampler,
        mood: Mood,
        rng: Random,
    ) -> None:
        self.name = name
        self._client, self._who = client, who
        self._history, self._sampler, self._mood, self._rng = history, sampler, mood, rng
        self._store = StoreClient(store, who)
        self._number = 0
        self._term: Term | None = None

    def fence(self) -> int | None:
        """That of the present term; None if this process does not lead."""
        term = self._term
        return None if term is None or term.lost else term.fence

    def run(self) -> None:
        """Campaign until the process ends."""
        with contextlib.suppress(ClientClosed):
            election: Any = None
            while not self._mood.over:
                if election is None or self._rng.random() < 0.3:
                    election = self._client.election(self.name, id=self._who)
                self._campaign(election)

    def _campaign(self, election: Any) -> None:
        limit = self._rng.choice([None, None, None, None, 3.0, 15.0])
        began = now()
        try:
            with election.campaign(limit) as term:
                self._term = term
                self._lead(term)
        except OperationTimeout:
            self._history.write(
                "call", name="campaign", begin=began, end=now(), limit=(limit or 0.0) + LEAVE, result="ok"
            )
        except ClientClosed:
            raise
        except ZkDiscoveryError as error:
            self._history.write("defect", error=f"campaign: {error!r}")
        finally:
            self._term = None

    def _lead(self, term: Term) -> None:
        if not self._sampler.add(term):
            return
        resigns_at = now() + self._rng.expovariate(1 / 4.0) if self._rng.random() < 0.4 else None
        while not self._mood.over:
            if resigns_at is not None and now() >= resigns_at and not self._mood.quiet:
                self._history.write("act", act="resign", el=self.name, fence=term.fence)
                return
            checked = now()
            if term.lost:
                return
            self._number += 1
            self._store.write(self.name, term.fence, self._number, checked)
            term.wait_lost(ACT)
