"""lock: a command that runs while the process holds a lock."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Done, Running
from tests.support import LIMIT, Truth
from zkdiscovery.cli.exits import ExitCode
from zkdiscovery.testing import FaultProxy, ZookeeperServer

Start = Callable[..., Running]
Run = Callable[..., Done]

NAME = "nightly"
ROOT = Path(__file__).parents[3]
DEAF = "trap '' TERM; echo started; while :; do sleep 0.05; done"


@pytest.fixture
def queue(namespace: str) -> str:
    """Where those who hold the lock or wait for it stand."""
    return f"{namespace}/locks/{NAME}"


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -TERM $$", 143)])
def test_exit_codes(start: Start, truth: Truth, queue: str, script: str, code: int) -> None:
    running = start("lock", NAME, "--", "sh", "-c", script)
    assert running.end() == code
    assert truth.children(queue) == []
    assert running.err.items == []


def test_fences_increase(start: Start) -> None:
    fences = []
    for _ in range(2):
        running = start("lock", NAME, "--", "sh", "-c", "echo $ZKDISCOVERY_FENCE")
        assert running.end() == 0
        fences += [int(line) for line in running.out.items]
    assert fences == sorted(set(fences))
    assert len(fences) == 2


@pytest.mark.parametrize(("program", "code"), [("no-such-program", 127), ("/etc/passwd", 126), ("/no/such", 127)])
def test_a_program_that_can_t_be_run(run: Run, program: str, code: int) -> None:
    done = run("lock", NAME, "--", program)
    assert done.code == code
    assert program in done.err


@pytest.mark.parametrize("value", ["3.1", "3.1s", "0", "-1", "nan", "soon"])
def test_kill_after_is_refused(run: Run, value: str) -> None:
    done = run("lock", NAME, f"--kill-after={value}", "--", "true")
    assert done.code == ExitCode.USAGE
    assert "--kill-after" in done.err


def test_options_of_the_command_are_its_own(start: Start) -> None:
    running = start("lock", NAME, "--kill-after", "2s", "--", "echo", "--wait", "-o", "json", "--", "--help")
    assert running.end() == 0
    assert running.out.items == ["--wait -o json -- --help"]


def test_without_zookeeper(namespace: str) -> None:
    options = ["--hosts", "127.0.0.1:1", "--namespace", namespace, "--timeout", "0.5"]
    with closing(Running([*options, "lock", NAME, "--", "true"])) as running:
        assert running.end() == ExitCode.NOT_CONNECTED


def test_another_holds_it(start: Start, truth: Truth, queue: str) -> None:
    start("lock", NAME, "--", "sh", "-c", DEAF).line("started")
    skipping = start("lock", NAME, "--skip-if-held", "--", "echo", "ran")
    assert skipping.end() == 0
    assert skipping.message("held by another")
    limited = start("lock", NAME, "--wait", "0.3", "--", "echo", "ran")
    assert limited.end() == ExitCode.CONFLICT
    assert limited.message(NAME)
    assert skipping.out.items + limited.out.items == []
    assert len(truth.children(queue)) == 1


def test_a_request_for_a_release_is_told(start: Start, run: Run, truth: Truth, queue: str) -> None:
    running = start("lock", NAME, "--", "sh", "-c", DEAF)
    running.line("started")
    assert run("locks", NAME, "--request-release").code == 0
    assert running.message("somebody asks for the release of the lock 'nightly'")
    assert running.process.poll() is None
    assert len(truth.children(queue)) == 1


def test_what_is_free_is_not_skipped(start: Start) -> None:
    running = start("lock", NAME, "--skip-if-held", "--", "echo", "ran")
    assert running.end() == 0
    assert running.out.items == ["ran"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_while_it_waits(start: Start, truth: Truth, queue: str, number: signal.Signals) -> None:
    holder = start("lock", NAME, "--", "sh", "-c", DEAF)
    holder.line("started")
    waiting = start("lock", NAME, "--", "echo", "ran")
    truth.wait(queue, lambda _: len(truth.children(queue)) == 2)
    begun = time.monotonic()
    assert waiting.end(number) == 128 + number
    assert time.monotonic() - begun < 10.0  # the lock stays held for longer
    assert len(truth.children(queue)) == 1
    assert waiting.out.items == []


def test_a_signal_while_it_waits_and_zookeeper_is_silent(
    start: Start, truth: Truth, namespace: str, queue: str, zkdiscovery_server: ZookeeperServer
) -> None:
    start("lock", NAME, "--", "sh", "-c", DEAF).line("started")
    with ExitStack() as stack:
        proxy = stack.enter_context(FaultProxy(zkdiscovery_server.hosts))
        command = ["--hosts", proxy.address, "--namespace", namespace, "lock", NAME, "--", "echo", "ran"]
        waiting = stack.enter_context(closing(Running(command)))
        truth.wait(queue, lambda _: len(truth.children(queue)) == 2)
        proxy.pause()
        begun = time.monotonic()
        assert waiting.end(signal.SIGTERM) == 143
        assert time.monotonic() - begun < 8.0, "less than a session takes to expire"


def test_signals_go_to_the_command(start: Start, truth: Truth, queue: str) -> None:
    running = start(
        "lock", NAME, "--", "sh", "-c", "trap 'echo told; exit 4' TERM; echo started; while :; do sleep 0.05; done"
    )
    running.line("started")
    assert running.end(signal.SIGTERM) == 4
    assert running.out.items == ["started", "told"]
    assert truth.children(queue) == []


def test_the_lock_is_lost(
    truth: Truth, namespace: str, queue: str, zkdiscovery_server: ZookeeperServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command gets SIGTERM, then SIGKILL `--kill-after` seconds later, before the session's end."""
    monkeypatch.setenv("ZKDISCOVERY_SESSION_TIMEOUT", "4")
    script = "trap 'echo told' TERM; echo started; while :; do sleep 0.02; done"
    with ExitStack() as stack:
        proxy = stack.enter_context(FaultProxy(zkdiscovery_server.hosts))
        command = ["lock", NAME, "--kill-after", "0.8s", "--", "sh", "-c", script]
        running = Running(["--hosts", proxy.address, "--namespace", namespace, *command])
        stack.enter_context(closing(running))
        running.line("started")
        proxy.blackhole()
        begun = time.monotonic()
        running.line("told")
        told = time.monotonic()
        assert running.end() == ExitCode.LOST
        ended = time.monotonic()
    assert told - begun < 0.9 * 4
    assert 0.5 < ended - told < 0.8 + LIMIT / 2, "closing takes a while where ZooKeeper is silent"
    assert running.message("about to be lost")


