"""The samples of "A lock that can't lie", with a holder that is stopped; and that of "Coming from Curator"."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.integration.docs.samples import run, write_samples
from tests.support import wait_until
from zkdiscovery.testing import ZookeeperServer

PAGE = "docs/tutorial/a-lock-that-cannot-lie.md"
TIMEOUT = 4.0  # of the session, seconds

Clerk = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def clerk(tmp_path: Path, zkdiscovery_server: ZookeeperServer, namespace: str) -> Iterator[Clerk]:
    """Starts a clerk, who waits for the till on return."""
    assert write_samples(PAGE, tmp_path) == ["till.py", "clerk.py"]
    environment = {
        **os.environ,
        "ZKDISCOVERY_HOSTS": zkdiscovery_server.hosts,
        "ZKDISCOVERY_NAMESPACE": namespace,
        "ZKDISCOVERY_SESSION_TIMEOUT": str(TIMEOUT),
    }
    with ExitStack() as stack:

        def start(name: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, "clerk.py", name], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            assert line(process) == f"{name} waits"
            return process

        yield start


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def fence(process: subprocess.Popen[str]) -> int:
    """The fence of a clerk, once it holds the till."""
    found = re.fullmatch(r"\w+ holds the till, fence (\d+)", line(process))
    assert found is not None
    return int(found[1])


def last(folder: Path) -> str:
    """Who wrote last."""
    with closing(sqlite3.connect(folder / "till.db", timeout=5.0)) as db:
        (row,) = db.execute("SELECT who FROM till").fetchall()
    return str(row[0])


def test_a_short_pause_ends_the_hold_before_anybody_else_has_it(clerk: Clerk) -> None:
    anna = clerk("anna")
    assert fence(anna) > 0
    anna.send_signal(signal.SIGSTOP)
    time.sleep(0.7 * TIMEOUT)  # less than ZooKeeper waits, more than a lease lasts
    anna.send_signal(signal.SIGCONT)
    assert line(anna) == "anna holds it no more: the session was not renewed in time"
    assert line(anna) == "late write: accepted"


def test_a_long_pause(clerk: Clerk, tmp_path: Path) -> None:
    anna = clerk("anna")
    first = fence(anna)
    ben = clerk("ben")
    anna.send_signal(signal.SIGSTOP)
    assert fence(ben) > first
    wait_until(lambda: last(tmp_path) == "ben")
    anna.send_signal(signal.SIGCONT)
    assert line(anna).startswith("anna holds it no more: ")
    assert line(anna) == "late write: refused"
    assert last(tmp_path) == "ben"


def test_several_locks(tmp_path: Path, zkdiscovery_server: ZookeeperServer, namespace: str) -> None:
    names = write_samples("docs/how-to/from-curator.md", tmp_path, hosts=zkdiscovery_server.hosts, namespace=namespace)
    assert names == ["transfer.py"]
    assert run(tmp_path, "transfer.py") == "transferred with 2 locks\n"
