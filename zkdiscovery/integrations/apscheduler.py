"""APScheduler 3 on the leader only. Every process has the scheduler; the leader's runs the jobs.

    from zkdiscovery import Client
    from zkdiscovery.integrations.apscheduler import LeaderBackgroundScheduler, current_term

    client = Client("zk1:2181,zk2:2181,zk3:2181", namespace="/shop")
    scheduler = LeaderBackgroundScheduler(client, "jobs")

    @scheduler.scheduled_job("interval", seconds=1)
    def sweep():
        store.write("swept", fence=current_term().fence)

    scheduler.start()

Guarantees
- A job begins only behind a check of the term, and after its due time was recorded in ZooKeeper under the term's fence.
  One that comes too late is not run, and its `EVENT_JOB_ERROR` has the exception `LeadershipLost`.
- With job stores in memory, which is the default, a new leader goes on after the last due time that was recorded. It
  repeats none. What was due meanwhile is a misfire: it runs if it is late by `misfire_grace_time` at most.
- A job store that processes share keeps its own record, the next run of each job, and is left as it is.

Threads: the scheduler's own. The thread of the election moves jobs to their next run at the beginning of a term.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from apscheduler.events import EVENT_SCHEDULER_SHUTDOWN, EVENT_SCHEDULER_STARTED
from apscheduler.executors.base import BaseExecutor
from apscheduler.executors.pool import ProcessPoolExecutor
from apscheduler.job import Job
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.schedulers.blocking import BlockingScheduler
from apscheduler.util import iscoroutinefunction_partial

from zkdiscovery.client import Client
from zkdiscovery.election import Term
from zkdiscovery.errors import LeadershipLost
from zkdiscovery.integrations.jobs import Duty, current_term, running_under
from zkdiscovery.threads import start_thread

__all__ = [
    "LeaderAsyncIOScheduler",
    "LeaderBackgroundScheduler",
    "LeaderBlockingScheduler",
    "LeaderOnly",
    "current_term",
]

MISFIRE_GRACE_TIME = 60  # seconds; a leader that was killed is followed sooner than that
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_DUE = "due"  # the name in the record: one due time for all jobs
_TICK = timedelta(microseconds=1)


class LeaderOnly:
    """A mixin for APScheduler's schedulers: jobs run while this process leads. Put it before the scheduler's class.

    Two defaults differ from APScheduler's. `misfire_grace_time` is 60 s, so that a run that was due while nobody led is
    made up for. The trigger "interval" counts from the epoch if it has no `start_date`, so that all processes have the
    same due times.

    Args:
        client: holds the term. It stays open at `shutdown()`.
        election: name of the election. Schedulers with the same jobs have the same name.
        gconfig: as for APScheduler.
        options: as for APScheduler.

    Raises:
        InvalidName: no name for an election.
    """

    def __init__(self, client: Client, election: str, gconfig: Mapping[str, Any] | None = None, **options: Any) -> None:
        self._client = client
        self._term: Term | None = None
        self._duty = Duty(client, election, self._begin_term)
        super().__init__(gconfig or {}, **options)  # type: ignore[call-arg]  # that of the scheduler
        self.add_listener(lambda _: self._duty.start(), EVENT_SCHEDULER_STARTED)  # type: ignore[attr-defined]
        self.add_listener(lambda _: self._resign(), EVENT_SCHEDULER_SHUTDOWN)  # type: ignore[attr-defined]

    def start(self, *args: Any, **kwargs: Any) -> None:
        """Start the scheduler, and campaign until `shutdown()` or the client's end.

        Raises:
            InvalidSettings: the settings of the client can't be used.
            ClientClosed: the client was closed.
        """
        self._client.start()
        super().start(*args, **kwargs)  # type: ignore[misc]

    def add_executor(self, executor: Any, alias: str = "default", **options: Any) -> None:
        """Add an executor; its jobs begin behind a check of the term.

        Raises:
            TypeError: a pool of processes, where jobs have no term.
        """
        if isinstance(executor, str):
            executor = self._create_plugin_instance("executor", executor, options)  # type: ignore[attr-defined]
        if isinstance(executor, ProcessPoolExecutor):
            raise TypeError(
                "a job in another process has no term: use an executor of threads, and let the job start the process"
                " and hand it current_term().fence"
            )
        if isinstance(executor, BaseExecutor):
            executor = _LeaderExecutor(executor, self._guard)
        super().add_executor(executor, alias)  # type: ignore[misc]

    def _configure(self, config: dict[str, Any]) -> None:
        config["job_defaults"] = {"misfire_grace_time": MISFIRE_GRACE_TIME, **config.get("job_defaults", {})}
        super()._configure(config)  # type: ignore[misc]

    def _create_trigger(self, trigger: Any, trigger_args: dict[str, Any]) -> Any:
        if trigger == "interval":
            trigger_args.setdefault("start_date", EPOCH)
        return super()._create_trigger(trigger, trigger_args)  # type: ignore[misc]

    def _process_jobs(self) -> Any:
        """Run what is due while we lead; else wait for `wakeup()` (thread of the scheduler)."""
        return super()._process_jobs() if self._leads() else None  # type: ignore[misc]

    def _leads(self) -> bool:
        return self._term is not None and not self._term.lost

    def _resign(self) -> None:
        """Leave the election. Neither a running loop nor a job, for which it would wait, is kept waiting."""
        if _in_a_loop() or _in_a_job():
            start_thread(self._duty.close, "zkdiscovery-resigning")
        else:
            self._duty.close()

    def _guard(self, func: Callable[..., Any], at: float) -> Callable[..., Any]:
        """Wrap the function of a job that is due at `at` (thread of the scheduler)."""
        duty, term = self._duty, self._term
        if term is None:
            raise LeadershipLost("no term has begun, so no job runs here")

        @functools.wraps(func)
        def run(*args: Any, **kwargs: Any) -> Any:
            with duty.busy():
                duty.begin(term, _DUE, at)
                with running_under(term):
                    return func(*args, **kwargs)

        @functools.wraps(func)
        async def run_on_loop(*args: Any, **kwargs: Any) -> Any:
            with duty.busy():
                await asyncio.to_thread(duty.begin, term, _DUE, at)
                with running_under(term):
                    return await func(*args, **kwargs)

        return run_on_loop if iscoroutinefunction_partial(func) else run

    # -- the thread of the election --

    def _begin_term(self, term: Term, runs: Mapping[str, float]) -> None:
        until = datetime.fromtimestamp(runs[_DUE], UTC) if _DUE in runs else None
        with self._jobstores_lock:  # type: ignore[attr-defined]
            for alias, store in self._jobstores.items():  # type: ignore[attr-defined]
                if isinstance(store, MemoryJobStore):
                    for job in self.get_jobs(alias):  # type: ignore[attr-defined]
                        _move_to_next_run(job, until)
        self._term = term
        if self.running:  # type: ignore[attr-defined]
            self.wakeup()  # type: ignore[attr-defined]


class LeaderBackgroundScheduler(LeaderOnly, BackgroundScheduler):  # type: ignore[misc]  # APScheduler has no types
    """A `BackgroundScheduler` whose jobs run on the leader only."""


class LeaderBlockingScheduler(LeaderOnly, BlockingScheduler):  # type: ignore[misc]
    """A `BlockingScheduler` whose jobs run on the leader only."""


class LeaderAsyncIOScheduler(LeaderOnly, AsyncIOScheduler):  # type: ignore[misc]
    """An `AsyncIOScheduler` whose jobs run on the leader only. With an `AsyncClient`, give it `client.sync`."""


class _LeaderExecutor(BaseExecutor):  # type: ignore[misc]
    """Hands jobs to another executor, with their functions guarded."""

    def __init__(self, executor: Any, guard: Callable[[Callable[..., Any], float], Callable[..., Any]]) -> None:
        super().__init__()
        self._executor = executor
        self._guard = guard

    def start(self, scheduler: Any, alias: str) -> None:
        self._executor.start(scheduler, alias)

    def shutdown(self, wait: bool = True) -> None:
        self._executor.shutdown(wait)

    def submit_job(self, job: Any, run_times: list[datetime]) -> None:
        guarded = object.__new__(Job)  # a copy: the job in the store keeps its function
        for name in Job.__slots__:
            if name != "__weakref__":
                setattr(guarded, name, getattr(job, name))
        guarded.func = self._guard(job.func, run_times[-1].timestamp())
        self._executor.submit_job(guarded, run_times)

    def _do_submit_job(self, job: Any, run_times: list[datetime]) -> None:
        raise NotImplementedError("submit_job hands jobs to another executor")


def _move_to_next_run(job: Any, until: datetime | None) -> None:
    """Let a job of this process's memory go on after the last due time that any leader has begun.

    The scheduler of a follower stands still, so what it has as the next run may be long ago. Counting up from there,
    run by run, could take minutes; so the next run is at most `misfire_grace_time` ago. None of the older ones runs.
    """
    if job.next_run_time is None:  # the program has paused it
        return
    since = job.next_run_time - _TICK if until is None else until
    if job.misfire_grace_time is not None:
        since = max(since, datetime.now(UTC) - timedelta(seconds=job.misfire_grace_time))
    due = job.trigger.get_next_fire_time(None, since + _TICK)
    if due is None or (until is not None and due <= until):  # a job that runs once, and has
        job.remove()
    else:
        job.modify(next_run_time=due)


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _in_a_job() -> bool:
    try:
        current_term()
    except LookupError:
        return False
    return True
