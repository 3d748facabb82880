"""Users who may not read each other's candidates, and stand for one election all the same."""

from __future__ import annotations

from contextlib import ExitStack

from tests.faults.security.conftest import MakeSecure
from tests.faults.security.helpers import user
from tests.integration.election.helpers import Campaigner, wait_place
from tests.support import LIMIT, Truth, wait_state
from zkdiscovery import State
from zkdiscovery.testing import FaultProxy

NAME = "report"


def stand(campaigner: Campaigner) -> None:
    """Wait until it stands, and knows behind whom. No event tells of a node to those who may not read it."""
    with campaigner.election._lock:
        assert campaigner.election._changed.wait_for(lambda: campaigner.election._candidacy is not None, LIMIT)
    wait_place(campaigner)


def test_they_lead_one_after_another(make_secure: MakeSecure) -> None:
    """Only the places in the queue are known, and they are enough; nobody waits for somebody behind."""
    campaigners: list[Campaigner] = []
    for number, name in enumerate(("alice", "bob", "alice")):
        client = make_secure(auth=user(name), acl="creator")
        campaigners.append(Campaigner(client, NAME, rivals=campaigners, id=f"{name}-{number}").start())
        stand(campaigners[-1])
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


def test_one_that_comes_back_with_others_behind(make_secure: MakeSecure, place: str, plain_truth: Truth) -> None:
    """It contends for its term when somebody whom it may not read stands behind it already."""
    with ExitStack() as stack:
        proxy = stack.enter_context(FaultProxy(plain_truth.session.settings.hosts.replace("localhost", "127.0.0.1")))
        plain_truth.create(f"{place}/elections/{NAME}/first", ephemeral=True)
        first = Campaigner(make_secure(proxy.address, auth=user("alice"), acl="creator"), NAME).start()
        second = Campaigner(make_secure(auth=user("bob"), acl="creator"), NAME, rivals=[first])
        stand(first)
        stand(second.start())
        proxy.refuse()
        wait_state(first.client, State.SUSPENDED)
        plain_truth.delete(f"{place}/elections/{NAME}/first")
        proxy.heal()
        first.wait_term()
        assert not second.terms.items
        for campaigner in (first, second):
            campaigner.election.close(LIMIT)
            campaigner.join()
