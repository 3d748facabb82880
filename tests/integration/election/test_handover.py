"""Who leads next: hand-over in every way of leaving, and a queue in which nobody is woken in vain."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack, closing

import pytest

from tests.conftest import MakeClient
from tests.integration.election.helpers import NAME, Campaigner, Line, path_of, settle
from tests.support import LIMIT, Truth, core_of, counting, wait_state
from zkdiscovery import Client, State, Term
from zkdiscovery.session import GetChildren
from zkdiscovery.testing import FaultProxy
from zkdiscovery.threads import run_steps
from zkdiscovery.znodes import OwnedState


def test_leaving_the_block_resigns(make_client: MakeClient, truth: Truth, queue: str) -> None:
    client = make_client()
    election = client.election(NAME)
    with election.campaign(LIMIT) as term:
        assert not term.lost
        assert election.term is term
        assert truth.children(queue)
    assert term.lost
    assert term.reason == "resigned"
    assert election.term is None
    assert truth.children(queue) == []


def test_an_exception_in_the_block_resigns_and_goes_on(make_client: MakeClient, truth: Truth, queue: str) -> None:
    election = make_client().election(NAME)
    with pytest.raises(ZeroDivisionError), election.campaign(LIMIT) as term:
        raise ZeroDivisionError
    assert term.lost
    assert truth.children(queue) == []
    with election.campaign(LIMIT) as second:
        assert second.fence > term.fence


def _break(client: Client) -> Term:
    terms = []
    for term in client.election(NAME).terms():
        terms.append(term)
        break
    return terms[0]


def _raise(client: Client) -> Term:
    kept = []

    def turns() -> None:
        for term in client.election(NAME).terms():
            kept.append(term)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        turns()
    return kept[0]


def _close_generator(client: Client) -> Term:
    election = client.election(NAME)
    with closing(election.terms()) as terms:
        return next(terms)


def _return(client: Client) -> Term:
    for term in client.election(NAME).terms():
        return term
    raise AssertionError


@pytest.mark.parametrize("leave", [_break, _raise, _close_generator, _return])
def test_leaving_the_loop_in_any_way_withdraws(
    make_client: MakeClient, truth: Truth, queue: str, leave: Callable[[Client], Term]
) -> None:
    term = leave(make_client())
    assert term.reason == "resigned"
    assert truth.children(queue) == []


def test_each_turn_of_the_loop_is_another_term(make_client: MakeClient) -> None:
    fences = []
    for term in make_client().election(NAME).terms():
        fences.append(term.fence)
        if len(fences) == 3:
            break
    assert fences == sorted(set(fences))


def _leave_block(leader: Campaigner) -> None:
    leader.leave()


def _resign(leader: Campaigner) -> None:
    leader.wait_term().resign()


def _close_election(leader: Campaigner) -> None:
    leader.election.close(LIMIT)


def _close_client(leader: Campaigner) -> None:
    leader.client.close(LIMIT)


@pytest.mark.parametrize("leave", [_leave_block, _resign, _close_election, _close_client])
def test_the_next_leads_at_once_when_the_leader_leaves(
    make_client: MakeClient, line: Line, leave: Callable[[Campaigner], None]
) -> None:
    # No session ends here: only what is said in leaving makes the next one lead.
    first, second = line.join(make_client()), line.join(make_client())
    leave(first)
    assert second.wait_term().fence > first.wait_term().fence
    assert not line.overlaps()


def test_resigning_in_the_loop_campaigns_again_behind_the_others(make_client: MakeClient, line: Line) -> None:
    first, second = line.join(make_client()), line.join(make_client())
    first.wait_term().resign()
    second.wait_term()
    line.wait_length(2)
    second.wait_term().resign()
    assert first.wait_term(2).fence > second.wait_term().fence
    assert not line.overlaps()


def test_one_that_leaves_the_queue_wakes_only_its_follower(
    make_client: MakeClient, truth: Truth, queue: str, line: Line
) -> None:
    leader, second, third, fourth = (line.join(make_client()) for _ in range(4))
    with counting(leader.client) as by_leader, counting(third.client) as by_third, counting(fourth.client) as by_fourth:
        second.election.close(LIMIT)
        for campaigner in (third, fourth):
            # The answer comes after the events of all that happened before; then the worker does what is due.
            core_of(campaigner.client).session.read(GetChildren(queue), timeout=LIMIT)
            settle(campaigner.client)
    for counts in (by_third, by_fourth):
        counts.subtract({"GetChildren": 1})
        counts.pop("Echo", None)  # by which a client that stands has heard of its server lately
    assert by_third.pop("Sync")  # its turn is next
    # Where do we stand (list, read), who is ahead now (watch, read), and the watch on the former one is not needed.
    assert +by_third == {"GetChildren": 1, "MultiRead": 2, "SetWatches": 1, "RemoveWatches": 1}
    assert not +by_fourth
    assert set(by_leader) <= {"Multi", "Sync"}  # its renewals
    assert not third.terms.items

    leader.leave()
    third.wait_term()
    assert not line.overlaps()
    assert not fourth.terms.items


def test_the_follower_of_the_last_one_ahead_reads_nothing_before_it_leads(make_client: MakeClient, line: Line) -> None:
    leader, second = line.join(make_client()), line.join(make_client())
    settle(second.client)
    with counting(second.client) as requests:
        leader.leave()
        second.wait_term()
        settle(second.client)
    requests.pop("Sync", None)  # of the time before, and of renewals
    assert set(requests) == {"Multi", "RemoveWatches"}  # the proof that it stands, renewals; it watches nobody any more
    assert requests["RemoveWatches"] == 1
    assert not line.overlaps()


def test_each_candidate_watches_its_predecessor_and_itself(make_client: MakeClient, line: Line) -> None:
    campaigners = [line.join(make_client()) for _ in range(3)]
    paths = [path_of(each) for each in campaigners]
    watched = [set(core_of(each.client).session.watches._by_path) for each in campaigners]
    assert watched == [{paths[0]}, {paths[0], paths[1]}, {paths[1], paths[2]}]


def test_two_election_objects_of_one_client_are_two_candidates(make_client: MakeClient, line: Line) -> None:
    client = make_client()
    first, second = line.join(client), line.join(client)
    assert path_of(first) != path_of(second)
    first.leave()
    assert second.wait_term().fence > first.wait_term().fence


def test_candidates_that_are_wanted_together_are_created_one_by_one(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy, truth: Truth, line: Line
) -> None:
    # All nodes of one transaction have one transaction id: two candidates with the same would both lead.
    client = make_client(zkdiscovery_proxy.address)
    client.wait_connected(LIMIT)
    zkdiscovery_proxy.refuse()
    wait_state(client, State.SUSPENDED)
    elections = [client.election(NAME) for _ in range(3)]
    candidacies = [run_steps(election._standing(math.inf)) for election in elections]
    zkdiscovery_proxy.heal()
    line.wait_length(3)
    for candidacy in candidacies:
        assert candidacy.node.wait(lambda node: node.state is OwnedState.HELD, LIMIT)
    settle(client)
    assert len({candidacy.node.czxid for candidacy in candidacies}) == 3
    assert [candidacy.hold is not None for candidacy in candidacies].count(True) == 1


def test_one_client_stands_in_many_elections(make_client: MakeClient) -> None:
    client = make_client()
    elections = [client.election(f"job-{number}") for number in range(20)]
    with ExitStack() as stack:
        terms = [stack.enter_context(election.campaign(LIMIT)) for election in elections]
        assert not any(term.lost for term in terms)
        terms[7].resign()
        assert [term.lost for term in terms].count(True) == 1
