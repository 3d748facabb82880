"""lock as the first process of a PID namespace, and of a real container."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.cli.conftest import First, expect_orphans_reaped
from tests.support import Truth, wait_until

NAME = "nightly"
LOOP = "trap 'echo told; exit 4' TERM; while :; do sleep 0.05; done"


@pytest.fixture
def queue(namespace: str) -> str:
    """Where those who hold the lock or wait for it stand."""
    return f"{namespace}/locks/{NAME}"


@pytest.fixture
def first(start_first: Callable[..., First]) -> Callable[[str], First]:
    """Runs a shell script below `lock`, which is the first process."""
    return lambda script: start_first("lock", NAME, "--", "sh", "-c", script)


@pytest.mark.parametrize(("script", "code"), [("exit 3", 3), ("kill -KILL $$", 137)])
def test_exit_codes(first: Callable[[str], First], script: str, code: int) -> None:
    with first(script) as process:
        assert process.wait() == code


def test_sigterm_goes_to_the_command(first: Callable[[str], First], truth: Truth, queue: str, tmp_path: Path) -> None:
    started = tmp_path / "started"
    with first(f"echo > {started}; {LOOP}") as process:
        wait_until(started.exists)
        process.signal(signal.SIGTERM)
        assert process.wait() == 4
        assert process.output.endswith("told\n")
    assert truth.children(queue) == []


def test_sigterm_while_it_waits(first: Callable[[str], First], truth: Truth, queue: str, tmp_path: Path) -> None:
    started = tmp_path / "started"
    with first(f"echo > {started}; {LOOP}"):
        wait_until(started.exists)
        with first("echo ran") as waiting:
            truth.wait(queue, lambda _: len(truth.children(queue)) == 2)
            waiting.signal(signal.SIGTERM)
            assert waiting.wait() == 143
            assert waiting.output == ""
            assert len(truth.children(queue)) == 1


def test_orphans_are_reaped(first: Callable[[str], First], truth: Truth, queue: str, tmp_path: Path) -> None:
    """Those of the command, and those of whoever enters the container."""
    started = tmp_path / "started"
    with first(f"(sleep 0.1 &); echo > {started}; {LOOP}") as process:
        wait_until(started.exists)
        expect_orphans_reaped(process)
