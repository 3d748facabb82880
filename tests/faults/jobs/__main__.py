"""`python -m tests.faults.jobs --kills 20`: kill the leaders of a job that runs each second, stop one, and print.

Fails if a run had a lower fence than one before it, or two runs were for one second.
"""

from __future__ import annotations

import argparse
import sys

from tests.faults.jobs.run import T, trouble_leaders
from zkdiscovery.testing import zookeeper_server


def main() -> int:
    """Kill, stop, print, say whether all is well."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.jobs", description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="of leaders, for each scheduler (20)")
    parser.add_argument("schedulers", nargs="*", default=["apscheduler", "celery"], help="apscheduler, celery (both)")
    arguments = parser.parse_args()
    good = True
    with zookeeper_server(source="local") as server:
        print(f"T = {T:g} s")
        print(f"{'scheduler':<14}{'kills':>7}{'terms':>7}{'runs':>7}{'violations':>12}{'longest gap':>13}", flush=True)
        for scheduler in arguments.schedulers:
            outcome = trouble_leaders(scheduler, server.hosts, f"/{scheduler}", arguments.kills)
            print(
                f"{scheduler:<14}{arguments.kills:>7}{outcome.terms:>7}{outcome.runs:>7}{len(outcome.violations):>12}"
                f"{outcome.longest_gap:>11.1f} s", flush=True,
            )  # fmt: skip
            for violation in outcome.violations:
                print(f"  {violation}")
            good = good and not outcome.violations and outcome.terms > arguments.kills + 1
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
