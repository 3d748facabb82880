"""Celery beat on the leader only. Start `celery beat` on as many machines as you like; the leader's sends the tasks.

    from celery import Celery
    from zkdiscovery.integrations.celery import current_fence

    app = Celery("shop", broker="amqp://rabbit")
    app.conf.beat_scheduler = "zkdiscovery.integrations.celery:LeaderScheduler"
    app.conf.zkdiscovery_election = "beat"
    app.conf.zkdiscovery_client = {"hosts": "zk1:2181,zk2:2181,zk3:2181", "namespace": "/shop"}
    app.conf.beat_schedule = {"sweep": {"task": "tasks.sweep", "schedule": 1.0}}

    @app.task(name="tasks.sweep")
    def sweep():
        store.write("swept", fence=current_fence())

Guarantees
- A task is sent only behind a check of the term, and after its time was recorded in ZooKeeper under the term's fence.
- Each message carries the fence of its term in a header. A message of an earlier term may reach a worker late: let the
  store refuse smaller fences.
- A new leader goes on after the times that are recorded. What was due meanwhile is sent at once, one time, as Celery
  does after beat was down; `beat_cron_starting_deadline` limits that for `crontab`.

Threads: beat's own sends. While another process leads, a tick waits for our term, which the thread of the election
announces.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from celery import current_task
from celery.beat import Scheduler
from celery.exceptions import ImproperlyConfigured

from zkdiscovery.client import Client
from zkdiscovery.election import Term
from zkdiscovery.errors import LeadershipLost
from zkdiscovery.integrations.jobs import Duty, current_term, running_under

__all__ = ["FENCE_HEADER", "LeaderOnly", "LeaderScheduler", "current_fence", "current_term"]

FENCE_HEADER = "zkdiscovery_fence"
WAIT = 1.0  # seconds that one tick of a follower waits at most, so that beat can be stopped meanwhile


def current_fence() -> int | None:
    """Return the fence of the term under which the running task was sent; None if no `LeaderScheduler` sent it."""
    request = current_task.request if current_task else None
    fence = (request.headers or {}).get(FENCE_HEADER) if request is not None else None
    return None if fence is None else int(fence)


class LeaderOnly:
    """A mixin for schedulers of Celery beat: they tick while this process leads. Put it before the scheduler's class.

    It reads `app.conf.zkdiscovery_election`, the name of the election, and `app.conf.zkdiscovery_client`, the arguments
    of a `Client`; without the latter, they come from the environment. The client is the scheduler's own, and `close()`
    closes it.

    Raises:
        ImproperlyConfigured: the name of the election is missing.
        InvalidName: no name for an election.
        InvalidSettings: the arguments can't be used.
    """

    def __init__(self, app: Any, *args: Any, lazy: bool = False, **kwargs: Any) -> None:
        self._term: Term | None = None
        self._duty: Duty | None = None
        self._won = threading.Condition()
        self._next: tuple[Term, Mapping[str, float]] | None = None  # a term that no tick has taken up yet
        super().__init__(app, *args, lazy=lazy, **kwargs)  # type: ignore[call-arg]  # that of the scheduler
        if lazy:  # it is only asked what it is
            return
        name = app.conf.get("zkdiscovery_election")
        if not name:
            raise ImproperlyConfigured(
                "set app.conf.zkdiscovery_election to the name of an election, the same for every beat of this schedule"
            )
        self._client = Client(**(app.conf.get("zkdiscovery_client") or {}))
        self._duty = Duty(self._client, name, self._announce)
        self._duty.start()

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        """Send what is due while we lead; else wait for a term, 1 s at most. Return the seconds until the next tick."""
        with self._won:
            if not self._leads():
                self._won.wait_for(lambda: self._next is not None, min(WAIT, self.max_interval))  # type: ignore[attr-defined]
            following, self._next = self._next, None
        if following is not None:
            self._take_up(*following)
        return super().tick(*args, **kwargs) if self._leads() else 0  # type: ignore[misc]

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **kwargs: Any) -> Any:
        """Send a task with the fence in its headers, behind a check of the term.

        Raises:
            LeadershipLost: this process does not lead any more; nothing was sent.
        """
        duty, term = self._duty, self._term
        if duty is None or term is None:
            raise LeadershipLost(f"this process does not lead, so it does not send {entry.name!r}")
        if advance:
            entry = self.reserve(entry)  # type: ignore[attr-defined]
        with duty.busy(), running_under(term):
            duty.begin(term, entry.name, time.time())
            return super().apply_async(_stamped(entry, term.fence), producer, advance=False, **kwargs)  # type: ignore[misc]

    def close(self) -> None:
        """Store the schedule, leave the election and close the client. Idempotent; beat's signal handler calls it."""
        try:
            super().close()  # type: ignore[misc]
        finally:
            if self._duty is not None:
                self._client.close()

    def _leads(self) -> bool:
        return self._term is not None and not self._term.lost

    def _take_up(self, term: Term, runs: Mapping[str, float]) -> None:
        """Go on after the runs of earlier leaders."""
        for name, entry in self.schedule.items():  # type: ignore[attr-defined]
            if name in runs:
                entry.last_run_at = datetime.fromtimestamp(runs[name], self.app.timezone)  # type: ignore[attr-defined]
        self._heap = None  # made anew by the next tick
        self._term = term

    # -- the thread of the election --

    def _announce(self, term: Term, runs: Mapping[str, float]) -> None:
        with self._won:
            self._next = term, runs
            self._won.notify_all()


class LeaderScheduler(LeaderOnly, Scheduler):  # type: ignore[misc]  # Celery has no types
    """The schedule of `beat_schedule`, on the leader only. It needs no file, because ZooKeeper knows the last runs."""


def _stamped(entry: Any, fence: int) -> Any:
    """Return a copy of an entry whose messages carry the fence. The schedule keeps the entry as it is."""
    stamped = object.__new__(type(entry))
    stamped.__dict__.update(vars(entry))
    stamped.options = {**entry.options, "headers": {**(entry.options.get("headers") or {}), FENCE_HEADER: fence}}
    return stamped
