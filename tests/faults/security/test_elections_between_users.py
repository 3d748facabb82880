"""Users who may not read each other's candidates, and stand for one election all the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.faults.security.conftest import MakeSecure
from tests.faults.security.helpers import SecureServer, settings, user
from tests.integration.election.helpers import Campaigner, wait_place
from tests.support import LIMIT, Recorder, Truth, wait_state
from zkdiscovery import Candidate, State
from zkdiscovery.election.cards import CARD
from zkdiscovery.session import Session
from zkdiscovery.testing import FaultProxy

NAME = "report"


class Queue:
    """An election, seen by each of its users; each candidate has a place that all may read, and a card."""

    def __init__(self, hosts: str, path: str, stack: ExitStack) -> None:
        self.path = path
        self._views: dict[str, Truth] = {}
        for name in ("alice", "bob"):
            view = self._views[name] = Truth(hosts)
            view.session = Session(settings(hosts=hosts, namespace="/", auth=user(name), acl="creator"))
            stack.enter_context(view)

    def join(self, campaigner: Campaigner, name: str, length: int) -> None:
        """Let this user's candidate stand, and wait until it knows its place."""
        campaigner.start()
        view = self._views[name]
        view.wait(self.path, lambda _: sum(not each.endswith(CARD) for each in view.children(self.path)) == length)
        wait_place(campaigner)

    def children(self, name: str) -> list[str]:
        """What stands there now."""
        return self._views[name].children(self.path)


@pytest.fixture
def election(secure: SecureServer, place: str) -> Iterator[Queue]:
    with ExitStack() as stack:
        yield Queue(secure.server.hosts, f"{place}/elections/{NAME}", stack)


def test_they_lead_one_after_another(make_secure: MakeSecure, election: Queue) -> None:
    """Only the places in the queue are known, and they are enough; nobody waits for somebody behind."""
    campaigners: list[Campaigner] = []
    for number, name in enumerate(("alice", "bob", "alice")):
        client = make_secure(auth=user(name), acl="creator")
        campaigners.append(Campaigner(client, NAME, rivals=campaigners, id=f"{name}-{number}"))
        election.join(campaigners[-1], name, number + 1)
    first, second, third = campaigners
    first.wait_term()
    assert [candidate.id for candidate in first.election.candidates()] == ["alice-0", "", "alice-2"]
    assert [candidate.id for candidate in second.election.candidates()] == ["", "bob-1", ""]
    for leader, follower in ((first, second), (second, third)):
        assert not follower.terms.items
        leader.leave()
        assert follower.wait_term().fence > leader.wait_term().fence
    assert not any(campaigner.overlaps for campaigner in campaigners)
    for campaigner in campaigners:
        campaigner.election.close(LIMIT)
        campaigner.join()


def test_one_that_comes_back_with_others_behind(
    make_secure: MakeSecure, secure: SecureServer, election: Queue, plain_truth: Truth
) -> None:
    """It contends for its term when somebody whom it may not read stands behind it already."""
    with FaultProxy(secure.server.hosts.replace("localhost", "127.0.0.1")) as proxy:
        plain_truth.create(f"{election.path}/first", ephemeral=True)
        first = Campaigner(make_secure(proxy.address, auth=user("alice"), acl="creator"), NAME)
        second = Campaigner(make_secure(auth=user("bob"), acl="creator"), NAME, rivals=[first])
        election.join(first, "alice", 2)
        election.join(second, "bob", 3)
        proxy.refuse()
        wait_state(first.client, State.SUSPENDED)
        plain_truth.delete(f"{election.path}/first")
        proxy.heal()
        first.wait_term()
        assert not second.terms.items
        for campaigner in (first, second):
            campaigner.election.close(LIMIT)
            campaigner.join()


def test_everybody_knows_who_leads_and_nobody_what_it_calls_itself(make_secure: MakeSecure, election: Queue) -> None:
    """The card shows only to those who may read it; no card outlives its place."""
    leader = Campaigner(make_secure(auth=user("alice"), acl="creator"), NAME, id="alice-0")
    election.join(leader, "alice", 1)
    fence = leader.wait_term().fence
    seen: dict[str, Recorder[Candidate | None]] = {}
    for name in ("alice", "bob"):
        seen[name] = Recorder()
        make_secure(auth=user(name), acl="creator").election(NAME).on_change(seen[name])
    seen["alice"].wait(lambda items: items[-1:] == [Candidate("alice-0", fence)])
    seen["bob"].wait(lambda items: items[-1:] == [Candidate("", fence)])
    leader.election.close(LIMIT)
    leader.join()
    for name in ("alice", "bob"):
        seen[name].wait(lambda items: items[-1] is None)
        assert seen[name].items[-2:] == [Candidate("alice-0" if name == "alice" else "", fence), None]
    assert election.children("alice") == []
