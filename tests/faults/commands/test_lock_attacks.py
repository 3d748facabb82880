"""A short form of `python -m tests.faults.commands`: each attack on the holder of a lock that runs a command, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.commands.attack import ATTACKS, attempt
from zkdiscovery.testing import ZookeeperServer

T = 2.0  # seconds


@pytest.mark.parametrize("name", ATTACKS)
def test_no_two_commands_overlap(
    zkdiscovery_server: ZookeeperServer, namespace: str, tmp_path: Path, name: str
) -> None:
    attack = ATTACKS[name]
    outcome = attempt(attack, zkdiscovery_server.hosts, namespace, tmp_path, timeout=T)
    assert outcome.gap > 0
    assert outcome.ran < 0.9 * T
    assert outcome.code == attack.code
