"""Processes that share one registration, and those who watch it."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from tests.integration.child import Child
from tests.integration.registration.helpers import read
from tests.support import LIMIT, Truth, feed_of, join_feed
from zkdiscovery import Change, Service, Status

WORKER = """
import logging, os, sys, time

class Loud(logging.Handler):
    def emit(self, record):
        print("LOUD", record.name, record.levelname, record.getMessage())

logging.getLogger().addHandler(Loud(logging.WARNING))
from zkdiscovery import Client, close_on_signals
hosts, namespace, timeout, options = sys.argv[1:]
client = Client(hosts, namespace=namespace, session_timeout=float(timeout))
options = {"id": "a", "host": "10.0.0.1", "on_conflict": "share", **eval(options)}
registration = client.register("payments", 8080, **options)
registration.on_change(lambda registration: print("state", registration.state))
close_on_signals(client)
registration.wait_registered(60.0)
print("registered")

def fork():  # a child that shares, too, and waits for its end
    ready, done = os.pipe()
    pid = os.fork()
    if pid == 0:
        client.register("payments", 8080, **options).wait_registered(60.0)
        os.write(done, b"1")
        time.sleep(600)
    os.read(ready, 1)
    return pid
"""


START_LIMIT = 60.0  # seconds: on a busy machine, the start of Python takes that of several processes


class Workers:
    """Starts workers and ends them; asserts at the end that none of them was loud.

    Args:
        hosts: of ZooKeeper.
        namespace: of all of them.
        timeout: of their sessions, in seconds.
        options: of `register`.
    """

    def __init__(self, hosts: str, namespace: str, *, timeout: float = 10.0, **options: object) -> None:
        self._arguments = [hosts, namespace, str(timeout), repr(options)]
        self._stack = ExitStack()
        self.path = f"{namespace}/services/payments/a"
        self.group = f"{namespace}/share/payments/a"
        self.all: list[Child] = []
        self.running: list[Child] = []

    def start(self, count: int = 1, *, within: Sequence[str] = ()) -> list[Child]:
        """Start `count` processes and wait until they are registered."""
        started = [self._stack.enter_context(Child(WORKER, *self._arguments, within=within)) for _ in range(count)]
        self.all += started
        self.running += started
        for child in started:
            child.printed.wait(lambda lines: "registered" in lines or lines[-1:] == [""], START_LIMIT)
            assert "registered" in child.printed.items, "\n".join(child.printed.items)
        return started

    def end(self, children: Iterable[Child], number: signal.Signals) -> None:
        """Send all of them a signal, then wait until they have ended."""
        children = list(children)
        for child in children:
            child.signal(number)
        for child in children:
            child.process.wait(LIMIT)
            self.running.remove(child)

    def holder(self, truth: Truth) -> Child:
        """Whose session has the instance."""
        node = truth.get(self.path)
        assert node is not None
        for name in truth.children(self.group):
            standby = truth.get(f"{self.group}/{name}")
            if standby is not None and standby.stat.ephemeral_owner == node.stat.ephemeral_owner:
                pid = int(name.partition("-")[0])
                return next(child for child in self.all if child.process.pid == pid)
        raise AssertionError("nobody holds it")

    def others(self, truth: Truth) -> list[Child]:
        """All that run but the holder."""
        holder = self.holder(truth)
        return [child for child in self.running if child is not holder]

    def loud(self) -> list[str]:
        """What they have logged at WARNING and above."""
        return [line for child in self.all for line in child.printed.items if not _is_quiet(line)]

    def close(self) -> None:
        self._stack.close()


def _is_quiet(line: str) -> bool:
    return not line or line.startswith(("registered", "state", "now"))


@contextmanager
def workers(hosts: str, namespace: str, *, timeout: float = 10.0, **options: object) -> Iterator[Workers]:
    """Workers that are killed in the end."""
    made = Workers(hosts, namespace, timeout=timeout, **options)
    try:
        yield made
    finally:
        made.close()


@dataclass(eq=False)
class Watch:
    """What was seen of the instance, in a view and in ZooKeeper itself."""

    looks: Counter[str] = field(default_factory=Counter)  # in the view, by what was seen
    reads: Counter[str] = field(default_factory=Counter)  # in ZooKeeper
    statuses: list[str] = field(default_factory=list)  # of the view, without repetitions, no change left out
    failure: BaseException | None = None

    def follow(self, change: Change) -> None:
        """Note a change of the view."""
        seen = _seen(change.after.instances)
        if self.statuses[-1:] != [seen]:
            self.statuses.append(seen)


def _seen(instances: Iterable[object]) -> str:
    return ",".join(str(instance.status) for instance in instances) or "missing"  # type: ignore[attr-defined]


@contextmanager
def watching(view: Service, truth: Truth, path: str) -> Iterator[Watch]:
    """Look at the instance all the time."""
    watch = Watch()
    join_feed(view, watch)
    watch.follow(Change(view.snapshot, view.snapshot))
    over = threading.Event()

    def repeat(look: Callable[[], str], seen: Counter[str]) -> None:
        try:
            while not over.is_set():
                seen[look()] += 1
                time.sleep(0.0005)
        except BaseException as error:
            watch.failure = error

    def stands() -> str:
        instance = read(path, truth.get(path))
        return "missing" if instance is None else str(instance.status)

    threads = [
        threading.Thread(target=repeat, args=(lambda: _seen(view.snapshot), watch.looks)),
        threading.Thread(target=repeat, args=(stands, watch.reads)),
    ]
    for thread in threads:
        thread.start()
    try:
        yield watch
    finally:
        over.set()
        for thread in threads:
            thread.join(LIMIT)
    assert feed_of(view)
    if watch.failure is not None:
        raise watch.failure


def ways_to_recycle(made: Workers, truth: Truth) -> Iterator[tuple[str, list[Child], signal.Signals]]:
    """Who ends, and by what: one after the other, two at once, killed; the holder more often than the others."""
    for number in itertools.count():
        holder, others = made.holder(truth), made.others(truth)
        yield [
            ("the holder leaves", [holder], signal.SIGTERM),
            ("the holder is killed", [holder], signal.SIGKILL),
            ("two leave", [holder, others[0]], signal.SIGTERM),
            ("a standby is killed", [others[-1]], signal.SIGKILL),
            ("two are killed", [others[0], holder], signal.SIGKILL),
            ("a standby leaves", [others[-1]], signal.SIGTERM),
        ][number % 6]  # fmt: skip


UP, DRAINING = str(Status.UP), str(Status.DRAINING)
