"""The run: an ensemble, its clients, rounds of faults; each round is healed, settled, and checked."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.faults.chaos.carry import Carry, T
from tests.faults.chaos.checker import START, check_round
from tests.faults.chaos.faults import Faults
from tests.faults.chaos.figures import Figures
from tests.faults.chaos.history import Event, Histories, History, now
from tests.faults.chaos.locking import QUEUES
from tests.faults.chaos.machine import Machine
from tests.faults.chaos.process import WorkerProcess
from tests.faults.chaos.schedule import BEGIN, plan_round
from tests.faults.chaos.settled import CATEGORIES, Problems, find_problems
from tests.faults.chaos.sharding import SHARD_NODES
from tests.faults.chaos.store import FencedStore
from tests.faults.chaos.truth import Observatory
from tests.support import Truth
from zkdiscovery import Client, ZkDiscoveryError
from zkdiscovery.settings import settings_without_environment
from zkdiscovery.testing import ZookeeperEnsemble

SERVICES = ["alpha", "beta"]
ELECTIONS = ["one", "two", "three"]
SETTLE_LIMIT = 20.0  # seconds; more than any bound
POLL = 0.2  # seconds between two looks while all settles
REST = 3.0  # seconds of a round after the last fault has begun
TELL = 3  # violations of one invariant that are printed for a round
KEEP = 2  # rounds whose histories stay, for people who read an excerpt

# A follower that is cut off goes on answering reads and pings for so many ticks: longer than a session.
ENSEMBLE_CONFIG = {"syncLimit": "10"}


@dataclass
class Options:
    """What a run is asked for."""

    seed: int
    minutes: float
    clients: int = 10
    plant: str | None = None
    keep_going: bool = False


class Run:
    """A run on an ensemble. Use as a context manager; `rounds` does the work."""

    def __init__(
        self, ensemble: ZookeeperEnsemble, options: Options, directory: Path, say: Callable[[str], None]
    ) -> None:
        self._ensemble, self._options, self._directory, self._say = ensemble, options, directory, say
        self.figures = Figures(options.seed)
        self._carry = Carry()
        self._states: dict[str, Event] = {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:  # what was opened is closed with an error
            self._open(stack)
            self._stack = stack.pop_all()
        return self

    def _open(self, stack: ExitStack) -> None:
        options = self._options
        self._history = stack.enter_context(History(self._directory, "controller", 0))
        self._histories = Histories(self._directory)
        stack.enter_context(Machine(self._history))
        log = stack.enter_context(History(self._directory, "store", 0))
        self._store = stack.enter_context(FencedStore(log))
        hosts, namespace = self._ensemble.hosts, f"{self._ensemble.namespace}/chaos"
        self._truth = stack.enter_context(Truth(hosts))
        self._observatory = Observatory(self._truth, namespace, SERVICES, ELECTIONS, QUEUES)
        operator = stack.enter_context(
            Client(settings=settings_without_environment(hosts=hosts, namespace=namespace, session_timeout=T))
        )
        config: dict[str, Any] = {
            "directory": str(self._directory), "namespace": namespace, "timeout": T, "seed": options.seed,
            "real_hosts": hosts, "services": SERVICES, "elections": ELECTIONS, "store": self._store.port,
            "plant": options.plant,
        }  # fmt: skip
        self._workers = []
        for number in range(options.clients):
            worker = WorkerProcess(
                f"w{number}",
                hosts.split(","),
                {
                    **config,
                    "lazy": number % 3 == 0,
                    "twins": _twins(number, options.clients),
                    "on_loop": number % 2 == 1,
                },
                self._history,
            )
            stack.callback(worker.close)
            self._workers.append(worker)
        self._faults = Faults(
            self._ensemble, self._workers, self._truth, self._observatory, operator, SERVICES, ELECTIONS, self._history
        )
        for worker in self._workers:
            worker.start(round=0, quiet=False)

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def rounds(self) -> None:
        """Round after round until the time is over, or something is wrong."""
        begin = now()
        self._finish_round(0, begin)  # start-up: no faults yet
        number = 0
        while now() - begin < self._options.minutes * 60 and (self._options.keep_going or not self.figures.violations):
            number += 1
            self._one_round(number)

    def _one_round(self, number: int) -> None:
        plan = plan_round(
            self._options.seed, number, clients=len(self._workers), services=len(SERVICES), elections=len(ELECTIONS),
            queues=len(QUEUES), shards=len(SHARD_NODES), timeout=T,
        )  # fmt: skip
        self._history.rotate(number)
        self._store.history.rotate(number)
        self._faults.round = number
        self._faults.healing.clear()
        for worker in self._workers:
            worker.tell("go", round=number, calm=plan.calm)
        begin = now()
        threads = []
        for fault in plan.faults:
            self._faults.healing.wait(max(0.0, begin + fault.begin - now()))
            threads.append(threading.Thread(target=self._faults.perform, args=(fault,), daemon=True))
            threads[-1].start()
        time.sleep(max(0.0, begin + BEGIN + REST - now()))
        if plan.short:
            self._faults.healing.set()
        for thread in threads:  # each fault has its duration, and what it waits for has a limit
            thread.join(60.0)
        self._heal()
        self._finish_round(number, now())

    def _heal(self) -> None:
        self._faults.healing.set()
        for worker in self._workers:
            worker.heal()
        self._ensemble.repair()
        for worker in self._workers:
            if not worker.alive:
                self._history.write("defect", error=f"{worker.who} ended by itself; see {worker.name}.log")
                worker.start(round=self._faults.round, quiet=True)

    def _finish_round(self, number: int, healed: float) -> None:
        for worker in self._workers:
            worker.tell("quiet")
        events, settle = self._settle(number, healed)
        self._history.write("settle", **settle)
        events += self._histories.read()
        violations, self._carry = check_round(events, self._carry)
        self.figures.add(events, self._carry)
        self.figures.size = self._histories.size
        self.figures.violations += violations
        faults = ", ".join(f"{event['kind']}({event['target']})" for event in events if event["ev"] == "fault")
        took = max((value for value in settle["took"].values() if value is not None), default=0.0)
        self._say(f"round {number}: settled in {took:.1f} s; {len(events)} events; {faults or 'no faults'}")
        told: Counter[str] = Counter()
        for violation in violations:
            told[violation.invariant] += 1
            if told[violation.invariant] <= TELL:
                self._say(f"VIOLATION {violation}")
        if not self.figures.violations:
            self._histories.forget(number - KEEP)

    def _settle(self, number: int, healed: float) -> tuple[list[Event], dict[str, Any]]:
        """Wait until nothing is wrong; when each category became right for good."""
        events: list[Event] = []
        clean: dict[str, float | None] = dict.fromkeys(CATEGORIES)
        problems: Problems = {}
        truth: dict[str, Any] = {}
        while True:
            asked = now()
            try:
                truth = self._observatory.look()
            except ZkDiscoveryError as error:
                problems = {category: [f"ZooKeeper does not answer: {error}"] for category in CATEGORIES}
            else:
                fresh = self._histories.read()
                events += fresh
                self._states.update({event["who"]: event for event in fresh if event["ev"] == "state"})
                whos = [worker.who for worker in self._workers]
                self._states = {who: state for who, state in self._states.items() if who in whos}
                problems = find_problems(truth, self._states, whos, number)
            for category in CATEGORIES:
                if problems[category]:
                    clean[category] = None
                elif clean[category] is None:
                    clean[category] = max(0.0, asked - healed)
            if not any(problems.values()) or now() - healed > (SETTLE_LIMIT if number else START):
                break
            time.sleep(POLL)
        settle = {"round": number, "healed": healed, "took": clean, "problems": problems}
        if any(problems.values()):
            settle["truth"] = truth
            settle["states"] = self._states
        return events, settle


def _twins(number: int, clients: int) -> list[dict[str, str]]:
    """Ids that a worker shares with its neighbour: 0 with 1, 2 with 3, and so on; one that waits, one that replaces."""
    if number ^ 1 >= clients:
        return []
    pair = number // 2
    return [
        {"service": SERVICES[pair % 2], "id": f"twin-{pair}", "mode": "wait" if pair % 2 else "replace"},
        {"service": SERVICES[(pair + 1) % 2], "id": f"twin-{pair}", "mode": "replace" if pair % 2 else "wait"},
    ]
