"""What a candidate calls itself: the same in one process, and in no other."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time

import pytest

from zkdiscovery.lifecycle import identity
from zkdiscovery.lifecycle.identity import default_id

TELL = "from zkdiscovery.lifecycle.identity import default_id as tell; print(tell())"


def ticks() -> float:
    """Clock ticks of the kernel since its boot."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK")


def test_it_names_host_process_and_start() -> None:
    match = re.fullmatch(r"(.+):(\d+):(\d+)", default_id())
    assert match is not None
    assert match[1] == socket.gethostname()
    assert int(match[2]) == os.getpid()
    assert 0 <= int(match[3]) <= ticks()
    assert default_id() == match[0]


def test_a_process_that_starts_anew_has_another_one() -> None:
    before = ticks()
    told = subprocess.run([sys.executable, "-c", TELL], check=True, capture_output=True, text=True).stdout.strip()
    assert int(before) <= int(told.rpartition(":")[2]) <= ticks()


def test_a_forked_child_has_one_of_its_own() -> None:
    ours = default_id()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, default_id().encode())
        os._exit(0)
    os.waitpid(pid, 0)
    told = os.read(reader, 1000).decode()
    os.close(reader)
    os.close(writer)
    assert told.split(":")[:2] == [socket.gethostname(), str(pid)]
    assert told != ours


def test_where_the_system_does_not_tell_the_first_question_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoProc:
        def __init__(self, _path: str) -> None: ...

        def read_text(self) -> str:
            raise FileNotFoundError

    monkeypatch.setattr(identity, "Path", NoProc)
    monkeypatch.setattr(identity, "_known", (0, ""))
    first = default_id()
    assert default_id() == first


def test_a_container_that_starts_anew_has_another_one_though_it_is_process_1_again() -> None:
    within = ["unshare", "--uts", "--pid", "--fork", "--kill-child", sys.executable, "-c", TELL]
    told = []
    for _ in range(2):
        try:
            told.append(subprocess.run(within, check=True, capture_output=True, text=True).stdout.strip())
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"process namespaces need root and `unshare`: {error}")
    assert [each.split(":")[:2] for each in told] == [[socket.gethostname(), "1"]] * 2
    assert told[0] != told[1]
