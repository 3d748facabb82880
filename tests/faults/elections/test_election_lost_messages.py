"""Each operation of an election, with its request or its answer lost: it is looked at before it is done again."""

from __future__ import annotations

import time

import pytest

from tests.conftest import MakeClient
from tests.faults.elections.helpers import CHECK, CREATE, DELETE, Lost, one_leader
from tests.integration.election.helpers import Campaigner, Line, path_of
from tests.support import LIMIT, Truth, core_of
from zkdiscovery.session.clock import lease_now
from zkdiscovery.testing import FaultProxy

answer_or_request = pytest.mark.parametrize("answer", [True, False], ids=["answer lost", "request lost"])


@answer_or_request
def test_the_creation_of_a_candidate(
    make_client: MakeClient, line: Line, truth: Truth, zkdiscovery_proxy: FaultProxy, answer: bool
) -> None:
    """kazoo: ConnectionLoss, then two nodes of one's own, and a lock that waits for itself. Curator defect 6."""
    client = make_client(zkdiscovery_proxy.address)
    client.wait_connected(LIMIT)
    leader = line.join(make_client())
    lost = Lost(zkdiscovery_proxy, CREATE, answer=answer)
    line.campaigners.append(late := Campaigner(client, rivals=[leader]).start())
    lost.wait()
    if answer:
        line.wait_length(2)
    else:
        assert len(truth.children(line.path)) == 1
    lost.break_link()
    assert one_leader(line) is leader
    node = truth.get(path_of(late))
    assert node is not None
    leader.election.close(LIMIT)
    assert late.wait_term().fence == node.stat.czxid
    assert core_of(client).session.epoch == 1


@answer_or_request
def test_the_first_proof_of_a_term(
    make_client: MakeClient, line: Line, zkdiscovery_proxy: FaultProxy, answer: bool
) -> None:
    """No term begins without its answer, whatever was committed; one begins on the next connection."""
    first, second = line.join(make_client()), line.join(make_client(zkdiscovery_proxy.address))
    node = path_of(second)
    lost = Lost(zkdiscovery_proxy, CHECK, answer=answer)
    first.election.close(LIMIT)
    lost.wait()
    line.wait_length(1)
    assert not second.terms.items
    lost.break_link()
    assert not second.wait_term().lost
    assert len(second.terms.items) == 1
    assert path_of(second) == node
    assert core_of(second.client).session.epoch == 1


@answer_or_request
def test_a_renewal(make_client: MakeClient, line: Line, zkdiscovery_proxy: FaultProxy, answer: bool) -> None:
    """It extends nothing; the next one, on a new connection, does."""
    first = line.join(make_client(zkdiscovery_proxy.address, session_timeout=2.0))
    line.join(make_client())
    term = first.wait_term()
    lost = Lost(zkdiscovery_proxy, CHECK, answer=answer)
    lost.wait()
    deadline = lease_now() + term.remaining
    assert not term.wait_lost(0.1)
    assert lease_now() + term.remaining == pytest.approx(deadline, abs=0.01)
    lost.break_link()
    assert one_leader(line) is first
    assert not term.wait_lost(deadline - lease_now() + 0.1)
    assert len(first.terms.items) == 1


@answer_or_request
def test_the_deletion_at_a_resignation(
    make_client: MakeClient, line: Line, zkdiscovery_proxy: FaultProxy, answer: bool
) -> None:
    """It is over at once for the leader, and for the next one with the deletion. No second node stands meanwhile."""
    first = line.join(make_client(zkdiscovery_proxy.address))
    second = line.join(make_client())
    node = path_of(first)
    lost = Lost(zkdiscovery_proxy, DELETE, answer=answer)
    first.wait_term().resign()
    lost.wait()
    assert first.wait_term().reason == "resigned"
    if answer:
        second.wait_term()  # before the former leader knows
        line.wait_length(1)
    else:
        assert not second.terms.items
        assert len(line.truth.children(line.path)) == 2
    lost.break_link()
    assert one_leader(line) is second
    assert path_of(first) != node
    second.leave()
    assert first.wait_term(2).fence > second.wait_term().fence
    assert not line.overlaps()


@answer_or_request
def test_the_deletion_at_closing(
    make_client: MakeClient, line: Line, zkdiscovery_proxy: FaultProxy, answer: bool
) -> None:
    """Curator defect 6: a lost answer to `delete` throws. Here closing ends in time, and the node is gone."""
    first = line.join(make_client(zkdiscovery_proxy.address))
    second = line.join(make_client())
    lost = Lost(zkdiscovery_proxy, DELETE, answer=answer)
    first.election.close(0.1)
    lost.wait()
    lost.break_link()
    first.join()
    second.wait_term()
    line.wait_length(1)
    candidacy = first.election._candidacy
    assert candidacy is not None
    candidacy.wait(lambda it: it.over, time.monotonic() + LIMIT)
    assert (candidacy.error, len(first.terms.items)) == (None, 1)


def test_the_handshake_of_a_reconnect(make_client: MakeClient, line: Line, zkdiscovery_proxy: FaultProxy) -> None:
    """Cut in the middle, twice: the session is taken up by the third connection, and the term goes on."""
    first = line.join(make_client(zkdiscovery_proxy.address, session_timeout=10.0))
    line.join(make_client())
    term = first.wait_term()
    session = core_of(first.client).session
    for _ in range(2):
        zkdiscovery_proxy.alter("server_to_client", lambda chunk: chunk[:10])
        accepted = zkdiscovery_proxy.accepted
        zkdiscovery_proxy.drop()
        zkdiscovery_proxy.wait_connections(1)
        assert zkdiscovery_proxy.accepted > accepted
    zkdiscovery_proxy.drop()
    zkdiscovery_proxy.heal()
    with session.changed:
        assert session.changed.wait_for(lambda: session.generation == 2, LIMIT)
    assert one_leader(line) is first
    assert first.election.term is term
    assert session.epoch == 1


def test_the_handshake_of_the_first_connection(
    make_client: MakeClient, line: Line, zkdiscovery_proxy: FaultProxy
) -> None:
    """The server has made a session that nobody knows of; nothing stands in it."""
    zkdiscovery_proxy.alter("server_to_client", lambda chunk: chunk[:10])
    line.campaigners.append(first := Campaigner(make_client(zkdiscovery_proxy.address)).start())
    zkdiscovery_proxy.wait_connections(1)
    zkdiscovery_proxy.drop()
    zkdiscovery_proxy.heal()
    assert not first.wait_term().lost
    assert one_leader(line) is first
