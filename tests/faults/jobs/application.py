"""What gunicorn serves; each worker starts its scheduler when it imports this."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

if os.environ["JOBS_SCHEDULER"] == "apscheduler":
    from tests.faults.jobs.scheduled import scheduler

    scheduler.start()
else:
    from tests.faults.jobs.beat import service

    service.start()


def application(
    environ: dict[str, str], start_response: Callable[[str, list[tuple[str, str]]], None]
) -> Iterable[bytes]:
    """Nobody calls it."""
    start_response("204 No Content", [])
    return []
