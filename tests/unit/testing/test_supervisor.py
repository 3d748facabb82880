"""The supervisor with real processes: it obeys, reports, and cleans up after its parent in every case."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from zkdiscovery.testing.servers import supervisor
from zkdiscovery.testing.servers.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 10.0  # seconds
SLEEPER = [sys.executable, "-c", "import sys; sys.stdin.close(); import time; print('up', flush=True); time.sleep(600)"]


@pytest.fixture
def supervised() -> Iterator[Supervisor]:
    made = Supervisor()
    yield made
    made.close()


def test_close_kills_the_child_and_removes_the_directory(supervised: Supervisor) -> None:
    directory = supervised.make_directory()
    child = psutil.Process(supervised.start(SLEEPER, directory / "log"))
    assert supervised.wait(0.0) is None
    supervised.close()
    assert not child.is_running()
    assert not directory.exists()
    supervised.close()


def test_the_end_of_the_child_is_reported_with_its_status_and_its_output_kept(supervised: Supervisor) -> None:
    log = supervised.make_directory() / "log"
    for status in (3, 4):
        supervised.start([sys.executable, "-c", f"print('bye'); raise SystemExit({status})"], log)
        assert supervised.wait(LIMIT) == status
    assert log.read_text() == "bye\nbye\n"


def test_signals_reach_the_child_and_only_while_it_lives(supervised: Supervisor) -> None:
    log = supervised.make_directory() / "log"
    supervised.signal(signal.SIGTERM)
    supervised.start(SLEEPER, log)
    supervised.signal(signal.SIGSTOP)
    supervised.signal(signal.SIGCONT)
    supervised.signal(signal.SIGTERM)
    assert supervised.wait(LIMIT) == -signal.SIGTERM
    supervised.signal(signal.SIGKILL)
    assert supervised.wait(0.0) == -signal.SIGTERM


def test_a_program_that_is_not_there_is_an_error(supervised: Supervisor) -> None:
    with pytest.raises(OSError, match="no-such-program"):
        supervised.start(["/no-such-program"], supervised.make_directory() / "log")


def test_commands_left_run_at_the_end(supervised: Supervisor, tmp_path: Path) -> None:
    supervised.at_end(["/no-such-program"])
    supervised.at_end([sys.executable, "-c", f"open({str(tmp_path / 'done')!r}, 'w')"])
    assert not (tmp_path / "done").exists()
    supervised.close()
    assert (tmp_path / "done").exists()


def test_signals_from_the_terminal_do_not_end_the_supervisor(supervised: Supervisor) -> None:
    supervised.make_directory()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        supervised._process.send_signal(number)
    supervised.start([sys.executable, "-c", ""], Path(os.devnull))
    assert supervised.wait(LIMIT) == 0


def test_a_dead_supervisor_is_an_error_and_not_a_hang(supervised: Supervisor) -> None:
    directory = supervised.make_directory()
    child = psutil.Process(supervised.start(SLEEPER, Path(os.devnull)))
    supervised._process.kill()
    supervised._process.wait(LIMIT)
    with pytest.raises(OSError):
        supervised.make_directory()
    with pytest.raises(ConnectionError, match="has ended"):
        supervised.wait(LIMIT)
    child.kill()
    supervised.close()
    assert not directory.exists()


PARENT = """
import os, sys
from pathlib import Path
from zkdiscovery.testing.servers.supervisor import Supervisor
supervised = Supervisor()
directory = supervised.make_directory()
child = supervised.start({sleeper!r}, directory / "log")
supervised.at_end(["sh", "-c", "echo ended > {fifo}"])
forked = 0
if {fork}:
    forked = os.fork()
    if not forked:
        os.close(1)
        sys.stdin.read()
        os._exit(0)
print(child, forked, directory, flush=True)
sys.stdin.read()
{ending}
"""


@pytest.mark.parametrize(
    ("fork", "ending"),
    [
        (False, "killed"),
        (True, "killed"),
        (False, "sys.exit(1)"),
        (False, "raise RuntimeError"),
        (False, "os.abort()"),
    ],
)
def test_all_is_cleaned_up_however_the_parent_ends(fork: bool, ending: str, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    ended = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    killed = ending == "killed"
    script = PARENT.format(sleeper=SLEEPER, fork=fork, fifo=fifo, ending="" if killed else ending)
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        child_pid, forked_pid, directory = parent.stdout.readline().split()
        child = psutil.Process(int(child_pid))
        assert Path(directory).is_dir()
        if killed:
            parent.kill()
        else:
            parent.stdin.close()
        assert select.select([ended], [], [], LIMIT)[0], "the supervisor did not clean up"
        # A forked child lives on and did not keep the supervisor waiting.
        assert not fork or psutil.pid_exists(int(forked_pid))
    os.close(ended)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert not Path(directory).exists()


def test_the_program_itself(tmp_path: Path) -> None:
    """What runs in the supervisor's process, here in a thread: nothing of it depends on being a process."""
    ours, theirs = socket.socketpair()
    with theirs:
        thread = threading.Thread(target=supervisor._Supervision(theirs).run)
        thread.start()
        with ours, ours.makefile("rw") as channel:

            def ask(**request: object) -> dict[str, object]:
                channel.write(json.dumps(request) + "\n")
                channel.flush()
                answer: dict[str, object] = json.loads(channel.readline())
                return answer

            directory = Path(str(ask(do="make_directory")["directory"]))
            assert directory.is_dir()
            assert "error" in ask(do="start", argv=["/no-such-program"], log=str(tmp_path / "log"))
            pid = ask(do="start", argv=SLEEPER, log=str(tmp_path / "log"))["pid"]
            assert ask(do="signal", number=int(signal.SIGCONT)) == {}
            assert ask(do="at_end", argv=[sys.executable, "-c", f"open({str(tmp_path / 'done')!r}, 'w')"]) == {}
            assert isinstance(pid, int)
            child = psutil.Process(pid)
        thread.join(LIMIT)
        assert not thread.is_alive()
    assert not child.is_running()
    assert not directory.exists()
    assert (tmp_path / "done").exists()
