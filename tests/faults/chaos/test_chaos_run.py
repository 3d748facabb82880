"""A short chaos run, as CI has it: a real ensemble, client processes, faults, and the checker over all of it."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from tests.faults.chaos.controller import Options, Run
from zkdiscovery.testing import ZookeeperEnsemble


@pytest.mark.timeout(150)
def test_a_short_chaos_run_finds_nothing(ensemble: ZookeeperEnsemble, tmp_path: Path) -> None:
    """Half a minute of faults with six clients: all invariants hold. The seed of a failure reruns its schedule."""
    options = Options(seed=secrets.randbelow(2**31), minutes=0.5, clients=6)
    print(f"seed {options.seed}; again: python -m tests.faults.chaos --seed {options.seed} --clients 6")
    with Run(ensemble, options, tmp_path, print) as run:
        run.rounds()
    figures = run.figures.table()
    assert not run.figures.violations, f"seed {options.seed}: {'; '.join(map(str, run.figures.violations[:3]))}"
    assert figures["rounds"] >= 3
    assert figures["faults"] >= 4
    assert figures["terms won"] >= 3
    assert figures["moves of shards to other processes"] >= 3
    assert figures["fenced writes"]["accepted"] > 50
    assert figures["steps"] > 20
    assert figures["snapshots seen"] > 50
    assert run.figures.idle() == []
