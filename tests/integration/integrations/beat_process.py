"""A `celery beat` of its own for a test: `python -m celery -A tests.integration.integrations.beat_process beat`.

Each task runs at once, in beat, and prints a line. The environment has the servers and the namespace.
"""

from __future__ import annotations

import os

from celery import Celery

from zkdiscovery.integrations.celery import current_fence

app = Celery("shop", broker="memory://")
app.conf.task_always_eager = True
app.conf.beat_scheduler = "zkdiscovery.integrations.celery:LeaderScheduler"
app.conf.zkdiscovery_election = "beat"
app.conf.beat_schedule = {"each second": {"task": "run", "schedule": 1.0}}


@app.task(name="run")
def run() -> None:
    """One run."""
    os.write(1, f"ran {current_fence()} {os.getpid()}\n".encode())
