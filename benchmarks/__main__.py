"""All questions, one after another on one ZooKeeper; at the end the targets, the peers, and what one server carries.

    python -m benchmarks [--quick] [--hosts HOST:PORT] [QUESTION ...]

Each question runs in a process of its own. A full run of all of them writes the tables and pictures of
docs/explanation/scale.md. Exit status 1: a question failed, or (in a full run) a target is missed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import tables
from benchmarks.common import RESULTS, RUN, server, wide_console
from benchmarks.tables import QUESTIONS


def main() -> int:
    """Run, then sum up."""
    parser = argparse.ArgumentParser("python -m benchmarks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("questions", nargs="*", metavar="QUESTION", help=f"of {', '.join(QUESTIONS)}; all if not given")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: to see that it runs")
    parser.add_argument("--hosts", help="the ZooKeeper to use, host:port; one of our own if not given")
    asked = parser.parse_args()
    if unknown := set(asked.questions) - set(QUESTIONS):
        parser.error(f"no such question: {', '.join(sorted(unknown))}")
    if asked.hosts:
        os.environ["ZKDISCOVERY_TEST_HOSTS"] = asked.hosts
    chosen = asked.questions or QUESTIONS
    console, failed, begin = wide_console(), [], time.monotonic()
    with server() as found:
        environment = {**os.environ, "ZKDISCOVERY_TEST_HOSTS": found.hosts, "COLUMNS": str(console.width)}
        environment[RUN] = time.strftime("%Y-%m-%d %H:%M")
        for name in chosen:
            (RESULTS / f"{name}.json").unlink(missing_ok=True)
            command = [sys.executable, "-m", f"benchmarks.{name}", *(["--quick"] if asked.quick else [])]
            if subprocess.run(command, env=environment, cwd=Path(__file__).parents[1], check=False).returncode:
                failed.append(name)
    results = tables.load([name for name in chosen if name not in failed])
    targets = tables.targets(results)
    missed = sum(tables.MISSED in cells for cells in targets)
    if asked.quick:
        console.print("A quick run shows that all runs; its figures say little, and are not judged.")
    else:
        tables.show("Targets; of several sizes the worst", targets, console)
        tables.show("How many times ours the peers take; of several sizes the least", tables.peers(results), console)
        if "carry" in results and results["carry"].rows:
            tables.show("What a change takes of the server", tables.checks(results), console)
        console.print(f"{len(targets) - 1} targets. Missed: {missed or 'none'}")
    console.print("Seconds:", ", ".join(f"{name} {result.seconds:.0f}" for name, result in results.items()))
    console.print(f"In all: {time.monotonic() - begin:.0f} s")
    if failed:
        console.print(f"[bold red]Failed: {', '.join(failed)}[/]")
    elif not asked.quick and set(chosen) == set(QUESTIONS):
        try:
            tables.publish()
        except ValueError as error:
            console.print(error)
    return 1 if failed or (missed and not asked.quick) else 0


if __name__ == "__main__":
    sys.exit(main())
