"""A short share of `python -m tests.faults.jobs`: a job each second in 2 x 4 workers, and leaders that are killed."""

from __future__ import annotations

import pytest

from tests.faults.jobs.report import Run, longest_gap, violations
from tests.faults.jobs.run import SchedulerName, trouble_leaders
from zkdiscovery.testing import ZookeeperServer

KILLS = 2


@pytest.mark.timeout(240)
@pytest.mark.parametrize("scheduler", ["apscheduler", "celery"])
def test_each_second_has_one_run_at_most_whether_leaders_are_killed_or_stopped(
    scheduler: SchedulerName, zkdiscovery_server: ZookeeperServer, namespace: str
) -> None:
    outcome = trouble_leaders(scheduler, zkdiscovery_server.hosts, namespace, KILLS)
    assert outcome.violations == []
    assert outcome.terms > KILLS + 1
    print(f"{scheduler}: longest gap {outcome.longest_gap:.1f} s")


def test_violations_are_seen() -> None:
    first, second = Run(5, 10.0, 1, 10.0), Run(6, 13.0, 2, 13.5)
    assert violations([first, second]) == []
    assert longest_gap([first, second]) == 3.5
    assert "after the fence 6" in violations([second, first])[0]
    assert "for one second" in violations([first, Run(5, 10.9, 1, 11.0)])[0]
    assert "has the fence of" in violations([first, Run(5, 11.0, 2, 11.0)])[0]
