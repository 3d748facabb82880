"""`python -m tests.faults.chaos --minutes N --seed S`: chaos for as long as asked, and the figures."""

from __future__ import annotations

import argparse
import logging
import os
import secrets
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

from tests.faults.chaos.bugs import PLANTS
from tests.faults.chaos.checker import TICK
from tests.faults.chaos.controller import ENSEMBLE_CONFIG, Options, Run
from tests.faults.chaos.figures import show
from zkdiscovery.testing import zookeeper_ensemble

# Containers that are empty go within a second or two, not within a minute: others create in them all the time.
REAPING = "-Dznode.container.checkIntervalMs=1000"


def parse() -> argparse.Namespace:
    """The arguments."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="how long (1)")
    parser.add_argument("--seed", type=int, default=None, help="of the schedule; the same one reruns it (random)")
    parser.add_argument("--clients", type=int, default=10, help="client processes (10)")
    parser.add_argument("--plant", choices=sorted(PLANTS), help="a bug to plant in the clients")
    parser.add_argument("--source", default="auto", choices=["auto", "container", "local"], help="of the ZooKeeper")
    parser.add_argument("--keep-going", action="store_true", help="do not end at the first violation")
    parser.add_argument("-o", "--output", default="text", choices=["text", "json"], help="form of the figures (text)")
    parser.add_argument(
        "--directory", type=Path, help="where histories go; kept (default: temporary, kept on violation)"
    )
    return parser.parse_args()


def main() -> int:
    """Run, print, say whether all is well."""
    arguments = parse()
    seed = arguments.seed if arguments.seed is not None else secrets.randbelow(2**31)

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    logging.basicConfig(level=logging.ERROR)
    os.environ["JVMFLAGS"] = f"{os.environ.get('JVMFLAGS', '')} {REAPING}"
    say(f"seed {seed}")
    options = Options(seed, arguments.minutes, arguments.clients, arguments.plant, arguments.keep_going)
    directory = arguments.directory or Path(tempfile.mkdtemp(prefix="zkdiscovery-chaos-"))
    directory.mkdir(parents=True, exist_ok=True)
    broken = False
    with (
        zookeeper_ensemble(source=arguments.source, tick_time_ms=int(TICK * 1000), config=ENSEMBLE_CONFIG) as ensemble,
        Run(ensemble, options, directory, say) as run,
    ):
        try:
            run.rounds()
        except KeyboardInterrupt:
            say("interrupted")
        except Exception:  # the figures so far are worth having
            traceback.print_exc()
            broken = True
        show(run.figures.table(), arguments.output)
        if broken:
            say("ABORTED by an error of the run itself: the figures are no result")
    if idle := run.figures.idle():
        say(f"this run proves nothing of what did not happen: {', '.join(idle)}")
    if run.figures.violations or broken or idle:
        say(f"seed {seed}; the histories are in {directory}")
        return 1
    if arguments.directory is None:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
