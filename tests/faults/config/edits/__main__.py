"""Edits of configuration under faults: 100 readers, 1,000 edits of 20 keys in 3 documents; then the planted bugs.

    python -m tests.faults.config.edits [--readers 100] [--edits 1000] [--seed 7] [--bug two-requests]

Fails if somebody saw a mix, went back, missed the last edit, or met what can't be read; and if a planted bug is not
found within 5 minutes.
"""

from __future__ import annotations

import argparse
import logging
import secrets
import sys
import time

from tests.faults.config.edits.bugs import BUGS
from tests.faults.config.edits.run import Outcome, edit_under_faults
from zkdiscovery.testing import zookeeper_ensemble

FOUND_WITHIN = 300.0  # seconds


def main() -> int:
    """Edit, print, say whether all is well."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.config.edits", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--readers", type=int, default=100)
    parser.add_argument("--edits", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--bug", choices=[*BUGS, "none"], action="append", help="all, and none, if not given")
    arguments = parser.parse_args()
    logging.getLogger("zkdiscovery").addHandler(logging.NullHandler())
    good = True
    with zookeeper_ensemble(source="local") as ensemble:
        for bug in arguments.bug or ["none", *BUGS]:
            planted = None if bug == "none" else bug
            begin = time.monotonic()

            def enough(outcome: Outcome, planted: str | None = planted, begin: float = begin) -> bool:
                return planted is not None and bool(outcome.wrong or time.monotonic() - begin > FOUND_WITHIN)

            outcome = edit_under_faults(
                ensemble,
                f"{ensemble.namespace}/{secrets.token_hex(4)}",
                readers=arguments.readers,
                edits=arguments.edits if planted is None else 1_000_000,
                seed=arguments.seed,
                bug=planted,
                enough=enough,
            )
            faults = ", ".join(f"{count} {kind}" for kind, count in sorted(outcome.faults.items()))
            print(
                f"{bug}: {outcome.edits} edits, {outcome.readers} readers told of {outcome.seen} changes in"
                f" {outcome.seconds:.0f} s; {faults}; {len(outcome.wrong)} violations",
                flush=True,
            )
            for wrong in outcome.wrong[:5]:
                print(f"  {wrong[:300]}", flush=True)
            good = good and bool(outcome.wrong) == (planted is not None)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
