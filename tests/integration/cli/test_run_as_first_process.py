"""run as the first process of a PID namespace, and of a real container."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.cli.conftest import First, expect_orphans_reaped
from tests.support import Truth, wait_until

NAME = "payments"
LOOP = "trap 'echo told; exit 4' TERM; echo > {started}; while :; do sleep 0.05; done"


@pytest.fixture
def first(start_first: Callable[..., First]) -> Callable[[str], First]:
    """Runs a shell script below `run`, which is the first process."""
    options = ("--port", "8080", "--host", "127.0.0.1", "--id", "a", "--drain-delay", "0.2")
    return lambda script: start_first("run", NAME, *options, "--", "sh", "-c", script)


@pytest.fixture
def service(namespace: str) -> str:
    """The path of the service."""
    return f"{namespace}/services/{NAME}"


@pytest.mark.parametrize(("script", "code"), [("exit 3", 3), ("kill -KILL $$", 137)])
def test_exit_codes(first: Callable[[str], First], truth: Truth, service: str, script: str, code: int) -> None:
    with first(script) as process:
        assert process.wait() == code
    assert truth.children(service) == []


def test_sigterm_deregisters_and_goes_to_the_command(
    first: Callable[[str], First], truth: Truth, service: str, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    with first(LOOP.format(started=started)) as process:
        truth.wait(f"{service}/a", lambda node: node is not None)
        wait_until(started.exists)  # the shell hears of the signal
        process.signal(signal.SIGTERM)
        assert process.wait() == 4
        assert "told" in process.output
    assert truth.children(service) == []


def test_orphans_are_reaped(first: Callable[[str], First], tmp_path: Path) -> None:
    """Those of the command, and those of whoever enters the container."""
    started = tmp_path / "started"
    with first(f"(sleep 0.1 &); {LOOP.format(started=started)}") as process:
        wait_until(started.exists)
        expect_orphans_reaped(process)
