"""What happens to a fleet under load: each server is restarted, or one is killed."""

from __future__ import annotations

import time

from tests.faults.servers.fleet import Fleet
from tests.faults.servers.load import Load
from tests.support import LIMIT, wait_until
from zkdiscovery import Service

BETWEEN = 100  # calls between two restarts


def restart_each(fleet: Fleet, load: Load, view: Service, limit: float = LIMIT) -> None:
    """Restart the servers one after the other, each once all of them can be picked."""
    size = len(fleet.members)
    for member in fleet.members:
        load.wait(BETWEEN)
        member.terminate()
        member.start()
        view.wait_ready(limit, at_least=size)
    load.wait(BETWEEN)


def kill_with_slow_call(fleet: Fleet, load: Load) -> float:
    """Kill the server that has the slow call; return when, in monotonic seconds."""
    load.wait(BETWEEN)
    wait_until(fleet.with_slow_request)
    victim = fleet.with_slow_request()
    assert victim is not None
    victim.kill()
    killed = time.monotonic()
    load.wait(5 * BETWEEN)
    return killed
