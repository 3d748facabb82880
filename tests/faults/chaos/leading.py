"""Campaigning, and acting as the leader."""

from __future__ import annotations

import contextlib
from random import Random
from typing import Any

from tests.faults.chaos.history import History, now
from tests.faults.chaos.mood import Mood
from tests.faults.chaos.sampling import Sampler
from tests.faults.chaos.store import StoreClient
from zkdiscovery import Client, ClientClosed, OperationTimeout, Term, ZkDiscoveryError

TERM = "term"  # the kind of these holds
ACT = 0.15  # seconds between two writes of a leader
LEAVE = 5.0  # seconds that leaving a campaign may take on top of its time limit (election.LEAVE_TIMEOUT)


def queue_of(election: str) -> str:
    """Return what its holds are of, apart from locks of that name."""
    return f"elections/{election}"


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
        self._queue = queue_of(name)
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
                self._lead(term, began)
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

    def _lead(self, term: Term, began: float) -> None:
        if not self._sampler.add(term, TERM, self._queue, began):
            return
        resigns_at = now() + self._rng.expovariate(1 / 4.0) if self._rng.random() < 0.4 else None
        while not self._mood.over:
            if resigns_at is not None and now() >= resigns_at and not self._mood.quiet:
                self._history.write("act", act="resign", of=self._queue, fence=term.fence)
                return
            checked = now()
            if term.lost:
                return
            self._number += 1
            self._store.write(self._queue, term.fence, self._number, checked)
            term.wait_lost(ACT)
