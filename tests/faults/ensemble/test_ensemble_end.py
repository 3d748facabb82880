"""The end of an ensemble's owner: nothing is left behind, however it comes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from tests.faults.ensemble.helpers import local_process
from tests.support import LIMIT
from zkdiscovery.testing import zookeeper_ensemble
from zkdiscovery.testing.wire import four_letter_word

pytestmark = pytest.mark.server

OWNER = """
import sys
from zkdiscovery.testing import zookeeper_ensemble
with zookeeper_ensemble(source="local") as ensemble:
    ensemble.isolate(ensemble.leader())
    for member in ensemble.members:
        member._source._supervisor.at_end(["sh", "-c", "echo ended > " + sys.argv[1]])
    print(ensemble.hosts, *(member._source._directory for member in ensemble.members), flush=True)
    sys.stdin.read()
"""


def expect_nothing_left(hosts: str, directories: list[str]) -> None:
    for host in hosts.split(","):
        with pytest.raises(OSError):
            four_letter_word(host, "srvr")
    commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    for directory in directories:
        assert not Path(directory).exists()
        assert not [command for command in commands if f"{directory}/zoo.cfg" in command]


def test_an_ensemble_ends_with_its_block() -> None:
    """Servers, directories and the links' threads are gone."""
    threads = set(threading.enumerate())
    with zookeeper_ensemble(source="local") as ensemble:
        hosts = ensemble.hosts
        directories = [str(local_process(member)._directory) for member in ensemble.members]
        ensemble.followers()[0].pause()
    expect_nothing_left(hosts, directories)
    assert not set(threading.enumerate()) - threads
    ensemble.close()


def test_an_ensemble_does_not_outlive_a_killed_owner(tmp_path: Path) -> None:
    """SIGKILL of the process that made it, while links are cut."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDWR)  # never at its end
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(fifo)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as owner:
        assert owner.stdout is not None
        hosts, *directories = owner.stdout.readline().split()
        owner.kill()
    ended = b""
    all_ended = threading.Event()

    def read() -> None:
        nonlocal ended
        while ended.count(b"ended") < 3:
            ended += os.read(reader, 100)
        all_ended.set()

    threading.Thread(target=read, daemon=True).start()
    assert all_ended.wait(LIMIT), f"not all supervisors cleaned up: {ended!r}"
    os.close(reader)
    expect_nothing_left(hosts, directories)
