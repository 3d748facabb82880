"""Commands with a limit: in a group of their own, killed, reaped; real processes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import LIMIT, wait_until
from zkdiscovery.supervise import LimitedCommand, Run
from zkdiscovery.supervise.guardian import children
from zkdiscovery.supervise.limited import OUTPUT, claimed_processes


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No child, and so no zombie."""
    before = set(children())
    yield
    assert set(children()) <= before


def shell(script: str, timeout: float = LIMIT) -> Run:
    return LimitedCommand(["sh", "-c", script]).run(timeout)


def is_there(pid: int) -> bool:
    """Does it run? Not if it is a zombie of somebody else."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def under_way() -> bool:
    """Does a command run?"""
    with claimed_processes() as claimed:
        return bool(claimed)


def test_the_exit_status_and_what_was_written() -> None:
    assert shell("echo out; echo err >&2; exit 3") == Run(3, b"out\nerr\n")
    assert shell("kill -9 $$") == Run(-signal.SIGKILL, b"")


def test_it_is_killed_at_its_limit_with_all_of_its_group() -> None:
    began = time.monotonic()
    run = shell("sleep 600 & echo $!; sleep 600", timeout=0.5)
    assert run.status is None
    assert time.monotonic() - began < 10
    wait_until(lambda: not is_there(int(run.output)))


def test_what_it_leaves_in_its_group_ends_with_it() -> None:
    run = shell("sleep 600 & echo $!")
    assert run.status == 0
    wait_until(lambda: not is_there(int(run.output)))


def test_it_ends_although_somebody_else_holds_its_output() -> None:
    """A process that left the group has the pipe, so there is no end of file."""
    code = "import os\nif os.fork() == 0:\n os.setsid()\n os.execvp('sleep', ['sleep', '3'])"
    assert LimitedCommand([sys.executable, "-c", code]).run(LIMIT).status == 0


def test_a_signal_that_it_ignores_is_no_help() -> None:
    assert shell("trap '' TERM INT HUP; while :; do sleep 0.05; done", timeout=0.3).status is None


def test_it_never_waits_for_a_reader() -> None:
    run = shell("yes | head -c 3000000; exit 5")
    assert (run.status, len(run.output)) == (5, OUTPUT)


def test_one_that_closes_its_output_goes_on() -> None:
    assert shell("exec >&- 2>&-; sleep 0.2; exit 7").status == 7


def test_it_reads_nothing_of_ours() -> None:
    assert shell("cat; exit 4") == Run(4, b"")


def test_closing_kills_the_run_and_those_that_follow() -> None:
    command = LimitedCommand(["sleep", "600"])
    runs: list[Run] = []
    thread = threading.Thread(target=lambda: runs.append(command.run(600)))
    thread.start()
    wait_until(under_way)
    command.close()
    thread.join(LIMIT)
    assert runs == [Run(-signal.SIGKILL, b"")]
    assert command.run(600).status == -signal.SIGKILL


def test_a_program_that_is_missing_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        LimitedCommand(["/no/such/program"]).run(LIMIT)


def test_without_descriptors_it_is_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> tuple[int, int]:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(os, "pipe", refuse)
    with pytest.raises(OSError, match="too many open files"):
        LimitedCommand(["true"]).run(LIMIT)


def test_without_a_descriptor_of_its_end_it_is_watched_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    assert shell("echo out; exit 3") == Run(3, b"out\n")
    assert shell("sleep 600", timeout=0.2).status is None


def test_a_status_that_others_took_is_no_success() -> None:
    """Popen says 0 then."""
    code = """
import os, signal, threading
from zkdiscovery.supervise import LimitedCommand, StatusLost
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
try:
    print(LimitedCommand(["false"]).run(10))
except StatusLost:
    print("lost")
"""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert (done.stdout, done.stderr) == ("lost\n", "")


def test_the_reaper_of_orphans_leaves_it_alone() -> None:
    with claimed_processes() as before:
        pass
    command = LimitedCommand(["sleep", "600"])
    thread = threading.Thread(target=lambda: command.run(600))
    thread.start()
    try:
        wait_until(under_way)
        with claimed_processes() as claimed:
            assert len(claimed - before) == 1
    finally:
        command.close()
        thread.join(LIMIT)
    with claimed_processes() as claimed:
        assert claimed == before


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_can_run_commands_whoever_held_the_lock() -> None:
    with claimed_processes():
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            os._exit(LimitedCommand(["true"]).run(10).status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
