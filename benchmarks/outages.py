"""How long do outages take: to be noticed, to step down, to be over?

An ensemble of three, one client that leads, is registered and discovers, and another that follows and looks on. Each
fault is given in turns; what comes of it is asked every 5 ms. Figures are in seconds and in units of the session
timeout T, which most of them are proportional to; the elections of ZooKeeper itself are not.

    python -m benchmarks.outages [--timeout SECONDS] [--rounds N] [--quick]

Writes results/outages.json beside this file.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support import node_of
from zkdiscovery import Client, State, Term
from zkdiscovery.testing import FaultProxy, ZookeeperEnsemble, ZookeeperMember, zookeeper_ensemble

RESULTS = Path(__file__).parent / "results"
LIMIT = 90.0  # seconds
JOB, SERVICE = "nightly-report", "payments"
MATURE = 0.35  # of the session timeout, after which the renewals of a term are regular
COLUMNS = ("noticed", "term over", "next term", "gone for others", "well again")

Figures = dict[str, float]  # seconds by column; what did not happen is left out


class Watch:
    """Asks every 5 ms what is so by now, and keeps when it first was."""

    def __init__(self, **questions: Callable[[], bool]) -> None:
        self._questions = {name.replace("_", " "): question for name, question in questions.items()}
        self._changed = threading.Condition()
        self._seen: Figures = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        while not self._over.wait(0.005):
            for name, question in self._questions.items():
                if name not in self._seen and question():
                    with self._changed:
                        self._seen[name] = time.monotonic()
                        self._changed.notify_all()

    def wait(self, *names: str) -> None:
        """Until all of these were so."""
        with self._changed:
            if not self._changed.wait_for(lambda: all(name in self._seen for name in names), LIMIT):
                raise TimeoutError(f"waited {LIMIT:g} s for {names}; {list(self._seen)} came")

    def end(self, since: float) -> Figures:
        """Seconds from a moment to each."""
        self._over.set()
        self._thread.join()
        return {name: at - since for name, at in self._seen.items()}


class Participant:
    """A client that campaigns, is registered, and discovers."""

    def __init__(self, hosts: str, namespace: str, timeout: float, name: str) -> None:
        self.client = Client(hosts, namespace=namespace, session_timeout=timeout).wait_connected(LIMIT)
        self.registration = self.client.register(SERVICE, port=8080, host="127.0.0.1", id=name)
        self.registration.wait_registered(LIMIT)
        self.view = self.client.discover(SERVICE).wait_ready(LIMIT)
        self.terms: list[Term] = []
        self._led = threading.Event()
        self.election = self.client.election(JOB, id=name)
        self.election.start(self._lead)

    def _lead(self, term: Term) -> None:
        self.terms.append(term)
        self._led.set()
        term.wait_lost(LIMIT)

    def wait_term(self) -> Term:
        """Its first term."""
        if not self._led.wait(LIMIT):
            raise TimeoutError("not elected")
        return self.terms[0]

    def sees(self, name: str) -> bool:
        """Is this instance listed, as far as is known?"""
        return any(instance.id == name for instance in self.view.instances)

    @property
    def well(self) -> bool:
        """Connected, registered, and up to date."""
        return (
            self.client.state is State.CONNECTED
            and not self.view.snapshot.stale
            and node_of(self.registration) is not None
            and node_of(self.registration).settled
        )


class Scene:
    """The ensemble with who takes part in one outage."""

    def __init__(self, ensemble: ZookeeperEnsemble, timeout: float, stack: ExitStack) -> None:
        self.ensemble = ensemble
        self.timeout = timeout
        self.namespace = f"{ensemble.namespace}/{time.monotonic_ns()}"
        self._stack = stack
        self.proxies: list[FaultProxy] = []

    def join(self, name: str, members: tuple[ZookeeperMember, ...]) -> Participant:
        """Somebody who is connected to the first of these members and knows them all."""
        self.proxies = [self._stack.enter_context(FaultProxy(member.hosts)) for member in members]
        for proxy in self.proxies[1:]:
            proxy.refuse()
        one = Participant(",".join(proxy.address for proxy in self.proxies), self.namespace, self.timeout, name)
        self._stack.callback(one.client.close, 3.0)
        for proxy in self.proxies:
            proxy.heal()
        return one

    def run(
        self, members: tuple[ZookeeperMember, ...], fault: Callable[[], object], end: Callable[[], object] | None
    ) -> Figures:
        """Give the fault; `end` ends it once the next term has begun, or 1.5 T later if none can."""
        first = self.join("first", members)
        proxies = self.proxies
        term = first.wait_term()
        second = self.join("second", tuple(reversed(members)))
        self.proxies = proxies
        settle(lambda: second.sees("first") and first.sees("second"))
        term.wait_lost(MATURE * self.timeout)
        watch = Watch(
            noticed=lambda: first.client.state is not State.CONNECTED or first.view.snapshot.stale,
            term_over=lambda: term.lost,
            next_term=lambda: any(later.fence > term.fence for later in (*first.terms, *second.terms)),
            gone_for_others=lambda: not second.sees("first"),
        )
        at = time.monotonic()
        fault()
        watch.wait("noticed")
        healed = at
        if end is not None:
            watch.wait("term over")
            settle(lambda: second.client.state is State.CONNECTED and bool(second.terms), 1.5 * self.timeout)
            end()
            healed = time.monotonic()
        well = Watch(well_again=lambda: first.well and second.well and leading(first, second))
        well.wait("well again")
        figures = watch.end(at)
        if figures.get("next term", 0.0) > healed - at:  # nobody could lead before
            figures["next term"] -= healed - at
        return figures | well.end(healed)


def leading(*participants: Participant) -> bool:
    """Does one of them lead?"""
    return any(each.election.term is not None for each in participants)


def settle(question: Callable[[], bool], limit: float = LIMIT) -> None:
    """Wait until it is so, at most that many seconds."""
    end = time.monotonic() + limit
    pause = threading.Event()
    while not question() and time.monotonic() < end:
        pause.wait(0.01)


@contextmanager
def scene(ensemble: ZookeeperEnsemble, timeout: float) -> Iterator[Scene]:
    """One outage; whole again afterwards."""
    try:
        with ExitStack() as stack:
            yield Scene(ensemble, timeout, stack)
    finally:
        ensemble.repair()


def by_mode(ensemble: ZookeeperEnsemble) -> tuple[ZookeeperMember, tuple[ZookeeperMember, ...]]:
    """The leader, and all with the leader last."""
    leader = ensemble.leader()
    return leader, (*(member for member in ensemble.members if member is not leader), leader)


def black_hole(it: Scene) -> Figures:
    """The client's links lose all: its machine is cut off."""
    _, members = by_mode(it.ensemble)

    def cut() -> None:
        for proxy in it.proxies:
            proxy.blackhole()

    def heal() -> None:
        for proxy in it.proxies:
            proxy.heal()

    return it.run(members, cut, heal)


