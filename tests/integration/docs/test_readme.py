"""The samples of the README, run as a reader would."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.docs.samples import free_port, run, write_samples
from tests.support import LIMIT, Truth
from zkdiscovery.testing import ZookeeperServer


@pytest.fixture
def folder(tmp_path: Path, zkdiscovery_server: ZookeeperServer, namespace: str) -> Path:
    names = write_samples("README.md", tmp_path, hosts=zkdiscovery_server.hosts, namespace=namespace, port=free_port())
    assert names == ["serve.py", "app.py", "call.py", "call_async.py", "report.py", "test_shop.py"]
    return tmp_path


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (["serve.py"], "paid\n"),
        (["-m", "uvicorn", "app:app", "--host", "0.0.0.0", "--port", "PORT"], '"paid"'),
    ],
)
def test_register_discover_and_leave_on_a_signal(
    command: list[str], answer: str, folder: Path, truth: Truth, namespace: str
) -> None:
    port = (folder / "app.py").read_text().partition("port=")[2].partition(")")[0]
    command = [port if word == "PORT" else word for word in command]
    with subprocess.Popen([sys.executable, *command], cwd=folder, stderr=subprocess.DEVNULL) as server:
        try:
            assert run(folder, "call.py") == answer
            assert run(folder, "call_async.py") == answer
            assert len(truth.children(f"{namespace}/services/payments")) == 1
            server.send_signal(signal.SIGTERM)
            assert server.wait(LIMIT) == -signal.SIGTERM
        finally:
            server.kill()
    assert truth.children(f"{namespace}/services/payments") == []


def test_elect(folder: Path) -> None:
    lines = run(folder, "report.py").splitlines()
    assert [line.split(",")[0] for line in lines] == ["page 0", "page 1", "page 2", "done"]


def test_test_with_it(folder: Path, pytestconfig: pytest.Config) -> None:
    source = pytestconfig.getoption("--zkdiscovery-source")
    output = run(
        folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--zkdiscovery-source={source}", "test_shop.py"
    )
    assert "1 passed" in output
