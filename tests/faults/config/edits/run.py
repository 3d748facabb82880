"""One writer, many readers and an ensemble in trouble: nobody sees a mix, and nobody goes back.

Each edit writes its number into some keys of all layers. A document is large at times, so that it is stored in pieces.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.faults.config.edits.bugs import BUGS
from zkdiscovery import Client, Config, ConfigChange, ZkDiscoveryError
from zkdiscovery.testing import ZookeeperEnsemble

LAYERS = ("base", "zone", "shop")
KEYS = 20
LARGE = 60_000  # characters
T = 4.0  # seconds, the session timeout
LIMIT = 60.0  # seconds for one edit, and for the readers to see the last one
TOGETHER = 10  # readers of one client


@dataclass
class Outcome:
    """What a run has shown.

    Attributes:
        edits: that were stored.
        readers: that followed.
        seen: changes that the readers were told of, in all.
        faults: how often each one happened.
        seconds: that it took.
        wrong: what must not be.
    """

    edits: int = 0
    readers: int = 0
    seen: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


class Witness:
    """A reader that keeps what must not be."""

    def __init__(self, config: Config[dict[str, Any]], wrong: list[str]) -> None:
        self.config = config
        self.number = self.seen = 0
        self._wrong = wrong
        self._subscription = config.on_change(self._look)

    def _look(self, change: ConfigChange[dict[str, Any]]) -> None:
        self.seen += 1
        if not change.after:  # before the first edit
            return
        numbers = {change.after.get(key) for key in keys()}
        if len(numbers) > 1:
            self._wrong.append(f"{self.config.name}: a mix of the edits {sorted(map(str, numbers))}")
            return
        (number,) = numbers
        if number < self.number:
            self._wrong.append(f"{self.config.name}: back from edit {self.number} to {number}")
        self.number = number


class Trouble(threading.Thread):
    """The faults, one after the other, of a kind that is left to chance."""

    def __init__(self, ensemble: ZookeeperEnsemble, seed: int) -> None:
        super().__init__(name="trouble")
        self._ensemble = ensemble
        self._chance = random.Random(seed)
        self._over = threading.Event()
        self._kinds: dict[str, Callable[[], None]] = {
            "members killed": self._kill,
            "members restarted": self._restart,
            "members paused": self._pause,
            "members cut off": self._isolate,
        }
        self.happened: Counter[str] = Counter()

    def run(self) -> None:
        while not self._over.wait(self._chance.uniform(0.5, 2.0)):
            kind = self._chance.choice([*self._kinds])
            self._kinds[kind]()
            self._ensemble.repair()
            self.happened[kind] += 1

    def end(self) -> None:
        """Cause no more, and wait until the ensemble is whole."""
        self._over.set()
        self.join()

    def _kill(self) -> None:
        self._chance.choice(self._ensemble.members).kill()
        self._over.wait(self._chance.uniform(0.0, 1.0))

    def _restart(self) -> None:
        self._chance.choice(self._ensemble.members).restart(wait=False)

    def _pause(self) -> None:
        self._chance.choice(self._ensemble.members).pause()
        self._over.wait(self._chance.uniform(0.5, 2.0))

    def _isolate(self) -> None:
        self._ensemble.isolate(self._chance.choice(self._ensemble.members))
        self._over.wait(self._chance.uniform(0.5, 2.0))


class Unreadable(logging.Handler):
    """Keeps the warnings about documents that can't be read: no pointer may name what is not there."""

    def __init__(self, wrong: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._wrong = wrong

    def emit(self, record: logging.LogRecord) -> None:
        if "can't be read" in (said := record.getMessage()):
            self._wrong.append(said)


def keys() -> list[str]:
    """The keys of an edit."""
    return [f"key-{number}" for number in range(KEYS)]


def edit_under_faults(
    ensemble: ZookeeperEnsemble,
    namespace: str,
    *,
    readers: int,
    edits: int,
    seed: int = 7,
    bug: str | None = None,
    enough: Callable[[Outcome], bool] = lambda _: False,
) -> Outcome:
    """Edit, read and trouble until all edits are stored and seen, or `enough` says so.

    Args:
        ensemble: the servers.
        namespace: for the documents.
        readers: how many.
        edits: how many.
        seed: of chance.
        bug: plant this one; see bugs.py.
        enough: ends it sooner; asked after each edit.
    """
    outcome, begin = Outcome(readers=readers), time.monotonic()
    trouble = Trouble(ensemble, seed)
    with ExitStack() as stack:
        stack.enter_context(_noting(Unreadable(outcome.wrong)))
        if bug is not None:
            stack.enter_context(BUGS[bug]())
        witnesses: list[Witness] = []
        while len(witnesses) < readers:
            client = stack.enter_context(Client(ensemble.hosts, namespace=namespace, session_timeout=T))
            for _ in range(min(TOGETHER, readers - len(witnesses))):
                name = f"reader-{len(witnesses)}"
                witnesses.append(Witness(client.config(name, layers=LAYERS, id=name), outcome.wrong))
        writer = stack.enter_context(Client(ensemble.hosts, namespace=namespace, session_timeout=T))
        chance = random.Random(seed)
        trouble.start()
        try:
            for number in range(1, edits + 1):
                _edit(writer, number, chance)
                outcome.edits = number
                if enough(outcome):
                    break
        finally:
            trouble.end()
        end = time.monotonic() + LIMIT
        while any(witness.number != outcome.edits for witness in witnesses) and not enough(outcome):
            if time.monotonic() > end:
                late = [witness.config.name for witness in witnesses if witness.number != outcome.edits]
                outcome.wrong.append(f"{len(late)} readers have not seen the last edit: {late[:5]}")
                break
            time.sleep(0.05)
    outcome.seen = sum(witness.seen for witness in witnesses)
    outcome.faults, outcome.seconds = trouble.happened, time.monotonic() - begin
    return outcome


def _edit(writer: Client, number: int, chance: random.Random) -> None:
    """Store an edit, in spite of all faults."""
    large = chance.random() < 0.2
    end = time.monotonic() + LIMIT
    while True:
        try:
            with writer.config_edit(LAYERS, f"edit {number}", timeout=T) as drafts:
                for position, key in enumerate(keys()):
                    drafts[LAYERS[position % len(LAYERS)]][key] = number
                drafts["base"]["text"] = f"{number:08}" * (LARGE // 8 if large else 1)
        except ZkDiscoveryError:  # it may have been stored; the next try then changes nothing
            if time.monotonic() > end:
                raise
        else:
            return


@contextmanager
def _noting(handler: logging.Handler) -> Iterator[None]:
    log = logging.getLogger("zkdiscovery.config")
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
