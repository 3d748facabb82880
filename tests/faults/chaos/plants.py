"""`python -m tests.faults.chaos.plants`: is each planted bug found by an ordinary run within five minutes?"""

from __future__ import annotations

import argparse
import json
import secrets
import subprocess
import sys
import time
from typing import NamedTuple

from tests.faults.chaos.bugs import PLANTS
from tests.faults.chaos.process import ROOT

MINUTES = 5.0


class Outcome(NamedTuple):
    """What came of the search for one bug.

    Attributes:
        plant: its name.
        seed: of the run.
        found: whether the checker found violations.
        seconds: from the start of the run until its end, the start of the ensemble included.
        rounds: that it took.
        violated: the invariants that did not hold.
    """

    plant: str
    seed: int
    found: bool
    seconds: float
    rounds: int
    violated: list[str]


def search(plant: str, seed: int, source: str) -> Outcome:
    """Run with a bug planted, until it is found or the time is over."""
    begin = time.monotonic()
    run = subprocess.run(
        [
            sys.executable, "-m", "tests.faults.chaos", "--minutes", str(MINUTES), "--seed", str(seed),
            "--plant", plant, "--source", source, "--output", "json",
        ],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False, timeout=(MINUTES + 3) * 60,
    )  # fmt: skip
    seconds = time.monotonic() - begin
    figures = json.loads(run.stdout)
    return Outcome(plant, seed, figures["violations"] > 0, seconds, figures["rounds"], figures["violated"])


def main() -> int:
    """Search for each of them, one after another."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.chaos.plants", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="of all runs (random)")
    parser.add_argument("--source", default="auto", choices=["auto", "container", "local"], help="of the ZooKeeper")
    parser.add_argument("plants", nargs="*", choices=[[], *PLANTS], help="which (all)")
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else secrets.randbelow(2**31)
    outcomes = [search(plant, seed, arguments.source) for plant in arguments.plants or PLANTS]
    print(f"{'planted bug':<20}{'found after':>12}  {'rounds':>6}  violated")
    for outcome in outcomes:
        when = f"{outcome.seconds:.0f} s" if outcome.found else "not found"
        print(f"{outcome.plant:<20}{when:>12}  {outcome.rounds:>6}  {', '.join(outcome.violated)}")
    return 0 if all(outcome.found and outcome.seconds <= MINUTES * 60 for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
