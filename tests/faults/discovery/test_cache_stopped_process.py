"""A consumer that the operating system stops for longer than its session."""

from __future__ import annotations

import signal
import threading

from tests.integration.child import Child
from tests.integration.discovery.helpers import Written
from zkdiscovery.testing import ZookeeperServer

CONSUMER = """
import sys
from zkdiscovery import Client
hosts, namespace = sys.argv[1:]
client = Client(hosts, namespace=namespace, session_timeout=1.0)
view = client.discover("payments").wait_ready(15.0, at_least=3)

def see(*names):
    with view._changed:
        seen = view._changed.wait_for(
            lambda: not view.snapshot.stale and {i.id for i in view.snapshot} == set(names), 15.0
        )
    print("seen", seen, client.slot.current().session.epoch, len(view.snapshot.suspects))

print("ready")
"""


def test_a_consumer_that_was_stopped(zkdiscovery_server: ZookeeperServer, payments: Written, namespace: str) -> None:
    """kazoo: watches are gone with the session, unseen. Here all that changed meanwhile is seen in the new one."""
    payments.add("a", "b", "c")
    with Child(CONSUMER, zkdiscovery_server.hosts, namespace) as consumer:
        consumer.wait_line("ready")
        consumer.signal(signal.SIGSTOP)
        payments.remove("a")
        payments.add("d")
        threading.Event().wait(2.0)  # the length of the fault: a session of 1 s expires within 1.5 s
        consumer.signal(signal.SIGCONT)
        consumer.say("see('b', 'c', 'd')")
        assert consumer.wait_line("seen") == "True 2 0"
        payments.add("e")
        consumer.say("see('b', 'c', 'd', 'e')")
        assert consumer.wait_line("seen", 2) == "True 2 0"
