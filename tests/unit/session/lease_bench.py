"""Leases under a clock of the test, and a session that answers as the test says."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, cast

from zkdiscovery.session import Session, State, StateChange
from zkdiscovery.session.lease import Lease, Leases
from zkdiscovery.session.requests import Multi, Request

T = 10.0  # seconds, the session timeout


FIRST = 0.4 * T  # seconds that a lease begins with


class Bench:
    """What leases need of a session and its keeper."""

    def __init__(self) -> None:
        self.now = 100.0  # of the lease clock
        self.timeout = T
        self.generation = 1
        self.state = State.CONNECTED
        self.maintenance = self
        self.tasks: dict[object, tuple[Callable[[], None], float]] = {}  # with the time at which they are due
        self.sent: list[tuple[list[str], Future[Any]]] = []  # transactions for all leases
        self.trips: list[Request] = []  # what was sent besides, and answered at once
        self.during_call: Callable[[], None] = lambda: None
        self.call_limit = 0.0
        self._sent_at: dict[Future[Any], tuple[Request, float]] = {}
        self._listeners: list[Callable[[StateChange], None]] = []
        self.leases = Leases(cast("Session", self), lambda: None)

    def listen(self, listener: Callable[[StateChange], None]) -> None:
        self._listeners.append(listener)

    def schedule(self, key: object, task: Callable[[], None], delay: float = 0.0) -> None:
        due = self.now + delay
        if key not in self.tasks or self.tasks[key][1] > due:
            self.tasks[key] = (task, due)

    def result(self, _answer: Future[Any], _request: Multi, deadline: float) -> None:
        self.call_limit = deadline - time.monotonic()
        self.during_call()
        for future in list(self._sent_at):
            self.answer(future)

    def submit(self, request: Request, *, deadline: float, generation: int | None = None) -> Future[Any]:
        future: Future[Any] = Future()
        self._sent_at[future] = request, self.now
        if not isinstance(request, Multi):
            self.trips.append(request)
            self.answer(future)
        elif generation is None:
            self.sent.append(([operation.path for operation in request.operations], future))
        return future  # or it is a proof: see `result`

    def answer(self, future: Future[Any]) -> None:
        """As it should be, now."""
        self.leases.answered(*self._sent_at.pop(future))
        future.set_result(None)

    def move(self, state: State) -> None:
        """As the session does: first the state, then the listeners."""
        before, self.state = self.state, state
        self.generation += state is State.CONNECTED
        for listener in self._listeners:
            listener(StateChange(state, before, 1, self.generation))

    def acquire(self, path: str = "/a", *, hold: bool = True, on_lost: Callable[[str], None] = lambda _: None) -> Lease:
        proof = self.leases.prove(path, generation=self.generation)
        return self.leases.acquire(proof, deadline=time.monotonic() + 60.0, hold=hold, on_lost=on_lost)

    def run_due(self) -> None:
        """What the keeper would do now."""
        for key, (task, due) in list(self.tasks.items()):
            if due <= self.now:
                del self.tasks[key]
                task()

    def settle(self) -> None:
        """Let a lease be renewed until that is regular."""
        for _ in range(6):
            self.now += T / 10
            self.answer(self.renew())

    def renew(self) -> Future[Any]:
        """The next renewal, sent now; the test answers it."""
        count = len(self.sent)
        self.leases._renew()
        assert len(self.sent) == count + 1
        return self.sent[-1][1]
