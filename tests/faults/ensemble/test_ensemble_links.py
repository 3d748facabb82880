"""The links between the members of an ensemble: all that they say goes over them, and nothing of it if they are cut."""

from __future__ import annotations

from itertools import combinations

import psutil
import pytest

from tests.faults.ensemble.helpers import expect_written, local_process, top
from tests.support import LIMIT
from zkdiscovery.errors import NodeExists
from zkdiscovery.testing import FaultProxy, ZookeeperEnsemble
from zkdiscovery.testing.wire import RawSession

pytestmark = pytest.mark.server


def test_a_follower_that_is_cut_off(ensemble: ZookeeperEnsemble, ensemble_namespace: str) -> None:
    """Its clients stay connected and may read; what they write is never committed, and the others go on."""
    path = top(ensemble_namespace)
    leader, follower = ensemble.leader(), ensemble.followers()[0]
    with FaultProxy(follower.hosts) as proxy, RawSession(proxy.address, timeout=LIMIT) as session:
        session.create(path)
        ensemble.isolate(follower)
        assert session.exists(path)  # from its own memory
        assert proxy.connections == 1
        with pytest.raises(ConnectionError):  # it hangs up when it has noticed
            session.create(f"{path}-through-the-cut-one")
        assert follower.mode() is None
        assert ensemble.leader() is leader
        with RawSession(leader.hosts, timeout=LIMIT) as other:
            other.create(f"{path}-meanwhile")
        ensemble.heal()
        ensemble.wait_serving()
    assert ensemble.leader() is leader
    expect_written(follower.hosts, f"{path}-meanwhile")
    with RawSession(follower.hosts, timeout=LIMIT) as session:
        session.create(f"{path}-through-the-cut-one")


def test_another_member_leads_once_the_leader_is_cut_off(ensemble: ZookeeperEnsemble, ensemble_namespace: str) -> None:
    """The old one steps down, takes no write, and follows after all is healed."""
    path = top(ensemble_namespace)
    old, heirs = ensemble.leader(), ensemble.followers()
    with RawSession(old.hosts, timeout=LIMIT) as session:
        ensemble.isolate(old)
        with pytest.raises(ConnectionError):
            session.create(f"{path}-through-the-cut-one")
    new = ensemble.leader()
    assert new in heirs
    assert old.mode() is None
    with RawSession(new.hosts, timeout=LIMIT) as session:
        session.create(path)
    ensemble.heal()
    ensemble.wait_serving()
    assert (ensemble.leader(), old.mode()) == (new, "follower")
    expect_written(old.hosts, path)
    with RawSession(old.hosts, timeout=LIMIT) as session:
        session.create(f"{path}-through-the-cut-one")


def test_a_cut_between_two_followers_changes_nothing(ensemble: ZookeeperEnsemble, ensemble_namespace: str) -> None:
    """They have nothing to say to each other."""
    path = top(ensemble_namespace)
    leader, (one, other) = ensemble.leader(), ensemble.followers()
    with RawSession(one.hosts, timeout=LIMIT) as first, RawSession(other.hosts, timeout=LIMIT) as second:
        ensemble.cut(one, other)
        first.create(path)
        with pytest.raises(NodeExists):
            second.create(path)
    assert (leader.mode(), one.mode(), other.mode()) == ("leader", "follower", "follower")


def test_a_follower_that_does_not_hear_its_leader(ensemble: ZookeeperEnsemble, ensemble_namespace: str) -> None:
    """Cut from the leader alone, it is out; the third member hears both, and the leader leads on."""
    path = top(ensemble_namespace)
    leader, (follower, third) = ensemble.leader(), ensemble.followers()
    with RawSession(follower.hosts, timeout=LIMIT) as session:
        ensemble.cut(leader, follower)
        with pytest.raises(ConnectionError):
            session.create(f"{path}-through-the-cut-one")
    with RawSession(third.hosts, timeout=LIMIT) as session:
        session.create(path)
    assert ensemble.leader() is leader
    ensemble.heal()
    ensemble.wait_serving()
    assert ensemble.leader() is leader


def test_members_talk_over_their_links_alone(ensemble: ZookeeperEnsemble) -> None:
    """Those with a larger number connect back in an election, to where the other one says that it listens."""
    ensemble.rolling_restart()
    processes = [psutil.Process(local_process(member)._supervisor._pid) for member in ensemble.members]
    connected = [
        {
            (connection.laddr.port, connection.raddr.port)
            for connection in process.net_connections("tcp")
            if connection.status == psutil.CONN_ESTABLISHED
        }
        for process in processes
    ]
    assert all(connected)
    for one, other in combinations(connected, 2):
        assert not one & {(there, here) for here, there in other}, "past the links"
