"""Attacks on processes that run a command below a lock, so many times.

    python -m tests.faults.commands --times 100 [--attack NAME]... [--timeout T]

Prints for each attack how often two commands overlapped, and the shortest gap between them. Fails if any did, or if a
holder ended with another exit code than it should.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from pathlib import Path

from tests.faults.commands.attack import ATTACKS, NotBegunError, Outcome, attempt
from zkdiscovery.testing import zookeeper_server


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--attack", choices=[*ATTACKS], action="append")
    parser.add_argument("--timeout", type=float, default=2.0, help="the session timeout T, in seconds")
    parser.add_argument("--source", default="local")
    arguments = parser.parse_args()
    wrong = 0
    with zookeeper_server(source=arguments.source) as server:
        for name in arguments.attack or ATTACKS:
            outcomes: list[Outcome] = []
            failures = 0
            while len(outcomes) < arguments.times:
                namespace = f"{server.namespace}/{secrets.token_hex(4)}"
                try:
                    with tempfile.TemporaryDirectory() as folder:
                        outcomes.append(
                            attempt(ATTACKS[name], server.hosts, namespace, Path(folder), timeout=arguments.timeout)
                        )
                except NotBegunError as error:
                    print(f"{name}: tried again, because a command did not begin: {error}", flush=True)
                    failures += 1
                    if failures > arguments.times:
                        raise
            overlaps = sum(outcome.gap <= 0 for outcome in outcomes)
            codes = sum(outcome.code != ATTACKS[name].code for outcome in outcomes)
            wrong += overlaps + codes
            print(
                f"{name}: {len(outcomes)} times, {overlaps} overlaps, {codes} wrong exit codes; shortest gap"
                f" {min(outcome.gap for outcome in outcomes):.3f} s; the command ran on for at most"
                f" {max(outcome.ran for outcome in outcomes):.3f} s",
                flush=True,
            )
    return 1 if wrong else 0


sys.exit(main())
