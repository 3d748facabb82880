"""The scenarios of Curator's own tests of leadership, and those in which kazoo's and tooz's recipes fail."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import MakeClient
from tests.faults.elections.helpers import CREATE, SET_WATCHES, before_request, cut_off, hold, one_leader
from tests.integration.election.helpers import NAME, Campaigner, Line, path_of, settle, wait_place
from tests.integration.election.test_closing import Block
from tests.support import LIMIT, Recorder, Truth, core_of, wait_state
from zkdiscovery import Candidate, Client, State
from zkdiscovery.session import Sync
from zkdiscovery.testing import FaultProxy, ZookeeperServer

T = 2.0  # seconds, the session timeout where one has to pass


def test_the_watched_node_goes_while_the_follower_is_cut_off(
    make_client: MakeClient, line: Line, zkdiscovery_proxy: FaultProxy
) -> None:
    """Curator: TestLeaderLatch.testWatchedNodeDeletedOnReconnect; twice, for who stands last and for who is next."""
    first, second = line.join(make_client()), line.join(make_client())
    third = line.join(make_client(zkdiscovery_proxy.address))
    cut_off(third, zkdiscovery_proxy)
    second.election.close(LIMIT)
    second.join()
    line.wait_length(2)
    zkdiscovery_proxy.heal()
    wait_state(third.client, State.CONNECTED)
    settle(third.client)
    assert not third.terms.items
    assert not first.wait_term().lost

    cut_off(third, zkdiscovery_proxy)
    first.election.close(LIMIT)
    line.wait_length(1)
    zkdiscovery_proxy.heal()
    assert third.wait_term().fence > first.wait_term().fence
    assert core_of(third.client).session.epoch == 1
    assert not line.overlaps()


def test_the_predecessor_goes_between_the_list_and_the_watch(
    make_client: MakeClient, line: Line, truth: Truth, zkdiscovery_proxy: FaultProxy
) -> None:
    """Curator: CURATOR-620 and "children gone between list and watch": no event will ever come for it."""
    first = line.join(make_client())
    truth.create(f"{line.path}/next", ephemeral=True)
    client = make_client(zkdiscovery_proxy.address)
    client.wait_connected(LIMIT)
    ahead = f"{line.path}/next"
    gone = before_request(zkdiscovery_proxy, SET_WATCHES, 0, lambda: truth.delete(ahead), naming=ahead)
    line.campaigners.append(late := Campaigner(client, rivals=[first]).start())
    assert gone.wait(LIMIT)
    line.wait_length(2)
    wait_place(late)
    assert set(core_of(client).session.watches._by_path) == {path_of(first), path_of(late)}
    assert not late.terms.items
    first.leave()
    late.wait_term()


def test_no_server_at_the_start(make_client: MakeClient, line: Line, zkdiscovery_proxy: FaultProxy) -> None:
    """Curator: TestLeaderLatch.testNoServerAtStart."""
    zkdiscovery_proxy.refuse()
    campaigner = Campaigner(make_client(zkdiscovery_proxy.address))
    line.campaigners.append(campaigner.start())
    zkdiscovery_proxy.heal()
    assert not campaigner.wait_term().lost
    one_leader(line)


def test_the_server_is_killed_and_comes_back_within_the_session(
    make_client: MakeClient, line: Line, zkdiscovery_server: ZookeeperServer
) -> None:
    """Curator: TestLeaderLatch.testLostConnection; the term may end, by its lease, but one leads in the end."""
    first, second = line.join(make_client(session_timeout=10.0)), line.join(make_client(session_timeout=10.0))
    fence = first.wait_term().fence
    zkdiscovery_server.kill()
    wait_state(first.client, State.SUSPENDED)
    wait_state(second.client, State.SUSPENDED)
    zkdiscovery_server.restart()
    line.truth.session.wait_connected(LIMIT)
    assert one_leader(line).terms.items[-1].fence >= fence
    assert not line.overlaps()


def test_the_server_loses_all_its_data(
    make_client: MakeClient, line: Line, zkdiscovery_server: ZookeeperServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A wiped server: kazoo stays SUSPENDED for good. Terms end in time, and all stand again."""
    first = line.join(make_client(session_timeout=1.0))
    line.join(make_client(session_timeout=1.0))
    term = first.wait_term()
    zkdiscovery_server.restart(wipe=True)
    first.wait_lost()
    with Truth(zkdiscovery_server.hosts) as line.truth:  # the former one waits for two timeouts of its own
        assert one_leader(line).terms.items[-1] is not term
    assert "data is lost" in caplog.text
    assert not line.overlaps()


def test_closed_while_its_node_is_being_created(
    make_client: MakeClient, line: Line, truth: Truth, zkdiscovery_proxy: FaultProxy
) -> None:
    """Curator: TestLeaderLatch.testCreateDeleteRace: no node remains."""
    leader = line.join(make_client())
    client = make_client(zkdiscovery_proxy.address)
    client.wait_connected(LIMIT)
    sent = hold(zkdiscovery_proxy, CREATE)
    late = Campaigner(client).start()
    assert sent.wait(LIMIT)
    late.election.close(0.1)
    zkdiscovery_proxy.heal()
    late.join()
    candidacy = late.election._candidacy
    assert candidacy is not None
    candidacy.wait(lambda it: it.over, time.monotonic() + LIMIT)
    assert truth.children(line.path) == [path_of(leader).rpartition("/")[2]]
    assert not late.terms.items


