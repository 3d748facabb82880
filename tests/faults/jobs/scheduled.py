"""APScheduler in a worker: a job each second."""

from __future__ import annotations

import os
import time
from datetime import datetime
from typing import Any

from apscheduler.executors.pool import ThreadPoolExecutor

from tests.faults.jobs.report import write_run
from zkdiscovery import Client
from zkdiscovery.integrations.apscheduler import LeaderBackgroundScheduler, current_term


class TellsDueTimes(ThreadPoolExecutor):  # type: ignore[misc]
    """Hands each job the time at which it was due."""

    def submit_job(self, job: Any, run_times: list[datetime]) -> None:
        job.args = (run_times[-1].timestamp(),)
        super().submit_job(job, run_times)


client = Client(
    os.environ["JOBS_HOSTS"], namespace=os.environ["JOBS_NAMESPACE"], session_timeout=float(os.environ["JOBS_T"])
)
scheduler = LeaderBackgroundScheduler(client, "jobs", executors={"default": TellsDueTimes(4)})


@scheduler.scheduled_job("interval", seconds=1, args=(0.0,))  # type: ignore[untyped-decorator]
def run(due: float) -> None:
    """One run."""
    write_run(current_term().fence, due, os.getpid(), time.time())
