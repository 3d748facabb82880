"""Processes that end without closing their clients."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from tests.support import LIMIT, Truth
from zkdiscovery.testing import FaultProxy, ZookeeperServer

SESSION_TIMEOUT = 30.0  # seconds: had it to be waited for, the tests would notice

FORGETFUL = """
import atexit, sys, threading, time
from zkdiscovery import Client

def make(hosts=sys.argv[1]):
    return Client(hosts, namespace=sys.argv[2], session_timeout=30.0)

def register(client, name, **options):
    return client.register("payments", 8080, host="10.0.0.1", id=name, **options).wait_registered(20.0)

def no_thread(_):
    raise RuntimeError("can't create new thread at interpreter shutdown")

def no_more_threads():  # as from Python 3.12 on
    atexit.register(setattr, threading.Thread, "start", no_thread)
"""


def run(script: str, *arguments: str) -> str:
    """Run a process to its end; what it has said on standard error."""
    command = [sys.executable, "-c", FORGETFUL + script, *arguments]
    ended = subprocess.run(command, check=False, timeout=LIMIT, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stderr


def test_a_process_that_forgets_to_close_deregisters_all_the_same(
    truth: Truth, namespace: str, zkdiscovery_server: ZookeeperServer
) -> None:
    run('client = make(); register(client, "a")', zkdiscovery_server.hosts, namespace)
    assert truth.children(f"{namespace}/services/payments") == []
    assert truth.children(f"{namespace}/services") == ["payments"]


@pytest.mark.parametrize("threads", ["", "no_more_threads()"])
def test_several_deregister_though_no_thread_can_be_started_any_more(
    truth: Truth, namespace: str, zkdiscovery_server: ZookeeperServer, threads: str
) -> None:
    """Each has a callback that was never called, so the first news would start a thread."""
    script = f"""
clients = [make() for _ in range(3)]
registrations = [register(client, name) for client, name in zip(clients, "abc")]
for registration in registrations:
    registration.on_change(lambda _: None)
{threads}
"""
    assert run(script, zkdiscovery_server.hosts, namespace) == ""
    assert truth.children(f"{namespace}/services/payments") == []


def test_one_that_fails_stops_none_of_the_others(
    truth: Truth, namespace: str, zkdiscovery_server: ZookeeperServer
) -> None:
    script = """
def fail(*_):
    raise OSError("a test")

clients = [make() for _ in range(3)]
for client, name in zip(clients, "abc"):
    register(client, name)
    client.slot.begin_drain = fail
"""
    said = run(script, zkdiscovery_server.hosts, namespace)
    assert said.count("ending <Client") == 2
    assert said.count("OSError: a test") == 3
    assert truth.children(f"{namespace}/services/payments") == []


def test_all_drain_at_the_same_time_within_one_limit(
    truth: Truth, namespace: str, zkdiscovery_server: ZookeeperServer
) -> None:
    with FaultProxy(zkdiscovery_server.hosts) as proxy:
        script = f"""
silent = make({proxy.address!r})
clients = [make() for _ in range(5)]
register(silent, "x")
for client, name in zip(clients, "abcde"):
    register(client, name, drain_delay=1.5)
no_more_threads()
print("ready", flush=True)
sys.stdin.readline()
"""
        command = [sys.executable, "-c", FORGETFUL + script, zkdiscovery_server.hosts, namespace]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
                proxy.pause()
                begun = time.monotonic()
                process.communicate("\n", LIMIT)
                assert 1.5 <= time.monotonic() - begun < 8.0, "one after another, the delays alone take 7.5"
            finally:
                process.kill()
    assert truth.children(f"{namespace}/services/payments") == ["x"], "ZooKeeper could not be told"
