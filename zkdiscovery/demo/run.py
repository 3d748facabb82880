"""One run of the demo: the client and its way to ZooKeeper, the nodes, the clock, and the findings.

Threads: steps run on the main thread and wait; all other threads call `notify` when something may have changed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from zkdiscovery.client import Client
from zkdiscovery.demo.caller import Caller
from zkdiscovery.demo.node import SERVICE, SESSION_TIMEOUT
from zkdiscovery.demo.processes import Leadership, Node, Processes
from zkdiscovery.model import Change, Status
from zkdiscovery.testing import FaultProxy, ZookeeperServer

TIME_LIMIT = 50.0  # seconds for all steps together, so that the demo ends within a minute
ENOUGH_CALLS = 40  # calls in a step, so that "no call failed" means something
CLOSE_TIMEOUT = 2.0  # seconds; the client owns nothing in ZooKeeper that it would have to remove


class Finding(NamedTuple):
    """One thing that was measured."""

    step: int  # its number
    what: str
    measured: str
    expected: str
    held: bool


class StepTimeoutError(Exception):
    """A step whose event did not happen in time."""


class DemoRun:
    """The context of the steps; made by `open_run`.

    Args:
        proxy: the client's way to ZooKeeper; the nodes have their own.
        client: the client.
        node_arguments: the arguments of the nodes: hosts and namespace.
        show: takes a line about what happens, on any thread.

    Attributes:
        payments: the client's view.
        step: the number of the step that runs, from 1; 0 before the first.
        findings: what was measured so far.
        events: the last lines about what happened.
    """

    def __init__(
        self, proxy: FaultProxy, client: Client, node_arguments: list[str], show: Callable[[str], None]
    ) -> None:
        self.proxy = proxy
        self.client = client
        self.payments = client.discover(SERVICE)
        self.processes = Processes(node_arguments, self.notify)
        self.caller = Caller(self.payments, self.notify)
        self.step = 0
        self.findings: list[Finding] = []
        self.events: deque[str] = deque(maxlen=50)
        self._show = show
        self._began = time.monotonic()
        self._changed = threading.Condition()

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    # -- what the client sees --

    def seen(self, name: str) -> Status | None:
        """The status of an instance as the client knows it; None if it knows none."""
        return next((i.status for i in self.payments.instances if i.id == name), None)

    def can_be_picked(self, name: str) -> bool:
        """Return whether the balancer may choose the instance."""
        return any(i.id == name for i in self.payments.available)

    # -- news --

    def say(self, text: str) -> None:
        """Show what happens (any thread)."""
        line = f"{self.elapsed:5.1f} s  {text}"
        self.events.append(line)
        self._show(line)

    def notify(self, news: str = "") -> None:
        """Wake the thread that waits: something may have changed (any thread)."""
        if news:
            self.say(news)
        with self._changed:
            self._changed.notify_all()

    def on_change(self, change: Change) -> None:
        """Show what has changed for the client (dispatcher thread)."""
        for instance in (*change.added, *change.updated):
            self.say(f"the client sees {instance.id} {instance.status}")
        for instance in change.removed:
            self.say(f"the client sees {instance.id} no more")
        if change.before.loaded and change.before.stale and not change.after.stale:
            self.say("the client has read everything again")
        self.notify()

    # -- waiting and measuring --

    def wait(self, what: str, predicate: Callable[[], object], limit: float) -> float:
        """Wait until `predicate()` holds; returns the monotonic time in seconds.

        Raises:
            StepTimeoutError: not within `limit` seconds, or before the time for all steps is up.
        """
        limit = max(0.0, min(limit, TIME_LIMIT - self.elapsed))
        with self._changed:
            if not self._changed.wait_for(predicate, limit):
                self.found(what, "no", f"within {limit:.1f} s", held=False)
                raise StepTimeoutError(what)
            return time.monotonic()

    def leader(self, limit: float) -> tuple[Node, Leadership]:
        """Wait for a leader.

        Raises:
            StepTimeoutError: none within `limit` seconds.
        """
        leaders: list[tuple[Node, Leadership]] = []

        def look() -> bool:
            leader = self.processes.leader
            if leader is not None:
                leaders.append(leader)
            return leader is not None

        self.wait("somebody leads", look, limit)
        return leaders[-1]

    def found(self, what: str, measured: str, expected: str, *, held: bool) -> None:
        """Record what was measured."""
        self.findings.append(Finding(self.step, what, measured, expected, held))

    def took(self, what: str, seconds: float, limit: float) -> None:
        """Record how long something took."""
        self.found(what, f"{seconds:.2f} s", f"within {limit:.1f} s", held=seconds <= limit)

    @contextmanager
    def calls(self, *, retries: bool) -> Iterator[None]:
        """Count the calls in the block and a little beyond; `retries`: attempts may fail as long as no call does."""
        before = self.caller.totals
        yield
        at_end = self.caller.totals.calls
        self.wait("calls go on", lambda: self.caller.totals.calls >= at_end + ENOUGH_CALLS, 10.0)
        made = self.caller.totals.since(before)
        expected = "none failed" if retries else "none retried"
        self.found("calls", str(made), expected, held=made.failed == 0 and (retries or made.retried == 0))


@contextmanager
def open_run(server: ZookeeperServer, show: Callable[[str], None]) -> Iterator[DemoRun]:
    """A run on `server`; its processes and threads end with the block."""
    with ExitStack() as stack:
        proxy = stack.enter_context(FaultProxy(server.hosts.split(",")[0]))
        client = Client(proxy.address, namespace=server.namespace, session_timeout=SESSION_TIMEOUT)
        stack.callback(client.close, CLOSE_TIMEOUT)
        run = DemoRun(proxy, client, [server.hosts, server.namespace], show)
        stack.enter_context(run.processes)
        stack.enter_context(run.caller)
        stack.enter_context(_warnings(run.say))
        run.payments.on_change(run.on_change)
        yield run


class _Warnings(logging.Handler):
    """Shows what the SDK warns of."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        """Show the message, without a traceback."""
        self._say(f"log: {record.getMessage()}")


@contextmanager
def _warnings(say: Callable[[str], None]) -> Iterator[None]:
    logger = logging.getLogger("zkdiscovery")
    handler = _Warnings(say)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.addHandler(logging.NullHandler())  # or else Python prints the warnings of the end over the summary
        logger.removeHandler(handler)
