"""A process of the demo: serves `payments` over HTTP, and campaigns in the election `settlement`.

Run as `python -m zkdiscovery.demo.node HOSTS NAMESPACE NAME`. It reports on standard output, one JSON object a line,
with monotonic times, which all processes of one machine share:

    {"port": 40123, "listening": 12.34}                    it accepts calls
    {"registered": 12.41}                                  its instance is in ZooKeeper
    {"fence": 17, "since": 12.43, "lease_end": 14.83}      it leads; repeated while it does
    {"fence": null}                                        it leads no more
    {"turn": 31, "began": 15.10, "ended": 15.12}           it has held the lock; the fence of that hold
    {"shards": [0, 5]}                                     the shards that it holds

What it does beside that is told on standard input, a word each line: `turns` takes the lock `ledger` `TURNS` times, and
`shards` joins the members that share out `accounts`.

Guarantees: ends at once when its standard input does, that is, with its parent, however that ends. On SIGTERM it
drains: it serves on for `DRAIN_DELAY`, deregisters, and gives its shards back.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from zkdiscovery import Client, ClientClosed, HoldLost, Registration, Term, close_on_signals

SERVICE = "payments"
ELECTION = "settlement"
LOCK = "ledger"
TURNS = 10  # of each node at the lock
TURN = 0.02  # seconds
LOCK_TIMEOUT = 20.0  # seconds
SHARDS, SHARD_COUNT = "accounts", 8
SESSION_TIMEOUT = 4.0  # seconds
DRAIN_DELAY = 1.0  # seconds between DRAINING and the end
REPORT_INTERVAL = 0.2  # seconds between two reports of a leader


class Payments(BaseHTTPRequestHandler):
    """Answers each GET with a line."""

    def do_GET(self) -> None:
        """Answer with status 200."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"paid\n")

    def log_message(self, *_args: object) -> None:
        """Log nothing: standard error is for errors."""


def report(**facts: object) -> None:
    """Tell the parent."""
    print(json.dumps(facts) + "\n", end="", flush=True)  # noqa: T201 - one write, because two threads report


def take_turns(client: Client) -> None:
    """Hold the lock `TURNS` times. A turn that lost its hold is taken again."""
    lock, turns = client.lock(LOCK), 0
    while turns < TURNS:
        with contextlib.suppress(HoldLost), lock.hold(timeout=LOCK_TIMEOUT) as hold:
            began = time.monotonic()
            time.sleep(TURN)
            hold.check()
            report(turn=hold.fence, began=began, ended=time.monotonic())
            turns += 1


def share_out(client: Client) -> None:
    """Hold a fair share of the shards until the client drains."""
    shards = client.shards(SHARDS, count=SHARD_COUNT)
    shards.on_change(lambda numbers: report(shards=numbers))
    shards.run(lambda shard: shard.wait_lost(None))


TASKS: dict[str, Callable[[Client], None]] = {"turns": take_turns, "shards": share_out}


def obey(client: Client) -> None:
    """Begin the tasks that the parent names. End this process with standard input: the parent holds its other end."""

    def run(task: Callable[[Client], None]) -> None:
        with contextlib.suppress(ClientClosed):  # told to end meanwhile
            task(client)

    for line in sys.stdin:
        threading.Thread(target=run, args=(TASKS[line.strip()],), daemon=True).start()
    os._exit(0)


def main() -> None:
    """Serve until a signal comes."""
    hosts, namespace, name = sys.argv[1:]
    client = Client(hosts, namespace=namespace, session_timeout=SESSION_TIMEOUT)
    threading.Thread(target=obey, args=(client,), daemon=True).start()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Payments)
    report(port=server.server_port, listening=time.monotonic())

    @client.registered(SERVICE, server.server_port, host="127.0.0.1", id=name, drain_delay=DRAIN_DELAY)
    def serve(registration: Registration) -> None:
        registration.wait_registered(timeout=20.0)
        report(registered=time.monotonic())
        server.serve_forever()

    @client.while_leader(ELECTION, id=name)
    def settle(term: Term) -> None:
        since = time.monotonic()
        while not term.lost:
            report(fence=term.fence, since=since, lease_end=time.monotonic() + term.remaining)
            term.wait_lost(REPORT_INTERVAL)
        report(fence=None)

    close_on_signals(client)
    threading.Thread(target=settle, daemon=True).start()
    with contextlib.suppress(ClientClosed):  # told to end while it still registers
        serve()


if __name__ == "__main__":
    main()
