"""Loops of the main thread end with their client; a signal that closed it has its turn before the code after them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.integration.child import Child
from tests.support import Truth
from zkdiscovery import Client
from zkdiscovery.testing import ZookeeperServer

LIMIT = 20.0  # seconds
PROGRAM = """
import signal, sys
from zkdiscovery import Client, close_on_signals
hosts, namespace = sys.argv[1:]
client = Client(hosts, namespace=namespace)

@client.while_leader("report")
def report(term):
    print("ready")
    term.wait_lost(None)

def terms():
    for term in client.election("report").terms():
        print("ready")
        term.wait_lost(None)

def campaign():
    with client.election("report").campaign():
        print("leads")

def changes():
    for change in client.discover("payments").changes():
        print("ready")

def waiting(use):
    client.start().wait_connected(20.0)
    print("ready")
    use()
"""
USES = {
    "a function that leads": "report()",
    "a function that waits": "waiting(report)",
    "terms": "terms()",
    "a campaign": "waiting(campaign)",
    "changes": "changes()",
}
ENDS = {
    signal.SIGINT: "close_on_signals(client)",
    signal.SIGTERM: "close_on_signals(client)",
    # A handler of the program that ends nothing: the code after the loop runs, once the handler was called.
    signal.SIGUSR1: "signal.signal(signal.SIGUSR1, lambda *_: print('handled'))\n"
    "close_on_signals(client, signals=[signal.SIGUSR1])",
}


@pytest.fixture
def ahead(zkdiscovery_server: ZookeeperServer, namespace: str) -> Iterator[Client]:
    """A client that stands first in the queue where a test wants one to."""
    with Client(zkdiscovery_server.hosts, namespace=namespace) as client:
        yield client


@pytest.mark.parametrize(
    ("number", "use"), [*((signal.SIGINT, use) for use in USES), (signal.SIGTERM, "a function that leads")]
)
def test_nothing_after_a_loop_runs_before_the_signal_ends_the_process(
    zkdiscovery_server: ZookeeperServer, namespace: str, ahead: Client, truth: Truth, number: signal.Signals, use: str
) -> None:
    script = f"{PROGRAM}\n{ENDS[number]}\n{USES[use]}\nprint('went on')\n"
    with ExitStack() as stack:
        if "waiting" in USES[use]:
            stack.enter_context(ahead.election("report").campaign(LIMIT))
        child = stack.enter_context(Child(script, zkdiscovery_server.hosts, namespace))
        child.wait_line("ready")
        if "waiting" in USES[use]:
            truth.wait(f"{namespace}/elections/report", lambda node: node is not None and node.stat.num_children == 2)
        child.signal(number)
        assert child.process.wait(LIMIT) == -number
        assert "went on" not in child.printed.items
        assert "leads" not in child.printed.items


def test_a_program_that_handles_the_signal_goes_on_after_its_handler(
    zkdiscovery_server: ZookeeperServer, namespace: str
) -> None:
    script = f"{PROGRAM}\n{ENDS[signal.SIGUSR1]}\nreport()\nprint('went on')\n"
    with Child(script, zkdiscovery_server.hosts, namespace) as child:
        child.wait_line("ready")
        child.signal(signal.SIGUSR1)
        child.wait_line("went on")
        assert child.printed.items == ["ready", "handled", "went on"]
