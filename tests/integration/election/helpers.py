"""What the election tests share: who campaigns, and when a candidate has found its place."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, Self

from tests.support import LIMIT, Recorder, Truth, core_of
from zkdiscovery import Client, Election, Term
from zkdiscovery.election.candidacy import Candidacy
from zkdiscovery.session import EventKind
from zkdiscovery.session.clock import lease_now
from zkdiscovery.znodes import OwnedState

NAME = "nightly-report"


class Campaigner:
    """Campaigns on a thread of its own; leads until told to leave, or until its term is lost.

    When a term of its own begins it looks at those of its rivals: what is not lost then goes into `overlaps`.
    """

    def __init__(self, client: Client, name: str = NAME, *, rivals: Sequence[Campaigner] = (), **options: Any) -> None:
        self.client = client
        self.election: Election = client.election(name, **options)
        self.rivals = rivals
        self.terms: Recorder[Term] = Recorder()
        self.overlaps: list[Term] = []
        self.began: list[float] = []  # lease clock
        self.lost: Recorder[tuple[Term, float]] = Recorder()  # with the lease clock
        self.ended = threading.Event()
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"campaigner-{name}", daemon=True)

    def _run(self) -> None:
        try:
            for term in self.election.terms():
                self.began.append(lease_now())
                self.overlaps += [
                    other for rival in self.rivals if rival is not self for other in rival.terms.items if not other.lost
                ]
                self.terms(term)
                if term.wait_lost(LIMIT):
                    self.lost((term, lease_now()))
                if self._leave.is_set():
                    break
        finally:
            self.ended.set()

    def start(self) -> Self:
        """Begin to campaign."""
        self._thread.start()
        return self

    def wait_term(self, number: int = 1) -> Term:
        """The term number `number`, once it was won."""
        return self.terms.wait(lambda terms: len(terms) >= number)[number - 1]

    def wait_lost(self, number: int = 1) -> float:
        """When the term number `number` was seen as lost, on the lease clock."""
        return self.lost.wait(lambda lost: len(lost) >= number)[number - 1][1]

    def leave(self) -> None:
        """Resign and campaign no more."""
        self._leave.set()
        term = self.election.term
        if term is not None:
            term.resign()

    def join(self) -> None:
        """Wait until the campaign is over."""
        assert self.ended.wait(LIMIT)
        self._thread.join(LIMIT)


class Line:
    """Campaigners of one election, in the order of their queue."""

    def __init__(self, truth: Truth, path: str) -> None:
        self.truth = truth
        self.path = path
        self.campaigners: list[Campaigner] = []

    def join(self, client: Client, *, others: int = 0, **options: Any) -> Campaigner:
        """One more, at the end of the queue, in which `others` stand as well; it has found its place on return."""
        campaigner = Campaigner(client, rivals=self.campaigners, **options)
        standing = others + sum(not each.ended.is_set() for each in self.campaigners)
        self.campaigners.append(campaigner)
        campaigner.start()
        if standing:
            self.wait_length(standing + 1)
            wait_place(campaigner)
        else:
            campaigner.wait_term()
        return campaigner

    def overlaps(self) -> list[Term]:
        """Terms that were not lost when another one began."""
        return [term for campaigner in self.campaigners for term in campaigner.overlaps]

    def wait_length(self, count: int) -> None:
        """Wait until so many candidates stand in ZooKeeper."""
        self.truth.wait(self.path, lambda node: (node.stat.num_children if node else 0) == count)

    def end(self) -> None:
        """Close all."""
        for campaigner in self.campaigners:
            campaigner.election.close(LIMIT)
        for campaigner in self.campaigners:
            campaigner.join()


def candidacy_of(campaigner: Campaigner) -> Candidacy:
    """The present candidacy."""
    with campaigner.election._changed:  # it may be about to be made
        candidacy = campaigner.election._candidacy
    assert candidacy is not None
    return candidacy


def path_of(campaigner: Campaigner) -> str:
    """The node of the present candidacy."""
    return candidacy_of(campaigner).node.path


def wait_place(campaigner: Campaigner) -> None:
    """Wait until a candidate whose node stands knows who is ahead."""
    node = candidacy_of(campaigner).node
    assert node.wait(lambda node: node.state is OwnedState.HELD, LIMIT)
    settle(campaigner.client)


def settle(client: Client) -> None:
    """Wait until the client has reacted to everything that ZooKeeper has told it."""
    worker = core_of(client).worker
    for _ in range(3):  # a task that runs may have scheduled another one
        done = threading.Event()
        worker.schedule(done, done.set)
        assert done.wait(LIMIT)


class Events(Recorder[tuple[EventKind, str]]):
    """What happens at a path and below it, while the block runs, as ZooKeeper tells it to a session of its own."""

    def __init__(self, truth: Truth, path: str) -> None:
        super().__init__()
        self._session = truth.session
        self._watch = self._session.watches.add(path, lambda kind, path: self((kind, path)))

    def __enter__(self) -> Self:
        deadline = time.monotonic() + LIMIT
        (armed,) = self._session.watches.arm([self._watch], generation=self._session.generation, deadline=deadline)
        armed.result(LIMIT)
        return self

    def __exit__(self, *exc: object) -> None:
        self._watch.close()
