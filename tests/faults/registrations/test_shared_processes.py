"""Processes that share a registration and end, stop, fork, or run in containers."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import MakeClient
from tests.faults.registrations.shared_workers import WORKER, workers
from tests.integration.child import Child
from tests.integration.registration.helpers import events
from tests.integration.registration.machines import Machines, machines
from tests.integration.registration.sharing import share, wait_role
from tests.support import LIMIT, Truth
from zkdiscovery.testing import ZookeeperServer

NEVER = 30.0  # seconds: a session timeout that no test waits for
SHORT = 4.0  # one that tests wait for


@pytest.fixture
def hosts(zkdiscovery_server: ZookeeperServer) -> str:
    return zkdiscovery_server.hosts


@pytest.fixture
def path(namespace: str) -> str:
    return f"{namespace}/services/payments/a"


def test_a_killed_holder_is_followed_at_once_by_processes_that_are_not_its_parents(
    truth: Truth, hosts: str, namespace: str, path: str
) -> None:
    with workers(hosts, namespace, timeout=NEVER) as made:
        made.start(3)
        for _ in range(2):
            holder = made.holder(truth)
            with events(truth, path) as seen:
                made.end([holder], signal.SIGKILL)
                seen.wait(lambda items: items == ["DELETED", "CREATED"], NEVER / 2)
            assert made.holder(truth) in made.running
        # The dead are no mates: the last one does not wait for them.
        (last,) = made.running
        with events(truth, path) as seen:
            made.end([last], signal.SIGTERM)
            seen.wait(lambda items: items[-1:] == ["DELETED"], NEVER / 2)
        assert made.loud() == []


def test_a_holder_that_is_a_zombie_has_ended(truth: Truth, hosts: str, namespace: str, make_client: MakeClient) -> None:
    """A supervisor may take a while to reap its workers."""
    with workers(hosts, namespace, timeout=NEVER) as made:
        (holder,) = made.start()
        holder.signal(signal.SIGKILL)  # nobody waits for it
        registration = share(make_client(session_timeout=NEVER)).wait_registered(LIMIT)
        wait_role(registration, "HELD")
        assert holder.process.returncode is None


def test_without_pidfds_a_kill_leaves_a_gap_of_a_moment_when_the_session_ends(
    truth: Truth,
    hosts: str,
    namespace: str,
    path: str,
    make_client: MakeClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    with workers(hosts, namespace, timeout=SHORT) as made:
        (holder,) = made.start()
        standby = share(make_client(session_timeout=NEVER)).wait_registered(LIMIT)
        before = truth.get(path)
        assert not [thread for thread in threading.enumerate() if thread.name == "zkdiscovery-exits"]
        with events(truth, path) as seen:
            made.end([holder], signal.SIGKILL)
            assert truth.get(path) == before
            wait_role(standby, "HELD")
            assert seen.items == ["DELETED", "CREATED"]


def test_a_stopped_holder_is_followed_when_its_session_ends_and_then_stands_by(
    truth: Truth, hosts: str, namespace: str, path: str
) -> None:
    with workers(hosts, namespace, timeout=SHORT) as made:
        made.start(3)
        stopped = made.holder(truth)
        with events(truth, path) as seen:
            stopped.signal(signal.SIGSTOP)
            seen.wait(lambda items: items == ["DELETED", "CREATED"])
            successor = made.holder(truth)
            assert successor is not stopped
            stopped.signal(signal.SIGCONT)
            stopped.say("print('now', registration._owned.node.wait(lambda node: node.state == 'STANDBY', 60.0))")
            assert stopped.wait_line("now") == "True"
            assert made.holder(truth) is successor
            assert seen.items == ["DELETED", "CREATED"]
        assert {line for line in made.loud() if " zkdiscovery.session WARNING " not in line} == set()


def test_a_standby_that_is_stopped_delays_the_last_one_by_a_moment(
    truth: Truth, hosts: str, namespace: str, path: str
) -> None:
    """It may be about to run on, and nobody can tell. The limit is 2 s."""
    with workers(hosts, namespace, timeout=NEVER) as made:
        made.start(2)
        (standby,) = made.others(truth)
        standby.signal(signal.SIGSTOP)
        began = time.monotonic()
        made.end([made.holder(truth)], signal.SIGTERM)
        assert truth.get(path) is None
        assert time.monotonic() - began < 8.0
        standby.signal(signal.SIGCONT)
        truth.wait(path, lambda node: node is not None)
        assert made.loud() == []


def test_a_forked_child_is_no_sharer_until_it_registers_itself(
    truth: Truth, hosts: str, namespace: str, path: str
) -> None:
    with workers(hosts, namespace, timeout=NEVER) as made:
        parent, _ = made.start(2)
        before = truth.get(path)
        parent.say("pid = fork(); print('now forked')")
        parent.wait_line("now forked")
        assert truth.get(path) == before
        assert len(truth.children(made.group)) == 3, "the child shares, and then is killed"
        parent.say("os.kill(pid, 9); print('now', os.waitpid(pid, 0)[0] == pid)")
        assert parent.wait_line("now", 2) == "True"
        assert truth.get(path) == before
        made.end(list(made.running), signal.SIGTERM)
        assert truth.get(path) is None
        assert made.loud() == []


@pytest.fixture
def containers(tmp_path: Path, hosts: str) -> Iterator[Machines]:
    with machines(tmp_path, hosts) as made:
        yield made


PIDS = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]


def test_two_containers_of_one_machine_share_and_can_t_tell_whether_the_other_runs(
    containers: Machines, truth: Truth, namespace: str, path: str, hosts: str
) -> None:
    """Their pids may be equal. A killed holder is followed when its session ends."""
    first, second = containers.machine(["one", "two"])
    options = repr({})
    arguments = [containers.zookeeper, namespace, str(SHORT), options]
    with (
        Child(WORKER, *arguments, within=[*first, *PIDS]) as one,
        Child(WORKER, *arguments, within=[*second, *PIDS]) as two,
    ):
        for child in (one, two):
            child.printed.wait(lambda lines: "registered" in lines, 60.0)
            child.say("print('now', os.getpid(), registration.instance.id)")
        assert one.wait_line("now") == two.wait_line("now"), "their pids are equal"
        before = truth.get(path)
        names = truth.children(f"{namespace}/share/payments/a")
        assert len(names) == 2
        for child in (one, two):
            child.say("print('now', registration._owned.node.state)")
        roles = {one.wait_line("now", 2): one, two.wait_line("now", 2): two}
        assert set(roles) == {"HELD", "STANDBY"}
        roles["HELD"].say("client.close(); print('now closed')")
        roles["HELD"].wait_line("now closed")
        after = truth.get(path)
        assert before is not None
        assert after is not None
        assert after.stat.ephemeral_owner != before.stat.ephemeral_owner
        with Child(WORKER, *arguments, within=[*first, *PIDS]) as third:
            third.printed.wait(lambda lines: "registered" in lines, 60.0)
            roles["STANDBY"].kill()
            third.say("print('now', registration._owned.node.wait(lambda node: node.state == 'HELD', 60.0))")
            assert third.wait_line("now") == "True"


def test_workers_of_two_machines_never_share(containers: Machines, truth: Truth, namespace: str, path: str) -> None:
    """Host names, addresses, ids, all may be equal."""
    (first,), (second,) = containers.machine(["web"]), containers.machine(["web"])
    arguments = [containers.zookeeper, namespace, "2", repr({})]
    with Child(WORKER, *arguments, within=first) as one:
        one.printed.wait(lambda lines: "registered" in lines, 60.0)
        before = truth.get(path)
        with Child(WORKER, *arguments, within=second) as other:
            other.wait_line("state WAITING")
            loud = other.wait_line("LOUD zkdiscovery.registration ERROR")
            assert "only processes of one machine that advertise one address share" in loud
        assert truth.get(path) == before
