"""The Celery application of the workers and of beat. Messages go through files; see run.py for the environment."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from celery import Celery
from celery.beat import BeatLazyFunc, EmbeddedService
from kombu.transport import filesystem
from kombu.utils.json import dumps

from tests.faults.jobs.report import write_run
from zkdiscovery.integrations.celery import current_fence


class Channel(filesystem.Channel):  # type: ignore[misc]
    """One whose messages appear whole: kombu's reader may find a file that is not written yet, or never will be."""

    def _put(self, queue: str, payload: Any, **kwargs: Any) -> None:
        name = f"{time.monotonic_ns()}_{os.getpid()}.{queue}.msg"
        unfinished = Path(messages, f"{name}.unfinished")
        unfinished.write_text(dumps(payload))
        unfinished.rename(Path(messages, name))


class Transport(filesystem.Transport):  # type: ignore[misc]
    """Messages through files of one folder."""

    Channel = Channel


messages = os.environ["JOBS_FOLDER"] + "/messages"

app = Celery("jobs", broker="filesystem://")
app.conf.broker_transport = "tests.faults.jobs.beat:Transport"
app.conf.broker_transport_options = {
    "data_folder_in": messages,
    "data_folder_out": messages,
    "control_folder": messages,
    "polling_interval": 0.05,
}
app.conf.task_ignore_result = True
app.conf.worker_hijack_root_logger = False
app.conf.beat_scheduler = "zkdiscovery.integrations.celery:LeaderScheduler"
app.conf.zkdiscovery_election = "beat"
app.conf.zkdiscovery_client = {
    "hosts": os.environ["JOBS_HOSTS"],
    "namespace": os.environ["JOBS_NAMESPACE"],
    "session_timeout": float(os.environ["JOBS_T"]),
}

service: Any = EmbeddedService(app, thread=True, scheduler_cls=app.conf.beat_scheduler)


def due() -> float:
    """When the task that is being sent was due; beat has noted it just before."""
    noted: float = service.service.scheduler.schedule["each second"].last_run_at.timestamp()
    return noted


@app.task(name="run")
def run(due: float, sender: int, sent: float) -> None:
    """One run, in the worker."""
    write_run(current_fence(), due, sender, sent)


app.conf.beat_schedule = {
    "each second": {
        "task": "run",
        "schedule": 1.0,
        "relative": True,  # at whole seconds
        "args": (BeatLazyFunc(due), BeatLazyFunc(os.getpid), BeatLazyFunc(time.time)),
    }
}
