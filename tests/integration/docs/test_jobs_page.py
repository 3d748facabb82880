"""The samples of "Jobs that run once", run as a reader would."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.integration.docs.samples import free_port, write_samples
from tests.support import LIMIT, Truth, wait_until
from zkdiscovery.testing import ZookeeperServer

PAGE = "docs/how-to/jobs.md"


@pytest.fixture
def folder(tmp_path: Path, zkdiscovery_server: ZookeeperServer, namespace: str) -> Path:
    names = write_samples(PAGE, tmp_path, hosts=zkdiscovery_server.hosts, namespace=namespace, port=free_port())
    assert names == ["store.py", "sweep.py", "web.py", "gunicorn.conf.py", "app.py", "tasks.py"]
    text = (tmp_path / "tasks.py").read_text()
    assert 'broker="amqp://rabbit"' in text
    # There is no broker here, so beat runs the tasks itself.
    text = text.replace("amqp://rabbit", "memory://") + "\napp.conf.task_always_eager = True\n"
    (tmp_path / "tasks.py").write_text(text)
    return tmp_path


@contextmanager
def running(folder: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    with (
        (folder / "said").open("ab") as said,
        subprocess.Popen(
            [sys.executable, *command], cwd=folder, stdout=said, stderr=said, start_new_session=True
        ) as process,
    ):
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def fence(folder: Path) -> int:
    """Of the last sweep; 0 before there is one."""
    with closing(sqlite3.connect(folder / "shop.db", timeout=LIMIT)) as db:
        try:
            rows = db.execute("SELECT fence FROM results WHERE job = 'sweep'").fetchall()
        except sqlite3.OperationalError:  # no table yet
            return 0
    return max((int(row[0]) for row in rows), default=0)


COMMANDS = {
    "sweep": (["sweep.py"], -signal.SIGTERM),
    "gunicorn": (["-m", "gunicorn", "web:app", "--no-control-socket"], 0),
    "uvicorn": (["-m", "uvicorn", "app:app", "--port", "8080", "--workers", "2"], 0),
    "celery": (["-m", "celery", "-A", "tasks", "beat"], 0),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_sample_runs_its_jobs_and_leaves_the_election(name: str, folder: Path, truth: Truth, namespace: str) -> None:
    command, status = COMMANDS[name]
    port = (folder / "gunicorn.conf.py").read_text().partition("0.0.0.0:")[2].partition('"')[0]
    with running(folder, *[port if word == "8080" else word for word in command]) as process:
        wait_until(lambda: fence(folder) > 0, 2 * LIMIT)
        process.send_signal(signal.SIGTERM)
        assert process.wait(2 * LIMIT) == status, (folder / "said").read_text()
    for election in truth.children(f"{namespace}/elections"):
        assert truth.children(f"{namespace}/elections/{election}") == []
    said = (folder / "said").read_text()
    assert "Traceback" not in said, said


def test_the_store_refuses_smaller_fences(folder: Path) -> None:
    code = "from store import write; print(*[write('a', 'b', fence) for fence in (5, 5, 7, 6)])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert done.stdout.split() == ["True", "True", "True", "False"], done.stderr
