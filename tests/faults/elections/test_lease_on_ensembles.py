"""The arithmetic of leases against a real ensemble: a term is over before anybody can see its node go."""

from __future__ import annotations

import random
from contextlib import ExitStack

import pytest

from tests.faults.conftest import MakeEnsembleClient
from tests.faults.elections.helpers import Gone, asking, measured
from tests.integration.election.helpers import Campaigner, path_of
from tests.stalls import run_without_stalls
from tests.support import LIMIT, Truth
from zkdiscovery import Client, Term
from zkdiscovery.session.clock import lease_now
from zkdiscovery.testing import ZookeeperEnsemble

LEADERS = 7  # in each repetition, each with a session and a term of its own


# With 1 s, two ticks, the leader hears of the clients of other servers as seldom as it ever does.
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("timeout", "seed"), [(1.0, 1), (2.0, 2)])
def test_a_follower_is_cut_off_at_any_moment_of_a_term(
    ensemble: ZookeeperEnsemble,
    ensemble_namespace: str,
    make_ensemble_client: MakeEnsembleClient,
    timeout: float,
    seed: int,
) -> None:
    """peers.md: acknowledged pings prove nothing. Terms of all ages, held at a follower that is cut from its leader."""
    chance = random.Random(seed)

    def cut_off() -> None:
        ensemble.repair()
        with ExitStack() as stack:
            try:
                cut_a_follower_off(ensemble, ensemble_namespace, make_ensemble_client, timeout, chance, stack)
            finally:
                ensemble.heal()

    # A term whose session is not renewed for half of its timeout ends before the cut, and shows nothing.
    run_without_stalls(cut_off, timeout / 10)


def cut_a_follower_off(
    ensemble: ZookeeperEnsemble,
    namespace: str,
    make_ensemble_client: MakeEnsembleClient,
    timeout: float,
    chance: random.Random,
    stack: ExitStack,
) -> None:
    ahead, follower = ensemble.leader(), ensemble.followers()[0]
    truth = stack.enter_context(Truth(ahead.hosts))
    rivals_client = stack.enter_context(
        Client(ahead.hosts, namespace=namespace, session_timeout=timeout).wait_connected(LIMIT)
    )
    truth.create(f"{namespace}/elections/other-{chance.random()}")
    gone = stack.enter_context(Gone(truth, f"{namespace}/elections"))
    clients = [
        stack.enter_context(make_ensemble_client([follower], session_timeout=timeout)[0]) for _ in range(LEADERS)
    ]
    for client in clients:
        client.wait_connected(LIMIT)
    leaders = [Campaigner(client, f"job-{number}") for number, client in enumerate(clients)]
    paths, terms = {}, []
    for leader in leaders:
        terms.append(leader.start().wait_term())
        paths[terms[-1]] = path_of(leader)
        terms[-1].wait_lost(chance.uniform(0.0, 0.3) * timeout)
    rivals = [Campaigner(rivals_client, leader.election.name, rivals=[leader]).start() for leader in leaders]
    held: dict[Term, float] = {}  # when each was asked last and said that it was held
    with asking(terms, held.__setitem__):
        terms[-1].wait_lost(chance.uniform(0.0, 0.3) * timeout)
        ensemble.isolate(follower)
        cut = lease_now()
        for leader, rival in zip(leaders, rivals, strict=True):
            leader.wait_lost()
            rival.wait_term()
        seen = {term: gone.wait_for(path) for term, path in paths.items()}
    assert set(held) == set(terms), "all were held when they were asked first"
    for leader, rival, term in zip(leaders, rivals, terms, strict=True):
        assert held[term] < seen[term]
        assert leader.lost.items[0][1] < rival.began[0]
        assert not rival.overlaps
    margins = [seen[term] - asked for term, asked in held.items()]
    measured("follower cut from its leader: the term is over after", max(held.values()) - cut, timeout)
    measured("follower cut from its leader: its node is gone after", min(seen.values()) - cut, timeout)
    measured("follower cut from its leader: least time between the two", min(margins), timeout)
    ensemble.heal()  # so that nothing waits for its limit
    for campaigner in (*leaders, *rivals):
        campaigner.election.close(LIMIT)
        campaigner.join()
