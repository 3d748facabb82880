"""All questions, one after another on one ZooKeeper, and at the end which targets are met.

    python -m benchmarks [--quick] [--hosts HOST:PORT] [QUESTION ...]

Each question runs in a process of its own. Exit status 1: a question failed, or (in a full run) a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.common import HEAP, RESULTS, show_verdict, wide_console
from zkdiscovery.testing import zookeeper_server

QUESTIONS = (
    "start", "pick", "fill", "memory", "change", "storm", "register", "reconnect", "election", "fanout", "idle",
    "updates",
)  # fmt: skip


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
    os.environ.setdefault("JVMFLAGS", HEAP)
    console, failed, begin = wide_console(), [], time.monotonic()
    with zookeeper_server() as server:
        environment = {**os.environ, "ZKDISCOVERY_TEST_HOSTS": server.hosts, "COLUMNS": str(console.width)}
        for name in chosen:
            (RESULTS / f"{name}.json").unlink(missing_ok=True)
            command = [sys.executable, "-m", f"benchmarks.{name}", *(["--quick"] if asked.quick else [])]
            if subprocess.run(command, env=environment, cwd=Path(__file__).parents[1], check=False).returncode:
                failed.append(name)
    verdicts = [verdict for name in chosen if name not in failed for verdict in verdicts_of(name)]
    missed = [verdict for verdict in verdicts if verdict["met"] is False]
    console.print(f"\n{len(verdicts)} targets, {time.monotonic() - begin:.0f} s. Missed: {len(missed) or 'none'}")
    for verdict in missed:
        show_verdict(verdict, console)
    for verdict in verdicts:
        if verdict["met"] is None:
            show_verdict(verdict, console)
    if failed:
        console.print(f"[bold red]Failed: {', '.join(failed)}[/]")
    return 1 if failed or (missed and not asked.quick) else 0


def verdicts_of(name: str) -> list[dict[str, object]]:
    """Of the run that has just been."""
    verdicts: list[dict[str, object]] = json.loads((RESULTS / f"{name}.json").read_text())["verdicts"]
    return verdicts


if __name__ == "__main__":
    sys.exit(main())
