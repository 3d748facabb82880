"""A fault ends as it should, whatever it meets, and delays nobody else's."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.faults.chaos import process
from tests.faults.chaos.faults import Faults
from tests.faults.chaos.history import Histories, History
from tests.faults.chaos.process import WorkerProcess
from tests.faults.chaos.schedule import LEASE_FAULTS, Fault
from zkdiscovery.errors import NodeMissing


class Ensemble:
    """Three members that elect nobody else."""

    def __init__(self) -> None:
        self.members = ["leader", "one", "two"]

    def leader(self, _timeout: float) -> str:
        return self.members[0]

    def followers(self, _timeout: float) -> list[str]:
        return self.members[1:]

    def heal(self) -> None:
        """Nothing was cut."""


class Proxy:
    """The link of a worker to one member."""

    connections = 1

    def __init__(self) -> None:
        self.refuses = False

    def refuse(self) -> None:
        self.refuses = True

    def heal(self) -> None:
        self.refuses = False


class Worker:
    """Counts what is done to it."""

    who = "w1.1"

    def __init__(self) -> None:
        self.proxies = [Proxy() for _ in range(3)]
        self.done: list[str] = []

    def stop(self) -> None:
        self.done.append("stop")

    def resume(self) -> None:
        self.done.append("resume")


@pytest.mark.parametrize("kind", LEASE_FAULTS)
def test_who_was_to_come_next_runs_on_if_the_first_has_left_meanwhile(kind: str, tmp_path: Path) -> None:
    """It could not leave otherwise, and would be killed as one that hangs."""

    def call(_request: object) -> None:
        raise NodeMissing("the first has left")

    worker, ensemble = Worker(), Ensemble()
    candidates = [{"data": '"w0.1"', "fence": 1, "path": "/a"}, {"data": '"w1.1"', "fence": 2, "path": "/b"}]
    stubs: dict[str, Any] = {
        "truth": SimpleNamespace(call=call),
        "observatory": SimpleNamespace(candidates=lambda _election: candidates),
        "operator": None,
    }
    with History(tmp_path, "controller", 1) as history:
        faults = Faults(
            ensemble,
            [worker],
            **stubs,
            services=[],
            elections=["one"],
            history=history,  # type: ignore[arg-type, list-item]
        )
        faults.perform(Fault(kind, 0.0, 60.0, 0, {"still": 0.0, "held": 0.0}))
    assert worker.done == ["stop", "resume"]
    assert not any(proxy.refuses for proxy in worker.proxies)
    (fault,) = (event for event in Histories(tmp_path).read() if event["ev"] == "fault")
    assert "NodeMissing" in fault["outcome"]


def test_the_time_in_which_a_worker_is_stopped_does_not_count_when_it_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "LEAVE", 3.0)
    monkeypatch.setattr(process, "LOOK", 0.05)
    with History(tmp_path, "controller", 1) as history:
        worker = WorkerProcess("w1", [], {"directory": str(tmp_path)}, history)
        worker._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", "input()"], stdin=subprocess.PIPE, text=True
        )
        try:
            worker.stop()
            going_on = threading.Timer(4.0, worker.resume)
            going_on.start()
            assert worker.leave()
            going_on.join()
        finally:
            worker.close()
