"""How a term is lost: expiry, deletion, and links that break, stall, or pass one way only.

Where a test claims that a term lasts, it waits for its loss for the time in question, in vain.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.conftest import MakeClient
from tests.integration.election.cuts import FAULTS, T, cuts, deaf, lasts, mature, uncommitted
from tests.integration.election.helpers import NAME, Campaigner, Events, Line, path_of, wait_place
from tests.support import LIMIT, Truth, core_of, counting, wait_epoch, wait_state
from zkdiscovery import Client, OperationTimeout, State
from zkdiscovery.session import GetChildren
from zkdiscovery.session.clock import lease_now
from zkdiscovery.testing import FaultProxy, ZookeeperServer

Expire = Callable[[Client], None]


# -- expiry and deletion --


def test_an_expired_leader_is_told_and_the_next_leads(
    make_client: MakeClient, line: Line, zkdiscovery_expire: Expire
) -> None:
    first, second = line.join(make_client()), line.join(make_client())
    old = first.wait_term()
    zkdiscovery_expire(first.client)
    first.wait_lost()
    assert old.reason == "the session expired"
    assert second.wait_term().fence > old.fence
    # It stands again, in its new session, at the end of the queue.
    wait_epoch(first.client, 2)
    line.wait_length(2)
    second.leave()
    again = first.wait_term(2)
    assert again is not old
    assert again.fence > second.wait_term().fence
    assert not again.lost
    assert old.lost
    assert old.reason == "the session expired"


def test_a_candidate_whose_session_expires_stands_again(
    make_client: MakeClient, line: Line, zkdiscovery_expire: Expire
) -> None:
    first, second = line.join(make_client()), line.join(make_client())
    before = path_of(second)
    zkdiscovery_expire(second.client)
    wait_epoch(second.client, 2)
    line.wait_length(2)
    wait_place(second)
    assert path_of(second) != before
    assert not first.wait_term().lost
    first.leave()
    second.wait_term()


def test_a_leader_whose_node_is_deleted_is_told_and_the_next_leads(
    make_client: MakeClient, truth: Truth, line: Line
) -> None:
    first, second = line.join(make_client()), line.join(make_client())
    node = path_of(first)
    deleted = lease_now()
    truth.delete(node)
    # Far sooner than by the lease or the session.
    assert first.wait_lost() - deleted < 0.4 * T
    assert first.wait_term().reason is not None
    assert "deleted from outside" in first.wait_term().reason
    assert second.wait_term().fence > first.wait_term().fence
    line.wait_length(2)
    assert path_of(first) != node
    assert not second.wait_term().lost


def test_a_deleted_candidate_stands_again_at_the_end_of_the_queue(
    make_client: MakeClient, truth: Truth, line: Line
) -> None:
    first, second, third = (line.join(make_client()) for _ in range(3))
    node = path_of(second)
    with Events(truth, line.path) as events:
        truth.delete(node)
        events.wait(lambda items: len(items) == 2)
    assert [kind.name for kind, _ in events.items] == ["DELETED", "CREATED"]
    assert not first.wait_term().lost
    first.leave()
    third.wait_term()
    assert not second.terms.items
    third.leave()
    second.wait_term()


def test_what_others_write_into_a_candidate_harms_nothing(make_client: MakeClient, truth: Truth, line: Line) -> None:
    first, second = line.join(make_client(), id="first"), line.join(make_client(), id="second")
    for campaigner in (first, second):
        truth.set(path_of(campaigner), b"junk")
        truth.wait(path_of(campaigner), lambda node: node is not None and node.data != b"junk")
    assert [candidate.id for candidate in first.election.candidates()] == ["first", "second"]
    assert not first.wait_term().lost
    first.leave()
    second.wait_term()


def test_one_deleted_candidate_does_not_harm_the_other_terms_of_its_client(
    make_client: MakeClient, truth: Truth, namespace: str
) -> None:
    client = make_client()
    campaigners = [Campaigner(client, f"job-{number}").start() for number in range(3)]
    terms = [campaigner.wait_term() for campaigner in campaigners]
    truth.delete(path_of(campaigners[1]))
    assert terms[1].wait_lost(LIMIT)
    campaigners[1].wait_term(2)
    mature(terms[0], terms[2])
    assert min(terms[0].remaining, terms[2].remaining) > 0.45 * T  # renewed without the one that is gone
    for campaigner in campaigners:
        campaigner.election.close(LIMIT)
        campaigner.join()


# -- renewals --


def test_one_transaction_renews_all_terms_of_a_client_and_raises_no_event(
    make_client: MakeClient, truth: Truth, namespace: str
) -> None:
    client = make_client()
    campaigners = [Campaigner(client, f"job-{number}").start() for number in range(5)]
    terms = [campaigner.wait_term() for campaigner in campaigners]
    with Events(truth, f"{namespace}/elections") as events, counting(client) as requests:
        assert lasts(terms[0], 0.5 * T)
        truth.session.read(GetChildren(f"{namespace}/elections"), timeout=LIMIT)  # events come before the answer
    assert set(requests) == {"Multi", "Sync"}  # two of these go before a renewal
    assert 3 <= requests["Multi"] <= 6
    assert requests["Sync"] <= 2 * 6
    assert not events.items
    assert all(0.45 * T < term.remaining <= 0.6 * T for term in terms)
    for campaigner in campaigners:
        campaigner.election.close(LIMIT)
        campaigner.join()


# -- links --


def test_a_cut_shorter_than_the_lease_ends_no_term(
    make_client: MakeClient, zkdiscovery_server: ZookeeperServer
) -> None:
    with cuts(FAULTS, zkdiscovery_server.hosts, make_client, T) as all_cuts:
        for each in all_cuts:
            each.cut()
        assert lasts(all_cuts[0].term, 0.4 * T)
        during = {each.name: each.term.remaining for each in all_cuts}
        for each in all_cuts:
            assert each.left - 0.45 * T < during[each.name] < each.left - 0.35 * T, each.name  # nothing extends it
            each.proxy.heal()
        assert lasts(all_cuts[0].term, 0.4 * T)  # what was held back for so long is no sign of life when it comes
        for each in all_cuts:
            assert each.term.remaining > during[each.name], each.name
            assert each.first.election.term is each.term, each.name
            assert not each.second.terms.items, each.name


def test_a_longer_cut_ends_the_term_before_the_next_begins(
    make_client: MakeClient, zkdiscovery_server: ZookeeperServer
) -> None:
    # All but deaf: as long as the server hears us, if only our attempts to connect, it keeps the session.
    with cuts(FAULTS[:-1], zkdiscovery_server.hosts, make_client, T / 2) as all_cuts:
        for each in all_cuts:
            each.cut()
        for each in all_cuts:
            lost = each.first.wait_lost()
            assert each.at + each.left - 0.1 < lost < each.at + 0.7 * each.timeout, each.name
            assert each.second.wait_term().fence > each.term.fence, each.name
            assert lost < each.second.began[0], each.name
            assert not each.second.overlaps, each.name
            each.proxy.heal()
        for each in all_cuts:
            wait_epoch(each.first.client, 2)
            assert each.term.lost, each.name
            each.second.leave()
            assert each.first.wait_term(2).fence > each.second.wait_term().fence, each.name


def test_only_an_answered_commit_extends_a_lease(make_client: MakeClient, zkdiscovery_server: ZookeeperServer) -> None:
    with cuts([deaf, uncommitted], zkdiscovery_server.hosts, make_client, T / 2) as all_cuts:
        for each in all_cuts:
            each.cut()
        for each in all_cuts:
            assert each.at + each.left - 0.1 < each.first.wait_lost() < each.at + 0.7 * each.timeout, each.name
            assert each.term.reason == "the session was not renewed in time", each.name
        # Contact there was: a new connection, and what a follower of an ensemble would answer as well.
        session = core_of(all_cuts[1].first.client).session
        assert session.generation > 1
        assert session.epoch == 1


def test_the_node_of_a_lost_term_is_deleted_before_the_next_candidacy(
    make_client: MakeClient, truth: Truth, line: Line, zkdiscovery_proxy: FaultProxy
) -> None:
    # The cut is longer than the lease and shorter than the session, which goes on.
    leader = line.join(make_client(zkdiscovery_proxy.address))
    old = leader.wait_term()
    mature(old)
    node = path_of(leader)
    with Events(truth, line.path) as events:
        zkdiscovery_proxy.refuse()
        leader.wait_lost()
        assert old.reason == "the session was not renewed in time"
        assert truth.get(node) is not None
        zkdiscovery_proxy.heal()
        again = leader.wait_term(2)
        events.wait(lambda items: len(items) == 2)
    assert core_of(leader.client).session.epoch == 1
    (first, path), (second, other) = events.items
    assert (first.name, path) == ("DELETED", node)
    assert (second.name, other) == ("CREATED", path_of(leader))
    assert again.fence > old.fence


def test_no_candidacy_begins_while_the_former_node_may_stand(
    make_client: MakeClient, truth: Truth, line: Line, zkdiscovery_proxy: FaultProxy
) -> None:
    client = make_client(zkdiscovery_proxy.address)
    election = client.election(NAME)
    with election.campaign(LIMIT) as old:
        former = election._candidacy
        zkdiscovery_proxy.refuse()
        wait_state(client, State.SUSPENDED)
    with pytest.raises(OperationTimeout):
        election.campaign(0.1).__enter__()
    assert election._candidacy is former
    assert len(truth.children(line.path)) == 1
    zkdiscovery_proxy.heal()
    with election.campaign(LIMIT) as term:
        assert term.fence > old.fence
        assert len(truth.children(line.path)) == 1


def test_release_ends_the_term_with_the_connection(
    make_client: MakeClient, line: Line, zkdiscovery_proxy: FaultProxy
) -> None:
    leader = line.join(make_client(zkdiscovery_proxy.address), on_suspend="release")
    old = leader.wait_term()
    zkdiscovery_proxy.drop()
    leader.wait_lost()
    assert old.reason == "the connection to ZooKeeper broke"
    assert leader.wait_term(2).fence > old.fence
    assert core_of(leader.client).session.epoch == 1


def test_hold_survives_a_dropped_connection(make_client: MakeClient, line: Line, zkdiscovery_proxy: FaultProxy) -> None:
    leader = line.join(make_client(zkdiscovery_proxy.address))
    term = leader.wait_term()
    session = core_of(leader.client).session
    zkdiscovery_proxy.drop()
    with session.changed:
        assert session.changed.wait_for(lambda: session.generation == 2, LIMIT)
    mature(term)
    assert leader.election.term is term


def test_a_lost_answer_to_the_creation_makes_one_candidate(
    make_client: MakeClient, truth: Truth, line: Line, zkdiscovery_proxy: FaultProxy
) -> None:
    client = make_client(zkdiscovery_proxy.address)
    client.wait_connected(LIMIT)
    truth.create(f"{line.path}/parent-is-there", ephemeral=True)

    def swallow_answers(chunk: bytes) -> bytes:
        if f"{line.path}/".encode() in chunk:
            zkdiscovery_proxy.alter("server_to_client", lambda _answer: b"")
        return chunk

    zkdiscovery_proxy.alter("client_to_server", swallow_answers)
    campaigner = Campaigner(client).start()
    line.campaigners.append(campaigner)
    line.wait_length(2)  # it was created, and the client does not know
    zkdiscovery_proxy.drop()
    zkdiscovery_proxy.heal()
    wait_place(campaigner)
    assert truth.children(line.path) == sorted([path_of(campaigner).rpartition("/")[2], "parent-is-there"])
    truth.delete(f"{line.path}/parent-is-there")
    node = truth.get(path_of(campaigner))
    assert node is not None
    assert campaigner.wait_term().fence == node.stat.czxid


# -- fork --


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_does_not_lead(make_client: MakeClient) -> None:
    election = make_client().election(NAME)
    block = election.campaign(LIMIT)
    term = block.__enter__()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            term.resign()
            block.__exit__(None, None, None)
            os.write(writer, f"{term.lost} {term.reason} {election.term} {term.remaining} {election!r}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        assert answer.read() == "True it belongs to the parent process None 0.0 <Election 'nightly-report' idle>"
    os.waitpid(pid, 0)
    assert not term.lost
    assert election.term is term
    block.__exit__(None, None, None)
