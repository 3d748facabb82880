"""Eight processes increment a number under a lock while their connections break: no increment is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.locks.conftest import Queue
from tests.support import LIMIT
from zkdiscovery.testing import FaultProxy, ZookeeperServer

ROOT = Path(__file__).parents[3]
PROGRAM = ROOT / "tests" / "integration" / "locks" / "incrementing.py"

PROCESSES, TIMES = 8, 25


@pytest.mark.timeout(120)
def test_no_increment_is_lost(
    zkdiscovery_server: ZookeeperServer, namespace: str, queue: Queue, zkdiscovery_proxy: FaultProxy, tmp_path: Path
) -> None:
    number = tmp_path / "number"
    number.write_text("0")
    processes = [
        subprocess.Popen(
            [
                sys.executable, str(PROGRAM), zkdiscovery_proxy.address if each % 4 else zkdiscovery_server.hosts,
                namespace, str(number), str(TIMES), "threads" if each % 2 else "asyncio",
            ],
            cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
        )
        for each in range(PROCESSES)
    ]  # fmt: skip
    kinds = ("create", "delete", "multi", "get_children", "sync")
    turns: list[tuple[int, int]] = []
    try:
        for step in range(15):
            fault = (zkdiscovery_proxy.lose_reply if step % 2 else zkdiscovery_proxy.lose_request)(kinds[step % 5])
            fault.wait(2.0)
            if step % 5 == 4:
                zkdiscovery_proxy.drop()
        zkdiscovery_proxy.heal()
        for process in processes:
            out, _ = process.communicate(timeout=3 * LIMIT)
            assert process.returncode == 0
            turns += [(int(fence), int(seen)) for fence, seen in (line.split() for line in out.splitlines())]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    turns.sort()
    assert number.read_text() == str(PROCESSES * TIMES)
    assert [seen for _, seen in turns] == list(range(PROCESSES * TIMES))  # fences increase from turn to turn
    assert len({fence for fence, _ in turns}) == len(turns)
    assert queue() == []