def test_the_node_is_deleted(start: Start, truth: Truth, queue: str) -> None:
    running = start("lock", NAME, "--", "sh", "-c", DEAF)
    running.line("started")
    (node,) = truth.children(queue)
    truth.delete(f"{queue}/{node}")
    assert running.end() == ExitCode.LOST
    assert running.message("deleted from outside")


def test_two_at_once_run_one_after_the_other(start: Start, tmp_path: Path) -> None:
    script = f"echo start >> {tmp_path}/log; sleep 0.2; echo end >> {tmp_path}/log"
    running = [start("lock", NAME, "--", "sh", "-c", script) for _ in range(3)]
    assert [one.end() for one in running] == [0, 0, 0]
    assert (tmp_path / "log").read_text().split() == ["start", "end"] * 3


def test_nohup(options: list[str], tmp_path: Path) -> None:
    """SIGHUP stays ignored."""
    command = [
        sys.executable,
        "-m",
        "zkdiscovery",
        *options,
        "lock",
        NAME,
        "--",
        "sh",
        "-c",
        "kill -HUP $PPID $$; exit 5",
    ]
    done = subprocess.run(["nohup", *command], cwd=ROOT, capture_output=True, timeout=LIMIT, check=False)
    assert done.returncode == 5, done.stderr
