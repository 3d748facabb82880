"""`make leases TRIES=20 T=4`: each attack on leases, so many times, on several ensembles at once.

Prints for each attack: tries, overlaps, how often a lease began in spite of it, and the median of what was left of T
after first renewals. Fails if leases overlapped, began in less than nine tries of ten, or lasted less than half of T.
With --rule, the candidate process follows a rule that is wrong, to see that the attacks bite.
"""

from __future__ import annotations

import argparse
import queue
import statistics
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Sequence

from tests.faults.leases.attack import ATTACKS, Attack, Outcome, attempt
from tests.faults.leases.recorded import record
from tests.rules import RULES
from zkdiscovery.testing import zookeeper_ensemble

KNOWN_T = 1.0  # seconds; T where it is less than two ticks
WON, LASTS = 0.9, 0.5  # shares: of the tries, of T
CONFIG = {"initLimit": "20", "syncLimit": "40"}  # ticks; a follower that is cut off stays for longer than a session

FAILURES = 10  # of ensembles and processes, after which a run is given up

LOT = 12  # tries on one ensemble

Lot = deque[tuple[Attack, int]]


class Campaign:
    """All tries, dealt out to ensembles."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self.outcomes: dict[str, list[Outcome]] = {}
        self.failures = 0  # of what the attacks stand on
        self._lock = threading.Lock()

    def run(self, attacks: Sequence[Attack]) -> None:
        """Everything; returns when all is done, or can't be."""
        lots: queue.SimpleQueue[Lot] = queue.SimpleQueue()
        for tick in sorted({attack.tick for attack in attacks}):
            jobs = [(a, number) for number in range(self._arguments.tries) for a in attacks if a.tick == tick]
            for start in range(0, len(jobs), LOT):
                lots.put(deque(jobs[start : start + LOT]))
        threads = [threading.Thread(target=self._work, args=(lots,)) for _ in range(self._arguments.ensembles)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _work(self, lots: queue.SimpleQueue[Lot]) -> None:
        while self.failures <= FAILURES:
            try:
                lot = lots.get_nowait()
            except queue.Empty:
                return
            try:
                self._attack(lot)
            except Exception:  # an ensemble that does not start, or can't be healed, on a busy machine: another one
                traceback.print_exc()
                self.failures += 1
                lots.put(lot)

    def _attack(self, lot: Lot) -> None:
        """On one ensemble; what is done is taken out of the lot."""
        tick = lot[0][0].tick
        known = tick > 0.5
        timeout = KNOWN_T if known else self._arguments.timeout
        config = {**CONFIG, "minSessionTimeout": "500"} if known else CONFIG
        with zookeeper_ensemble(
            source="local", tick_time_ms=round(tick * timeout * 1000), config=config, notify=lambda _: None
        ) as ensemble:
            while lot:
                attack, number = lot[0]
                began = time.monotonic()
                seed = f"{self._arguments.seed}/{attack.name}/{number}"
                outcome = attempt(ensemble, attack, timeout, self._arguments.rule, seed)
                lot.popleft()
                with self._lock:
                    self.outcomes.setdefault(attack.name, []).append(outcome)
                    print(
                        f"{attack.name} {number + 1}: {'won' if outcome.won else 'not won'},"
                        f" {outcome.overlap * 1000:+.0f} ms, {time.monotonic() - began:.0f} s",
                        file=sys.stderr, flush=True,
                    )  # fmt: skip

    def report(self, attacks: Sequence[Attack]) -> bool:
        """Print the table; True if all is as it should be."""
        good = True
        print(f"T = {self._arguments.timeout:g} s, rule: {self._arguments.rule}, seed: {self._arguments.seed}")
        print(f"{'attack':<36}{'tries':>6}{'overlaps':>10}{'longest':>10}{'won':>7}{'renewed':>10}")
        for attack in attacks:
            outcomes = self.outcomes.get(attack.name, [])
            overlaps = [outcome.overlap for outcome in outcomes if outcome.overlap > 0]
            won = sum(outcome.won for outcome in outcomes) / max(1, len(outcomes))
            renewed = [share for outcome in outcomes for share in outcome.renewed]
            lasts = statistics.median(renewed) if renewed else 0.0
            longest = f"{max(overlaps) * 1000:.0f} ms" if overlaps else "-"
            print(
                f"{attack.name:<36}{len(outcomes):>6}{len(overlaps):>10}{longest:>10}{won:>7.0%}{f'{lasts:.2f} T':>10}"
            )
            if not attack.known:
                good = good and not overlaps and won >= WON and lasts >= LASTS
            if len(outcomes) < self._arguments.tries:
                print(f"{attack.name}: {self._arguments.tries - len(outcomes)} tries could not be made")
                good = False
        if self.failures:
            print(f"{self.failures} failures of ensembles or processes, tried again; see the log")
        return good


def main() -> int:
    """Attack, print, say whether all is well."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.leases", description=__doc__)
    parser.add_argument("--tries", type=int, default=20, help="of each attack (20)")
    parser.add_argument("--timeout", type=float, default=4.0, help="T in seconds (4)")
    parser.add_argument("--ensembles", type=int, default=3, help="at once (3)")
    parser.add_argument("--rule", default="new", choices=["new", *RULES], help="that the candidate follows (new)")
    parser.add_argument("--seed", default="1", help="of what is drawn (1)")
    parser.add_argument("attacks", nargs="*", help="parts of their names (all)")
    arguments = parser.parse_args()
    attacks = [a for a in ATTACKS if not arguments.attacks or any(part in a.name for part in arguments.attacks)]
    record()
    campaign = Campaign(arguments)
    campaign.run(attacks)
    return 0 if campaign.report(attacks) else 1


if __name__ == "__main__":
    sys.exit(main())
