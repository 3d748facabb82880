"""CommandCheck: what the end of a command means."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support import LIMIT
from zkdiscovery import CheckResult, CommandCheck, InvalidInstance
from zkdiscovery.registration.checks import Outcome, Target

PASS, FAIL, UNKNOWN = CheckResult.PASS, CheckResult.FAIL, CheckResult.UNKNOWN
TARGET = Target("web.example", ["127.0.0.1"], 8080)


def run(script: str, timeout: float = LIMIT) -> Outcome:
    return CommandCheck(["sh", "-c", script], timeout=timeout).probe().run(TARGET)


@pytest.mark.parametrize(
    ("script", "outcome"),
    [
        ("exit 0", (PASS, "exit status 0")),
        ("echo fine", (PASS, "exit status 0: fine")),
        ("echo no database; exit 2", (FAIL, "exit status 2: no database")),
        ("kill -9 $$", (FAIL, "ended by signal 9")),
        ("printf 'a\\nb\\377'; exit 1", (FAIL, "exit status 1: a b\ufffd")),
    ],
)
def test_what_its_end_means(script: str, outcome: tuple[CheckResult, str]) -> None:
    assert run(script) == outcome


def test_one_that_takes_too_long_fails() -> None:
    assert run("echo slow; sleep 600", 0.5) == (FAIL, "not done within 0.5 s, and killed: slow")


def test_one_that_can_not_run_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> tuple[int, int]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    probe = CommandCheck(["true"]).probe()
    monkeypatch.setattr(os, "pipe", refuse)
    assert probe.run(TARGET) == (UNKNOWN, "the check could not run: Too many open files")


def test_a_program_that_goes_later_says_nothing(tmp_path: Path) -> None:
    program = tmp_path / "check"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    probe = CommandCheck([str(program)]).probe()
    assert probe.run(TARGET).result is PASS
    program.unlink()
    assert probe.run(TARGET) == (UNKNOWN, "the check could not run: No such file or directory")


@pytest.mark.parametrize("program", ["/no/such/program", "no-such-program", "/etc/passwd"])
def test_a_program_that_was_never_there_is_a_mistake(program: str) -> None:
    with pytest.raises(InvalidInstance, match=f"there is no program '{program}' here"):
        CommandCheck([program]).probe()


@pytest.mark.parametrize("argv", ["true", [], [""], ["a\0b"], [1], None])
def test_what_is_no_command_is_refused(argv: Any) -> None:
    with pytest.raises(InvalidInstance, match="the command of a check must be"):
        CommandCheck(argv)
