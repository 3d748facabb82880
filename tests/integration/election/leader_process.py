"""A process that campaigns. Says on standard output, line by line as JSON, what happens; is told on standard input.

leader_process.py <hosts> <namespace> <name> <session timeout> hold
    leads one term; for each line that it is sent, says whether its term is lost
leader_process.py <hosts> <namespace> <name> <session timeout> turns <candidates>
    so many candidates, each of which leads one short term and says from when to when
leader_process.py <hosts> <namespace> <name> <session timeout> late
    leads one term; writes, looks at its term, stops itself, and writes what it had decided when it runs on
leader_process.py <hosts> <namespace> <name> <session timeout> clock
    leads one term; says whether it has lasted for a session timeout, and when it is lost, with the wall clock
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time

from zkdiscovery import Client, Election
from zkdiscovery.session.clock import lease_now

_lock = threading.Lock()


def say(**what: object) -> None:
    """One line, whole."""
    with _lock:
        print(json.dumps(what), flush=True)


def hold(election: Election) -> None:
    """Lead, and answer."""
    with election.campaign(60.0) as term:
        say(fence=term.fence, at=lease_now())
        for _ in sys.stdin:
            say(fence=term.fence, lost=term.lost, reason=term.reason, remaining=term.remaining)


def turn(election: Election) -> None:
    """Lead once, for a moment."""
    with election.campaign(60.0) as term:
        begin = lease_now()
        term.wait_lost(0.01)  # the work
        say(fence=term.fence, begin=begin, end=lease_now(), lost=term.lost)


def late(election: Election) -> None:
    """What no lease can prevent."""
    with election.campaign(60.0) as term:
        say(fence=term.fence, write="in time")
        term.check()
        os.kill(os.getpid(), signal.SIGSTOP)
        say(fence=term.fence, write="late")
        say(lost=term.lost, remaining=term.remaining, reason=term.reason)


def clock(election: Election, timeout: float) -> None:
    """Lead until the term is lost, whatever the wall clock shows."""
    with election.campaign(60.0) as term:
        walls = [time.time()]
        for _ in range(20):
            term.wait_lost(timeout / 20)
            walls.append(time.time())
        say(fence=term.fence, lost=term.lost, jump=max(walls) - min(walls))
        term.wait_lost(60.0)
        say(fence=term.fence, at=lease_now(), reason=term.reason)


def main() -> None:
    """What the arguments say."""
    hosts, namespace, name, timeout, mode, *rest = sys.argv[1:]
    with Client(hosts, namespace=namespace, session_timeout=float(timeout)) as client:
        if mode == "hold":
            hold(client.election(name))
            return
        if mode == "late":
            late(client.election(name))
            return
        if mode == "clock":
            clock(client.election(name), float(timeout))
            return
        client.wait_connected(20.0)
        say(ready=True)
        sys.stdin.readline()  # all begin together
        threads = [threading.Thread(target=turn, args=(client.election(name),)) for _ in range(int(rest[0]))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60.0)


if __name__ == "__main__":
    main()