def follower_killed(it: Scene) -> Figures:
    """The client's server is killed; it goes to another one."""
    _, members = by_mode(it.ensemble)
    return it.run(members, members[0].kill, None)


def follower_paused(it: Scene) -> Figures:
    """The client's server stands still; it goes to another one."""
    _, members = by_mode(it.ensemble)
    return it.run(members, members[0].pause, None)


def leader_killed(it: Scene) -> Figures:
    """The ensemble's leader is killed, and with it everybody's connection; the others elect a new one."""
    leader, members = by_mode(it.ensemble)
    return it.run((leader, *(member for member in members if member is not leader)), leader.kill, None)


def no_quorum(it: Scene) -> Figures:
    """Two of three are killed; nobody can lead. They come back 1.5 T after the term was over."""
    _, members = by_mode(it.ensemble)

    def fault() -> None:
        members[0].kill()
        members[1].kill()

    return it.run((members[2], *members[:2]), fault, it.ensemble.repair)


def whole_restart(it: Scene) -> Figures:
    """All are killed, and started again at once."""
    _, members = by_mode(it.ensemble)

    def fault() -> None:
        it.ensemble.kill()
        it.ensemble.repair()

    return it.run(members, fault, None)


def process_killed(it: Scene) -> Figures:
    """The client's process is killed; another one takes over."""
    _, members = by_mode(it.ensemble)
    command = [sys.executable, __file__, "--take-part", it.ensemble.hosts, it.namespace, str(it.timeout)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        try:
            assert process.stdout is not None
            fence = int(process.stdout.readline())
            second = it.join("second", members)
            settle(lambda: second.sees("first"))
            threading.Event().wait(MATURE * it.timeout)
            watch = Watch(
                next_term=lambda: any(term.fence > fence for term in second.terms),
                gone_for_others=lambda: not second.sees("first"),
            )
            at = time.monotonic()
        finally:
            process.kill()
        watch.wait("next term", "gone for others")
        return watch.end(at)


def take_part(hosts: str, namespace: str, timeout: float) -> None:
    """What the process that is to be killed does."""
    first = Participant(hosts, namespace, timeout, "first")
    print(first.wait_term().fence, flush=True)
    threading.Event().wait(LIMIT)


FAULTS: dict[str, Callable[[Scene], Figures]] = {
    "client's links in a black hole": black_hole,
    "client's server killed": follower_killed,
    "client's server stands still": follower_paused,
    "leader of the ensemble killed": leader_killed,
    "without a quorum": no_quorum,
    "whole ensemble restarted": whole_restart,
    "client's process killed": process_killed,
}


def cell(figures: list[float], timeout: float, rounds: int) -> str:
    """Median in seconds and in T; in brackets how often it happened, unless always."""
    if not figures:
        return "–"
    middle = statistics.median(figures)
    often = "" if len(figures) == rounds else f" ({len(figures)} of {rounds})"
    return f"{middle:.2f} s = {middle / timeout:.2f} T{often}"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--timeout", type=float, default=10.0, help="session timeout T in seconds, 10 at most")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="T = 4 s, one round: to see that it runs")
    parser.add_argument("--take-part", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.take_part:
        hosts, namespace, seconds = arguments.take_part
        return take_part(hosts, namespace, float(seconds))
    logging.getLogger("zkdiscovery").setLevel(logging.CRITICAL)  # faults are what is wanted
    timeout, rounds = (4.0, 1) if arguments.quick else (arguments.timeout, arguments.rounds)
    measured: dict[str, dict[str, list[float]]] = {name: {column: [] for column in COLUMNS} for name in FAULTS}
    with zookeeper_ensemble(source="local") as ensemble:
        for _ in range(rounds):
            for name, fault in FAULTS.items():
                with scene(ensemble, timeout) as it:
                    for column, seconds in fault(it).items():
                        measured[name][column].append(seconds)
    print(f"T = {timeout:g} s, tick 0.5 s, median of {rounds}. Counted from the fault; `well again`, and a next term")
    print("that could not begin during the fault, from its end. A dash: it did not happen.\n")
    print(f"{'fault':32}", *(f"{column:>24}" for column in COLUMNS))
    for name, row in measured.items():
        print(f"{name:32}", *(f"{cell(row[column], timeout, rounds):>24}" for column in COLUMNS))
    RESULTS.mkdir(exist_ok=True)
    result = {"python": platform.python_version(), "timeout": timeout, "rounds": rounds, "seconds": measured}
    (RESULTS / "outages.json").write_text(json.dumps(result, indent=2) + "\n")
    return None


if __name__ == "__main__":
    main()
