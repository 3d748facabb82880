"""Increments by many processes, with faults of the ensemble, and processes that are stopped beyond their session.

    python -m tests.faults.increments --processes 8 --increments 10000 [--mode fenced|guarded|plain]...

Prints for each mode how many increments were lost, and how many stale writes were refused. Fails if any was lost or
counted twice. For the modes see worker.py.
"""

from __future__ import annotations

import argparse
import secrets
import sys

from tests.faults.increments.run import T, increment
from zkdiscovery.testing import zookeeper_ensemble

MODES = ("fenced", "guarded", "plain")


def main() -> int:
    """Increment, print, say whether all is well."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.increments", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--increments", type=int, default=10_000, help="in all, for each mode (10000)")
    parser.add_argument("--mode", choices=MODES, action="append")
    arguments = parser.parse_args()
    good = True
    with zookeeper_ensemble(source="local") as ensemble:
        print(f"T = {T:g} s, {arguments.processes} processes, an ensemble of {len(ensemble.members)}", flush=True)
        for mode in arguments.mode or MODES:
            outcome = increment(
                ensemble,
                f"{ensemble.namespace}/{secrets.token_hex(4)}",
                mode,
                processes=arguments.processes,
                increments=arguments.increments,
            )
            faults = ", ".join(f"{count} {kind}" for kind, count in sorted(outcome.faults.items()))
            print(
                f"{mode}: {len(outcome.values)} increments in {outcome.seconds:.0f} s, the number is {outcome.final};"
                f" {outcome.sum('refused')} stale writes refused, {outcome.sum('by_zookeeper')} of them by ZooKeeper;"
                f" {outcome.sum('lost')} holds known to be lost; {outcome.sum('unknown')} outcomes unknown;"
                f" {outcome.sum('misses')} misses; {faults}",
                flush=True,
            )
            for wrong in outcome.wrong:
                print(f"  {wrong}", flush=True)
            good = good and not outcome.wrong
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
