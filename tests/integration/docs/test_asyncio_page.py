"""The samples of "asyncio", run as a reader would."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.docs.samples import free_port, run, write_samples
from tests.support import LIMIT, Truth
from zkdiscovery.testing import ZookeeperServer

PAGE = "docs/how-to/asyncio.md"


@pytest.fixture
def folder(tmp_path: Path, zkdiscovery_server: ZookeeperServer, namespace: str) -> Path:
    names = write_samples(PAGE, tmp_path, hosts=zkdiscovery_server.hosts, namespace=namespace, port=free_port())
    assert names == ["serve_async.py", "call_async.py", "follow_async.py", "report_async.py", "sweep_async.py"]
    return tmp_path


def test_serve_call_and_follow(folder: Path, truth: Truth, namespace: str) -> None:
    services = f"{namespace}/services/payments"
    with subprocess.Popen([sys.executable, "serve_async.py"], cwd=folder) as server:
        try:
            first, second = run(folder, "call_async.py").splitlines()
            assert re.fullmatch(r"one of 1 is \S+:\d+", first)
            assert second == "paid"
            (node,) = truth.children(services)
            assert sorted(run(folder, "follow_async.py").splitlines()) == [f"callback: ['{node}']", f"loop: ['{node}']"]
            server.send_signal(signal.SIGTERM)
            assert server.wait(LIMIT) == 0
        finally:
            server.kill()
    assert truth.children(services) == []


def test_elect(folder: Path) -> None:
    lines = run(folder, "report_async.py").splitlines()
    assert [line.split(", fence")[0] for line in lines] == ["page 0", "page 1", "page 2", "done", "cleaning with fence"]


def test_a_job_that_runs_for_ever_hands_over_on_a_signal(folder: Path) -> None:
    command = [sys.executable, "sweep_async.py"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as leader:
        try:
            assert leader.stdout is not None
            first = leader.stdout.readline()
            with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as follower:
                try:
                    assert follower.stdout is not None
                    leader.send_signal(signal.SIGTERM)
                    assert leader.wait(LIMIT) == 0
                    second = follower.stdout.readline()
                    follower.send_signal(signal.SIGINT)
                    assert follower.wait(LIMIT) == 0
                finally:
                    follower.kill()
        finally:
            leader.kill()
    fences = [int(line.removeprefix("sweeping with fence ")) for line in (first, second)]
    assert fences[0] < fences[1]
