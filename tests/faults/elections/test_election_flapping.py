"""Links that are cut again and again, at every moment of a connection's life."""

from __future__ import annotations

import random
from contextlib import ExitStack

import pytest

from tests.conftest import MakeClient
from tests.faults.elections.helpers import Lost, one_leader
from tests.integration.election.helpers import Campaigner, Line
from zkdiscovery.testing import FaultProxy, ZookeeperServer

ROUNDS = 15
DEEPEST = 8  # requests of one connection that pass before it is cut: all that a candidate sends on a new one
PATIENCE = 0.5  # seconds; who has nothing to send is cut while it is idle


@pytest.mark.parametrize("seed", [1, 2])
def test_links_cut_after_each_kind_of_request(
    make_client: MakeClient, line: Line, zkdiscovery_server: ZookeeperServer, seed: int
) -> None:
    """Curator: "connection cut right after a create (flapping)". One node a contender, one leader, fences that grow."""
    chance = random.Random(seed)
    with ExitStack() as stack:
        proxies = [stack.enter_context(FaultProxy(zkdiscovery_server.hosts)) for _ in range(3)]
        for proxy in proxies:
            campaigner = Campaigner(make_client(proxy.address), rivals=line.campaigners)
            line.campaigners.append(campaigner.start())
        for _ in range(ROUNDS):
            cuts = []
            for proxy in proxies:
                proxy.drop()
                cuts.append(Lost(proxy, None, answer=chance.random() < 0.5, skip=chance.randrange(DEEPEST)))
            if (term := chance.choice(line.campaigners).election.term) is not None:
                term.resign()
            for cut in cuts:
                cut.sent.wait(PATIENCE)
                cut.break_link()
        one_leader(line)
        for campaigner in line.campaigners:
            fences = [term.fence for term in campaigner.terms.items]
            assert fences == sorted(set(fences))
        assert not line.overlaps()
        line.end()
