"""The members of an ensemble: killed, paused, restarted, wiped, and what all of them know afterwards."""

from __future__ import annotations

import socket
import sys
from contextlib import ExitStack
from typing import Any

import psutil
import pytest

from tests.faults.ensemble.helpers import expect_written, top
from tests.support import LIMIT
from zkdiscovery.errors import NoServerForTests
from zkdiscovery.testing import ZookeeperEnsemble, zookeeper_ensemble
from zkdiscovery.testing.wire import RawSession, four_letter_word

pytestmark = pytest.mark.server


def test_one_leads_and_the_others_follow(ensemble: ZookeeperEnsemble, ensemble_namespace: str) -> None:
    """What one member takes, all have."""
    path = top(ensemble_namespace)
    leader, followers = ensemble.leader(), ensemble.followers()
    assert {leader, *followers} == set(ensemble.members)
    assert [leader.mode(), *(follower.mode() for follower in followers)] == ["leader", "follower", "follower"]
    assert ensemble.hosts == ",".join(member.hosts for member in ensemble.members)
    for member in ensemble.members:
        assert f"version: {member.version}-" in four_letter_word(member.hosts, "srvr")
    with RawSession(followers[0].hosts) as session:
        session.create(path)
    for member in ensemble.members:
        expect_written(member.hosts, path)


def test_a_quorum_is_lost_and_had_again(ensemble: ZookeeperEnsemble, ensemble_namespace: str) -> None:
    """Two of three go on; one alone serves nobody and answers no write."""
    last, second, first = ensemble.leader(), *ensemble.followers()
    path = top(ensemble_namespace)
    with RawSession(last.hosts, timeout=LIMIT) as session:
        first.kill()
        session.create(path)
        second.stop()
        with pytest.raises(ConnectionError):  # it hangs up on its clients
            session.create(f"{path}-perhaps")  # in its log, so it may yet be committed
    assert last.mode() is None
    with pytest.raises(NoServerForTests, match="no leader after 0 s"):
        ensemble.leader(timeout=0.0)
    second.restart()
    assert ensemble.leader() in (last, second)
    expect_written(last.hosts, path)
    ensemble.repair()
    assert len(ensemble.followers()) == 2


@pytest.mark.parametrize("fault", ["kill", "pause"])
def test_another_member_leads_once_the_leader_is_gone(
    ensemble: ZookeeperEnsemble, ensemble_namespace: str, fault: str
) -> None:
    """A leader that is killed or paused is replaced, and follows when it is back."""
    path = top(ensemble_namespace)
    gone, heirs = ensemble.leader(), ensemble.followers()
    getattr(gone, fault)()
    leader = ensemble.leader()
    assert leader in heirs
    with RawSession(leader.hosts, timeout=LIMIT) as session:
        session.create(path)
    ensemble.repair()
    assert ensemble.leader() is leader
    ensemble.wait_serving()
    assert gone.mode() == "follower"
    expect_written(gone.hosts, path)


def test_a_member_that_ended_by_itself_is_started_again(ensemble: ZookeeperEnsemble) -> None:
    """`repair` notices that the process of a member has gone, although nobody stopped it."""
    gone = ensemble.followers()[0]
    port = int(gone.hosts.rpartition(":")[2])
    (process,) = {
        listener.pid
        for listener in psutil.net_connections("tcp")
        if listener.status == psutil.CONN_LISTEN and listener.laddr.port == port
    }
    psutil.Process(process).kill()
    assert gone.wait_ended(LIMIT)
    ensemble.repair()
    assert gone.mode() == "follower"


def test_a_rolling_restart_ends_no_session(ensemble: ZookeeperEnsemble, ensemble_namespace: str) -> None:
    """Each member was down, and a session of 10 s with its ephemeral node outlives that."""
    path = top(ensemble_namespace)
    with ExitStack() as stack:
        connected = [stack.enter_context(RawSession(member.hosts)) for member in ensemble.members]
        kept = connected[0]
        kept.create(path, ephemeral=True)
        ensemble.rolling_restart()
        for session in connected:
            with pytest.raises(OSError):
                session.exists("/")
    with RawSession(ensemble.leader().hosts, session_id=kept.session_id, password=kept.password) as session:
        assert session.exists(path)
    assert len(ensemble.followers()) == 2


def test_a_wiped_member_gets_its_data_again(ensemble: ZookeeperEnsemble, ensemble_namespace: str) -> None:
    """One lost disk loses nothing."""
    path = top(ensemble_namespace)
    member = ensemble.followers()[0]
    with RawSession(member.hosts) as session:
        session.create(path)
    member.restart(wipe=True)
    with RawSession(member.hosts) as session:
        assert session.exists(path)


def test_a_wiped_ensemble_is_empty(ensemble: ZookeeperEnsemble, ensemble_namespace: str) -> None:
    """All down and up: data are kept, or gone if all disks are."""
    path = top(ensemble_namespace)
    hosts = ensemble.hosts
    with RawSession(ensemble.members[0].hosts) as session:
        session.create(path)
    ensemble.restart()
    expect_written(ensemble.members[0].hosts, path)
    ensemble.restart(wipe=True)
    with RawSession(ensemble.leader().hosts) as session:
        assert session.children("/") == ["zookeeper"]
    assert ensemble.hosts == hosts


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ports are held on Linux only")
def test_nobody_else_gets_the_ports_of_a_member_that_is_down(ensemble: ZookeeperEnsemble) -> None:
    """Or else it could not come back; a follower does not even listen on its port for followers while it runs."""
    member = ensemble.followers()[0]
    source: Any = member._source
    between = source._config[f"server.{source._number}"].split(":")[1:]
    ports = [int(member.hosts.rpartition(":")[2]), *map(int, between)]
    assert len(ports) == 3
    for running in (True, False):
        if not running:
            member.kill()
        for port in ports:
            with socket.socket() as other, pytest.raises(OSError, match="in use"):
                other.bind(("127.0.0.1", port))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", ports[0]), 1.0)
    member.restart()
    ensemble.wait_serving()


def test_servers_of_somebody_else_are_no_ensemble() -> None:
    """They can neither be killed nor cut from each other."""
    with pytest.raises(NoServerForTests, match="no ensemble for tests"), zookeeper_ensemble(source="hosts"):
        pass


def test_an_ensemble_of_another_version_than_the_wanted_one_is_refused() -> None:
    with (
        pytest.raises(NoServerForTests, match=r"ZooKeeper 3\.1\.0 is"),
        zookeeper_ensemble(source="local", version="3.1.0"),
    ):
        pass
