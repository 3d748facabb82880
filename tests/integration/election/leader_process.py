"""A process that campaigns. Says on standard output, line by line as JSON, what happens; is told on standard input.

leader_process.py <hosts> <namespace> <name> <session timeout> hold
    leads one term; for each line that it is sent, says whether its term is lost
leader_process.py <hosts> <namespace> <name> <session timeout> turns <candidates>
    so many candidates, each of which leads one short term and says from when to when
"""

from __future__ import annotations

import json
import sys
import threading

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


def main() -> None:
    """What the arguments say."""
    hosts, namespace, name, timeout, mode, *rest = sys.argv[1:]
    with Client(hosts, namespace=namespace, session_timeout=float(timeout)) as client:
        if mode == "hold":
            hold(client.election(name))
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
