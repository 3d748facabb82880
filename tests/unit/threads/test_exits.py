"""The ends of processes, told by one thread."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import LIMIT, Recorder
from zkdiscovery.threads import Exits

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="the system has no pidfds")


@pytest.fixture
def exits() -> Iterator[Exits]:
    made = Exits("exits-under-test")
    made.start()
    yield made
    made.close(LIMIT)
    assert not [thread for thread in threading.enumerate() if thread.name == "exits-under-test"]


def open_files() -> int:
    """How many files this process has open, and one more."""
    return len(list(Path("/proc/self/fd").iterdir()))


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    made = [sleeper() for _ in range(3)]
    yield made
    for process in made:
        with process:
            process.kill()


def test_an_end_is_told_once(exits: Exits, processes: list[subprocess.Popen[bytes]]) -> None:
    told: Recorder[str] = Recorder()
    first, second, third = processes
    exits.follow("a", [first.pid, second.pid], lambda: told("a"))
    exits.follow("b", [second.pid, third.pid], lambda: told("b"))
    first.kill()
    told.wait(lambda items: items == ["a"])
    second.kill()
    told.wait(lambda items: sorted(items) == ["a", "a", "b"])
    exits.follow("b", [second.pid], lambda: told("b again"))  # a zombie has ended, too
    told.wait(lambda items: items[-1] == "b again")


def test_who_is_followed_no_more_is_not_told(exits: Exits, processes: list[subprocess.Popen[bytes]]) -> None:
    told: Recorder[str] = Recorder()
    first, second, _ = processes
    exits.follow("a", [first.pid], lambda: told("first"))
    exits.follow("a", [second.pid], lambda: told("second"))
    exits.follow("a", [second.pid], lambda: told("second, again"))
    first.kill()
    first.wait(LIMIT)
    second.kill()
    assert told.wait(lambda items: len(items) == 1) == ["second"]


def test_who_is_not_there_is_passed_over(exits: Exits) -> None:
    with sleeper() as ended:
        ended.kill()
    exits.follow("a", [ended.pid, 2**70, -1], lambda: pytest.fail("nobody ended"))


def test_a_call_that_fails_does_not_end_it(exits: Exits, processes: list[subprocess.Popen[bytes]]) -> None:
    told: Recorder[str] = Recorder()
    exits.follow("a", [processes[0].pid], lambda: 1 / 0)  # type: ignore[arg-type,return-value]
    exits.follow("b", [processes[1].pid], lambda: told("b"))
    for process in processes[:2]:
        process.kill()
        process.wait(LIMIT)
    told.wait(lambda items: items == ["b"])


def test_it_leaves_no_file_open(processes: list[subprocess.Popen[bytes]]) -> None:
    before = open_files()
    exits = Exits("exits-under-test")
    exits.follow("a", [processes[0].pid], lambda: None)  # it is not started: nothing
    exits.start()
    exits.start()
    for _ in range(3):
        for process in processes:
            exits.follow("a", [process.pid], lambda: None)
    exits.close(LIMIT)
    exits.follow("a", [processes[0].pid], lambda: None)
    exits.close(LIMIT)
    assert open_files() == before


def test_a_forked_child_closes_what_it_inherited_and_the_parent_goes_on(
    exits: Exits, processes: list[subprocess.Popen[bytes]]
) -> None:
    told: Recorder[str] = Recorder()
    exits.follow("a", [processes[0].pid], lambda: told("a"))
    pid = os.fork()
    if pid == 0:
        before = open_files()
        exits.forked()
        os._exit(before - open_files())
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 4, "a pidfd, an epoll, a pipe"
    processes[0].kill()
    told.wait(lambda items: items == ["a"])


def test_without_pidfds_it_has_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    exits = Exits("exits-without-pidfds")
    exits.start()
    exits.follow("a", [os.getpid()], lambda: None)
    assert not [thread for thread in threading.enumerate() if thread.name == "exits-without-pidfds"]
    exits.close(LIMIT)
