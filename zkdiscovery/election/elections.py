"""The features that the elections of one client share.

`Campaigns` closes when the client drains, `Observers` when it closes: who leads can be followed until then.
"""

from __future__ import annotations

import threading
import weakref
from typing import Protocol

from zkdiscovery.core import Core, Feature, Phase
from zkdiscovery.election.candidacy import Candidacy, MakeTerm
from zkdiscovery.election.candidate import Candidate, Observer, decode
from zkdiscovery.election.cards import Queued, read_candidates
from zkdiscovery.threads import Subscribers


class Campaigner(Protocol):
    """An election that has a candidacy, or had one."""

    def end_term(self) -> None:
        """End the term, and let none begin. Never blocks."""

    def leave(self, deadline: float) -> None:
        """Wait for the block of the term, at most until `deadline` (monotonic seconds), and leave the queue."""


class Observing(Protocol):
    """An election that tells its subscribers who leads."""

    def stop_observing(self) -> None:
        """End all subscriptions. Never blocks."""


class Campaigns(Feature):
    """The candidacies of one client."""

    phase = Phase.HOLDS

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        self._lock = threading.Lock()
        self._campaigners: weakref.WeakSet[Campaigner] = weakref.WeakSet()

    def new_candidacy(
        self, campaigner: Campaigner, election: str, id: str, *, hold: bool, make_term: MakeTerm
    ) -> Candidacy:
        """A new candidacy. Never blocks.

        Raises:
            ClientClosed: the client was drained or closed.
            NoThreadAvailable: the system has no thread to give.
        """
        self.add(campaigner)
        return Candidacy(self.core, election, id, hold=hold, make_term=make_term)

    def add(self, campaigner: Campaigner) -> None:
        """End this election when the client drains. Raises ClientClosed if the client was drained."""
        with self._lock:
            self.require_open()
            self._campaigners.add(campaigner)

    def begin_close(self, deadline: float) -> None:  # noqa: ARG002 - it is quick
        with self._lock:
            campaigners = list(self._campaigners)
        for campaigner in campaigners:
            campaigner.end_term()

    def close(self, deadline: float) -> None:
        for campaigner in list(self._campaigners):
            campaigner.leave(deadline)


class Observers(Feature):
    """Reads of elections, and the elections of one client that somebody follows."""

    phase = Phase.VIEWS

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        self._lock = threading.Lock()
        self._observing: set[Observing] = set()  # strongly: what has subscriptions goes on, even if nobody refers to it

    def names(self, timeout: float) -> list[str]:
        """Names of all elections, sorted; one read. Empty ones may be listed until ZooKeeper reaps them.

        Raises:
            NotConnected, OperationTimeout, AccessDenied: not answered within `timeout` seconds, or refused.
        """
        return self.core.session.children(self.core.paths.elections(), timeout=timeout)

    def candidates(self, election: str, timeout: float) -> list[Candidate]:
        """All candidates, the leader first; one read.

        Raises:
            NotConnected, OperationTimeout, AccessDenied: not answered within `timeout` seconds, or refused.
        """
        session, path = self.core.session, self.core.paths.election(election)

        def once(deadline: float, generation: int) -> list[Queued]:
            return read_candidates(session, path, generation=generation, deadline=deadline)

        return [decode(entry.data, entry.czxid) for entry in session.retry(once, timeout)]

    def observe(self, observing: Observing, election: str, subscribers: Subscribers[Candidate | None]) -> Observer:
        """Tell subscribers who leads. Never blocks.

        Raises:
            ClientClosed: the client was closed.
            NoThreadAvailable: the system has no thread to give.
        """
        with self._lock:
            self.require_open()
            observer = Observer(self.core.loader, self.core.paths.election(election), subscribers)
            self._observing.add(observing)
        return observer

    def release(self, observing: Observing) -> None:
        """Forget one that has no subscriptions any more."""
        with self._lock:
            self._observing.discard(observing)

    def begin_close(self, deadline: float) -> None:  # noqa: ARG002 - it is quick
        with self._lock:
            observing = list(self._observing)
        for each in observing:
            each.stop_observing()