def test_a_lease_that_ran_out_makes_way_as_soon_as_there_is_a_connection(
    make_client: MakeClient, line: Line, zkdiscovery_proxy: FaultProxy
) -> None:
    """Curator: CURATOR-644, CURATOR-645 (reset during a change of leadership): the session lives, the term is over."""
    first = line.join(make_client(zkdiscovery_proxy.address, session_timeout=T))
    second = line.join(make_client())
    zkdiscovery_proxy.refuse()
    lost = first.wait_lost()
    assert not second.terms.items  # its session lasts, and with it its node
    zkdiscovery_proxy.heal()
    assert second.wait_term().fence > first.wait_term().fence
    assert lost < second.began[0]
    assert core_of(first.client).session.epoch == 1
    assert one_leader(line) is second
    second.leave()
    assert first.wait_term(2).fence > second.wait_term().fence


def test_a_block_that_does_not_look_keeps_nobody_from_leading(
    make_client: MakeClient, line: Line, zkdiscovery_proxy: FaultProxy
) -> None:
    """kazoo's Election: the function runs on after the loss. Here too, but the next one need not wait for it."""
    client = make_client(zkdiscovery_proxy.address, session_timeout=T)
    block = Block(client)
    second = Campaigner(make_client())
    line.campaigners.append(second.start())
    line.wait_length(2)
    assert block.term is not None
    zkdiscovery_proxy.refuse()
    assert block.term.wait_lost(LIMIT)
    zkdiscovery_proxy.heal()
    assert second.wait_term().fence > block.term.fence
    assert core_of(client).session.epoch == 1
    assert block.ended_at == 0.0
    block.join()


def test_two_live_candidates_with_one_id(make_client: MakeClient, line: Line) -> None:
    """An id is a name for people: candidates are told apart by their nodes, leaders by their fences."""
    leaders: Recorder[Candidate | None] = Recorder()
    make_client().election(NAME).on_change(leaders)
    leaders.wait(lambda items: items == [None])
    first, second = line.join(make_client(), id="one"), line.join(make_client(), id="one")
    assert [candidate.id for candidate in first.election.candidates()] == ["one", "one"]
    assert not second.terms.items
    first.leave()
    fences = first.wait_term().fence, second.wait_term().fence
    assert fences[0] < fences[1]
    leaders.wait(lambda items: items[1:] == [Candidate("one", fence) for fence in fences])
    assert not line.overlaps()


def test_an_operator_deletes_the_whole_election(make_client: MakeClient, line: Line, truth: Truth) -> None:
    """peers.md defect 9, for all at once, parent included: all stand again, and one leads with a larger fence."""
    for _ in range(3):
        line.join(make_client())
    old = line.campaigners[0].wait_term()
    for name in truth.children(line.path):
        truth.delete(f"{line.path}/{name}")
    line.campaigners[0].wait_lost()
    leader = one_leader(line)
    assert leader.terms.items[-1].fence > old.fence
    for campaigner in line.campaigners:
        campaigner.election.close(LIMIT)
    truth.wait(line.path, lambda node: node is None or node.stat.num_children == 0)
    assert [campaigner.ended.wait(LIMIT) for campaigner in line.campaigners] == [True] * 3


@contextmanager
def traffic(client: Client) -> Iterator[None]:
    """A request every 50 ms."""
    over = threading.Event()
    session = core_of(client).session

    def run() -> None:
        while not over.wait(0.05):
            session.submit(Sync("/"), deadline=float("inf"))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(LIMIT)


def test_a_leader_in_a_black_hole(
    make_client: MakeClient, zkdiscovery_server: ZookeeperServer, namespace: str, truth: Truth
) -> None:
    """kazoo: traffic hides a dead link, LOST is never declared, Lock.is_acquired stays True, Election runs on.

    tooz: leader for ever after expiry. Here the term is over before the next begins, while the link is still down;
    with traffic and without, side by side.
    """
    with FaultProxy(zkdiscovery_server.hosts) as quiet_proxy, FaultProxy(zkdiscovery_server.hosts) as busy_proxy:
        lines = {proxy: Line(truth, f"{namespace}/elections/{proxy.address}") for proxy in (quiet_proxy, busy_proxy)}
        leaders = {}
        for proxy, line in lines.items():
            for client in (make_client(proxy.address, session_timeout=T), make_client(session_timeout=T)):
                line.campaigners.append(campaigner := Campaigner(client, proxy.address, rivals=line.campaigners))
                campaigner.start()
                line.wait_length(len(line.campaigners))
            leaders[proxy] = line.campaigners[0], line.campaigners[1]
        with traffic(leaders[busy_proxy][0].client):
            terms = [first.wait_term() for first, _ in leaders.values()]
            assert not terms[0].wait_lost(0.4 * T)  # they are renewed
            for proxy in leaders:
                proxy.blackhole()
            for first, second in leaders.values():
                lost = first.wait_lost()
                assert first.election.term is None
                second.wait_term()
                assert lost < second.began[0]
                assert first.client.state is State.SUSPENDED
        for proxy, line in lines.items():
            assert not line.overlaps()
            proxy.heal()
            assert one_leader(line) is leaders[proxy][1]
        assert all(term.lost for term in terms)
        for line in lines.values():
            line.end()
