"""Elections on an ensemble of three whose members fail, stand still, or are cut off. What is measured is printed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.conftest import MakeEnsembleClient
from tests.faults.elections.helpers import Gone, asking, measured, one_leader
from tests.integration.election.helpers import NAME, Campaigner, Line, path_of
from tests.support import LIMIT, Truth, core_of, wait_epoch, wait_state
from zkdiscovery import Client, OperationTimeout, State
from zkdiscovery.session.clock import lease_now
from zkdiscovery.testing import ZookeeperEnsemble, expire_session

SHORT = 2.0  # seconds, the session timeout of those that are to lose their terms


def timeout_of(client: Client) -> float:
    """As it was granted."""
    return core_of(client).session.timeout


def test_a_candidate_whose_follower_is_cut_off(
    ensemble: ZookeeperEnsemble, make_ensemble_client: MakeEnsembleClient, ensemble_line: Line
) -> None:
    """peers.md: its pings are acknowledged after its session has expired. It does not lead, and stands again."""
    ahead, follower = ensemble.leader(), ensemble.followers()[0]
    line = ensemble_line
    first = line.join(make_ensemble_client([ahead])[0])
    # Whose turn is next hears from the leader all the time, and would notice; who comes behind does not.
    between = line.join(make_ensemble_client([ahead])[0])
    second = line.join(make_ensemble_client([follower], session_timeout=1.0)[0])
    third = line.join(make_ensemble_client([ahead])[0])
    node = path_of(second)
    session = core_of(second.client).session
    with Truth(ahead.hosts) as truth, Gone(truth, line.path) as gone:
        ensemble.isolate(follower)
        gone.wait_for(node)
        assert (session.state, session.generation) == (State.CONNECTED, 1)
        between.election.close(LIMIT)
        first.leave()
        third.wait_term()
    assert not second.terms.items
    ensemble.heal()
    wait_epoch(second.client, 2)
    third.leave()
    assert second.wait_term().fence > third.wait_term().fence
    assert not line.overlaps()


@pytest.mark.parametrize("fault", ["killed", "paused", "isolated"])
def test_the_leader_of_the_ensemble_fails_while_terms_are_held(
    ensemble: ZookeeperEnsemble, make_ensemble_client: MakeEnsembleClient, ensemble_line: Line, fault: str
) -> None:
    """Curator: "cluster member killed"; killed, standing still, or cut off with its clients. Never two terms."""
    line = ensemble_line
    ahead, others = ensemble.leader(), ensemble.followers()
    # Who leads is at the member that fails: the worst place.
    first = line.join(make_ensemble_client([ahead], session_timeout=SHORT)[0])
    for _ in range(2):
        line.join(make_ensemble_client(others, session_timeout=3 * SHORT)[0])
    term = first.wait_term()
    timeout = timeout_of(first.client)
    assert not term.wait_lost(0.4 * timeout)
    faults: dict[str, Callable[[], None]] = {
        "killed": ahead.kill,
        "paused": ahead.pause,
        "isolated": lambda: ensemble.isolate(ahead),
    }
    faults[fault]()
    at = lease_now()
    lost = first.wait_lost() - at
    measured(f"leader of the ensemble {fault}: term over after", lost, timeout)
    assert lost < 0.7 * timeout
    wait_state(first.client, State.SUSPENDED)
    if fault != "isolated":  # that takes ZooKeeper up to half a minute, for it tries to reach the silent one first
        line.campaigners[1].wait_term()
        measured(f"leader of the ensemble {fault}: next term after", line.campaigners[1].began[0] - at, timeout)
    ensemble.repair()
    line.truth.session.wait_connected(LIMIT)
    assert one_leader(line).terms.items[-1].fence > term.fence
    assert not line.overlaps()


def test_without_a_quorum_and_a_whole_ensemble_down_and_up(
    ensemble: ZookeeperEnsemble, make_ensemble_client: MakeEnsembleClient, ensemble_line: Line
) -> None:
    """Terms end at their deadline and none begins, whoever campaigns; one leads when the ensemble is back."""
    line = ensemble_line
    ahead, followers = ensemble.leader(), ensemble.followers()
    first = line.join(make_ensemble_client([ahead], session_timeout=SHORT)[0])
    line.join(make_ensemble_client(session_timeout=SHORT)[0])
    term = first.wait_term()
    timeout = timeout_of(first.client)
    assert not term.wait_lost(0.4 * timeout)
    for member in followers:
        member.kill()
    at = lease_now()
    lost = first.wait_lost()
    assert lost - at < 0.7 * timeout
    measured("without a quorum: term over after", lost - at, timeout)
    latecomer, _ = make_ensemble_client(session_timeout=SHORT)
    with pytest.raises(OperationTimeout, match="not elected"):
        latecomer.election(NAME).campaign(timeout).__enter__()
    assert sum(len(campaigner.terms.items) for campaigner in line.campaigners) == 1
    ahead.kill()
    wait_state(first.client, State.SUSPENDED)
    ensemble.repair()
    up = lease_now()
    line.truth.session.wait_connected(LIMIT)
    latecomer.close(LIMIT)
    leader = one_leader(line)
    measured("whole ensemble down and up: next term after it serves", leader.began[-1] - up, timeout)
    assert leader.terms.items[-1].fence > term.fence
    assert not line.overlaps()


def test_a_rolling_restart_ends_no_term(
    ensemble: ZookeeperEnsemble, make_ensemble_client: MakeEnsembleClient, ensemble_line: Line
) -> None:
    """With the session timeout that is the default, 10 s: three leaders and a follower, measured."""
    line = ensemble_line
    leaders = [
        Campaigner(make_ensemble_client(session_timeout=10.0)[0], f"job-{number}").start() for number in range(2)
    ]
    leaders.append(line.join(make_ensemble_client(session_timeout=10.0)[0]))
    line.join(make_ensemble_client(session_timeout=10.0)[0])
    terms = [leader.wait_term() for leader in leaders]
    ahead, followers = ensemble.leader(), ensemble.followers()
    left: list[float] = []
    with asking(terms, lambda term, _: left.append(term.remaining)):
        began = lease_now()
        for member in followers:
            member.restart()
            ensemble.wait_serving()
        assert not terms[0].wait_lost(0.35 * 10.0)  # all are renewed again, as when an operator takes his time
        # The others elect before it starts again, because servers of an ensemble do not share their processors.
        ahead.stop()
        ensemble.wait_serving()
        ahead.restart()
        ensemble.wait_serving()
        took = lease_now() - began
    measured("rolling restart of three members: took", took, 10.0)
    measured("rolling restart of three members: least time that was left of a term", min(left), 10.0)
    for leader, term in zip(leaders, terms, strict=True):
        assert not term.lost, term
        assert len(leader.terms.items) == 1
        assert core_of(leader.client).session.epoch == 1
    for leader in leaders:  # each was connected to one that was restarted
        session = core_of(leader.client).session
        with session.changed:
            assert session.changed.wait_for(lambda session=session: session.generation >= 2, LIMIT)
    line.truth.session.wait_connected(LIMIT)
    assert one_leader(line) is leaders[2]
    for leader in leaders[:2]:
        leader.election.close(LIMIT)
        leader.join()


def test_a_session_moves_between_servers_during_a_term(
    ensemble: ZookeeperEnsemble, make_ensemble_client: MakeEnsembleClient, ensemble_line: Line
) -> None:
    """From member to member: the term lives on, and is renewed through each of them."""
    line = ensemble_line
    client, proxies = make_ensemble_client(session_timeout=10.0)
    first = line.join(client)
    line.join(make_ensemble_client()[0])
    term = first.wait_term()
    session = core_of(client).session
    identity = session.session_id
    servers = [session.server]
    for _ in range(4):
        serving = next(proxy for proxy in proxies if proxy.address == session.server)
        serving.refuse()
        wait_state(client, State.SUSPENDED)
        session.wait_connected(LIMIT)
        servers.append(session.server)
        assert servers[-1] != servers[-2]
        serving.heal()
    assert one_leader(line) is first
    assert first.election.term is term
    assert (session.session_id, session.epoch) == (identity, 1)


def test_a_candidate_that_can_reach_only_a_server_that_lags(
    ensemble: ZookeeperEnsemble, make_ensemble_client: MakeEnsembleClient, ensemble_line: Line
) -> None:
    """kazoo forgets what it has seen at expiry: the new session reads older data. Here it waits for the server."""
    line = ensemble_line
    ahead, (lagging, *_) = ensemble.leader(), ensemble.followers()
    first = line.join(make_ensemble_client([ahead])[0], id="first")
    second_client, (near, far) = make_ensemble_client([ahead, lagging])
    far.refuse()
    second = line.join(second_client, id="second")
    third = line.join(make_ensemble_client([ahead])[0], id="third")
    ensemble.isolate(lagging)
    first.election.close(LIMIT)
    first.join()
    line.campaigners.remove(first)
    second.wait_term()
    session = core_of(second_client).session
    credentials = session.credentials
    assert credentials is not None
    near.refuse()
    far.heal()
    expire_session(credentials.session_id, credentials.password, ahead.hosts)
    fence = third.wait_term().fence
    second.wait_lost()
    assert session.epoch == 1  # the lagging server, where "first" still leads, was not let in
    ensemble.heal()
    wait_epoch(second_client, 2)
    # What it reads now, through the server that lagged, is not from before its own term.
    assert second.election.candidates(LIMIT)[0].fence == fence
    assert one_leader(line) is third
