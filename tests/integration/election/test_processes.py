"""Elections among processes of the operating system: killed, stopped, and many at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise

import pytest

from tests.conftest import MakeClient
from tests.integration.election.helpers import NAME, Campaigner, wait_place
from tests.integration.election.processes import FencedStore, Process, T
from tests.support import LIMIT, Truth, core_of
from zkdiscovery.session.clock import lease_now  # the same clock in all processes of a machine
from zkdiscovery.testing import ZookeeperServer


@pytest.fixture
def leader(zkdiscovery_server: ZookeeperServer, namespace: str) -> Iterator[Process]:
    """A process that leads."""
    with Process(zkdiscovery_server.hosts, namespace, "hold") as process:
        process.wait(1)
        yield process


@pytest.fixture
def follower(leader: Process, make_client: MakeClient, truth: Truth, namespace: str) -> Iterator[Campaigner]:
    """Who comes next, in this process."""
    campaigner = Campaigner(make_client(session_timeout=T)).start()
    truth.wait(f"{namespace}/elections/{NAME}", lambda node: node is not None and node.stat.num_children == 2)
    wait_place(campaigner)
    yield campaigner
    campaigner.election.close(LIMIT)
    campaigner.join()


def test_a_killed_leader_is_followed_after_its_session(leader: Process, follower: Campaigner) -> None:
    assert not follower.terms.items
    leader.signal(signal.SIGKILL)
    killed = lease_now()
    assert follower.wait_term().fence > leader.wait(1)["fence"]
    # The server has heard of it last when it renewed its lease, a tenth of the timeout before. A tick is half of the
    # timeout at most.
    timeout = core_of(follower.client).session.timeout
    assert 0.85 * timeout < follower.began[0] - killed < 1.75 * timeout + 1.0


def test_a_stopped_leader_finds_its_term_over_at_the_first_look(leader: Process, follower: Campaigner) -> None:
    store = FencedStore()
    fence = leader.wait(1)["fence"]
    leader.tell()
    assert leader.wait(2)["lost"] is False
    assert store.write(fence, "old")

    leader.signal(signal.SIGSTOP)
    term = follower.wait_term()
    assert store.write(term.fence, "new")
    leader.tell()
    leader.signal(signal.SIGCONT)
    first_look = leader.wait(3)
    assert first_look["lost"] is True
    assert first_look["remaining"] == 0.0
    # One that had looked just before it was stopped, and writes now:
    assert not store.write(fence, "late")
    assert store.values == ["old", "new"]
    assert not term.lost


def test_ten_candidates_in_five_processes_lead_one_after_another(
    zkdiscovery_server: ZookeeperServer, namespace: str
) -> None:
    with ExitStack() as stack:
        processes = [stack.enter_context(Process(zkdiscovery_server.hosts, namespace, "turns", "2")) for _ in range(5)]
        for process in processes:
            process.wait(1)
        for process in processes:
            process.tell()
        for process in processes:
            process.finish()
        terms = [said for process in processes for said in process.said.items if "fence" in said]
    assert len(terms) == 10
    terms.sort(key=lambda term: term["begin"])
    assert not any(term["lost"] for term in terms)
    for earlier, later in pairwise(terms):
        assert earlier["end"] < later["begin"]
        assert earlier["fence"] < later["fence"]
