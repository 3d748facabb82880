"""A fork while the parent handles a signal: the child handles its own signals as if there had been none."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support import LIMIT

PARENT = """
import faulthandler, os, signal, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on: a fork beside threads
from zkdiscovery import Phase, Feature, close_on_signals
from zkdiscovery.testing import static_client

had_its_turn, go_on, begun = threading.Event(), threading.Event(), threading.Event()
signal.signal(signal.SIGTERM, lambda *_: had_its_turn.set())

class Slow(Feature):
    phase = Phase.OWNED
    def close(self, deadline):
        begun.set()
        go_on.wait(10.0)

client = static_client(payments=["127.0.0.1:1"])
client.feature(Slow)
close_on_signals(client, timeout=30.0)
signal.raise_signal(signal.SIGTERM)
assert begun.wait(10.0)  # the parent's closing thread is under way, and waits for us

pid = os.fork()
if pid == 0:
    faulthandler.dump_traceback_later(8.0, exit=True)
    child()
    os._exit(0)
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
go_on.set()
assert had_its_turn.wait(10.0)
client.close()
sys.exit(status)
"""

DRAINS = """
def child():
    registration = client.register("orders", 8080)
    signal.raise_signal(signal.SIGTERM)
    assert had_its_turn.wait(5.0)
    print(registration.state)
"""

LOOPS = """
def child():
    with client.discover("payments") as view:
        for change in view.changes():
            view.close()  # a loop that ends waits for the turns of signals
    print("ended")
"""


@pytest.mark.parametrize(("child", "prints"), [(DRAINS, "CLOSED"), (LOOPS, "ended")])
def test_a_child_that_was_forked_while_the_parent_handles_a_signal(child: str, prints: str) -> None:
    program = subprocess.run(
        [sys.executable, "-u", "-c", child + PARENT], capture_output=True, text=True, timeout=2 * LIMIT, check=False
    )
    assert program.stderr == ""
    assert program.stdout.split() == [prints]
    assert program.returncode == 0


def test_a_child_has_all_the_time_to_end() -> None:
    """What the end of the parent has taken counts for the parent only."""
    program = """
import os, sys
from zkdiscovery.lifecycle import Level, budget, end
from zkdiscovery.testing import static_client
from zkdiscovery import Feature, Phase
import time

class Timed(Feature):
    phase = Phase.OWNED
    def begin_close(self, deadline):
        self.left = deadline - time.monotonic()

def left():
    client = static_client()
    feature = client.feature(Timed)
    end([client.slot], Level.CLOSED, process=True)
    return feature.left

budget.process_end._certain = 4.0
assert left() < 3.0
pid = os.fork()
if pid == 0:
    os._exit(0 if left() > 3.0 else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", program], timeout=LIMIT, check=False).returncode == 0
