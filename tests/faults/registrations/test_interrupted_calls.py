"""A signal handler of the user's own that closes the client, in the midst of any call of the SDK."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support import Truth
from zkdiscovery.testing import ZookeeperServer

PROCESS = Path(__file__).with_name("interrupted_process.py")
SEED, ROUNDS = 3, 10
CALLS = 15


def test_a_handler_that_closes_the_client_never_waits_for_the_call_that_it_interrupts(
    zkdiscovery_server: ZookeeperServer, truth: Truth, namespace: str
) -> None:
    """What users ask of the peers: deregistration on SIGTERM. The call may hold any lock, and no thread may hang."""
    ended = subprocess.run(
        [sys.executable, str(PROCESS), zkdiscovery_server.hosts, namespace, str(SEED), str(ROUNDS)],
        capture_output=True,
        text=True,
        timeout=60.0,
        check=False,
    )
    report = f"seed {SEED}\n{ended.stdout}{ended.stderr}"
    lines = ended.stdout.splitlines()
    assert lines[-1:] == ["threads left: []"], report
    told = [line for line in ended.stderr.splitlines() if not line.startswith("an operator has set 'a' of 'payments'")]
    assert not told, report
    seconds = [float(line.split()[1]) for line in lines if line.startswith("closed ")]
    assert len(seconds) >= 0.9 * CALLS * ROUNDS, report  # a call may have been shorter than the one that was measured
    assert max(seconds) < 4.0, report  # its time limit is 2.0
    assert not any(line.startswith("not closed") for line in lines), report
    assert truth.children(f"{namespace}/services/payments") == [], report
