"""Sessions that expire, or are closed by force, at every moment of an election."""

from __future__ import annotations

from collections.abc import Callable

from tests.conftest import MakeClient
from tests.faults.elections.helpers import CHECK, CREATE, DELETE, cut_off, hold, one_leader
from tests.integration.election.helpers import Campaigner, Line
from tests.integration.election.processes import FencedStore
from tests.integration.election.test_closing import background
from tests.support import LIMIT, wait_epoch
from zkdiscovery import Client
from zkdiscovery.testing import FaultProxy

Expire = Callable[[Client], None]


def test_while_the_node_of_the_candidate_is_being_created(
    make_client: MakeClient, line: Line, zkdiscovery_proxy: FaultProxy, zkdiscovery_expire: Expire
) -> None:
    """The creation is lost with the session: one node stands, of the new one. kazoo #491: it is made again."""
    leader = line.join(make_client())
    client = make_client(zkdiscovery_proxy.address)
    client.wait_connected(LIMIT)
    sent = hold(zkdiscovery_proxy, CREATE)
    line.campaigners.append(late := Campaigner(client, rivals=[leader]).start())
    assert sent.wait(LIMIT)
    zkdiscovery_expire(client)
    zkdiscovery_proxy.heal()
    wait_epoch(client, 2)
    assert one_leader(line) is leader
    leader.leave()
    assert late.wait_term().fence > leader.wait_term().fence


def test_while_the_term_begins(
    make_client: MakeClient, line: Line, zkdiscovery_proxy: FaultProxy, zkdiscovery_expire: Expire
) -> None:
    """Its first proof is on the way when the session ends: no term begins, and the next one leads."""
    first = line.join(make_client())
    second = line.join(make_client(zkdiscovery_proxy.address))
    third = line.join(make_client())
    sent = hold(zkdiscovery_proxy, CHECK)
    first.election.close(LIMIT)
    assert sent.wait(LIMIT)
    zkdiscovery_expire(second.client)
    third.wait_term()
    zkdiscovery_proxy.heal()
    wait_epoch(second.client, 2)
    line.wait_length(2)
    assert not second.terms.items
    third.leave()
    assert second.wait_term().fence > third.wait_term().fence
    assert not line.overlaps()


def test_of_the_next_in_line_while_the_leader_hands_over(
    make_client: MakeClient, line: Line, zkdiscovery_proxy: FaultProxy, zkdiscovery_expire: Expire
) -> None:
    """Who comes after it leads, and it stands again at the end."""
    first = line.join(make_client())
    second = line.join(make_client(zkdiscovery_proxy.address))
    third = line.join(make_client())
    cut_off(second, zkdiscovery_proxy)
    first.wait_term().resign()
    zkdiscovery_expire(second.client)
    third.wait_term()
    zkdiscovery_proxy.heal()
    assert one_leader(line) is third
    assert not second.terms.items
    assert not line.overlaps()


def test_of_the_leader_while_it_resigns(
    make_client: MakeClient, line: Line, zkdiscovery_proxy: FaultProxy, zkdiscovery_expire: Expire
) -> None:
    """The deletion is lost with the session, which has done its work."""
    first = line.join(make_client(zkdiscovery_proxy.address))
    second = line.join(make_client())
    sent = hold(zkdiscovery_proxy, DELETE)
    first.wait_term().resign()
    assert sent.wait(LIMIT)
    assert first.wait_term().reason == "resigned"
    assert not second.terms.items
    zkdiscovery_expire(first.client)
    second.wait_term()
    zkdiscovery_proxy.heal()
    assert one_leader(line) is second
    second.leave()
    assert first.wait_term(2).fence > second.wait_term().fence
    assert not line.overlaps()


def test_while_the_election_closes(
    make_client: MakeClient, line: Line, zkdiscovery_proxy: FaultProxy, zkdiscovery_expire: Expire
) -> None:
    """Closing ends in time, and nothing stands again in the new session."""
    first = line.join(make_client(zkdiscovery_proxy.address))
    second = line.join(make_client())
    sent = hold(zkdiscovery_proxy, DELETE)
    with background(lambda: first.election.close(LIMIT)):
        assert sent.wait(LIMIT)
        zkdiscovery_expire(first.client)
        second.wait_term()
        zkdiscovery_proxy.heal()
    wait_epoch(first.client, 2)
    first.join()
    line.wait_length(1)
    assert len(first.terms.items) == 1
    with first.client.election("another").campaign(LIMIT) as term:  # the client goes on
        assert not term.lost


def test_closed_right_after_its_session_was_killed(
    make_client: MakeClient, line: Line, zkdiscovery_expire: Expire
) -> None:
    """Curator: testKilledSessionThenCloseShouldElectNewLeader; closed in each moment of its coming back."""
    survivor = line.join(make_client(), others=0)
    for number in range(8):
        client = make_client()
        election = client.election(line.campaigners[0].election.name)
        late = Campaigner(client).start()
        line.wait_length(2)
        survivor.wait_term(number + 1).resign()  # it stands again behind the other one
        late.wait_term()
        zkdiscovery_expire(client)
        if number % 2:
            late.wait_lost()
        if number % 4 > 1:
            wait_epoch(client, 2)
        late.election.close(LIMIT)
        late.join()
        assert survivor.wait_term(number + 2).fence > late.wait_term().fence
        line.wait_length(1)
        assert len(election.candidates()) == 1


def test_closed_by_force_while_the_leader_is_cut_off(
    make_client: MakeClient, line: Line, zkdiscovery_proxy: FaultProxy, zkdiscovery_expire: Expire
) -> None:
    """Beyond any lease, as guarantees.md says: two hold a term for a while, and the fence protects."""
    store = FencedStore()
    first = line.join(make_client(zkdiscovery_proxy.address, session_timeout=2.0))
    second = line.join(make_client())
    old = first.wait_term()
    assert store.write(old.fence, "first")
    zkdiscovery_proxy.blackhole()
    zkdiscovery_expire(first.client)
    new = second.wait_term()
    assert store.write(new.fence, "second")
    assert not old.lost  # it can't know
    assert not store.write(old.fence, "late")
    first.wait_lost()  # by its own clock
    assert old.reason == "the session was not renewed in time"
    assert store.values == ["first", "second"]
    zkdiscovery_proxy.heal()
    assert one_leader(line) is second
