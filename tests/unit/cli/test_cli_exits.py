"""Exit codes, and what ends a command otherwise."""

from __future__ import annotations

import io
import os
import signal
import sys

import pytest
import typer

from zkdiscovery import errors
from zkdiscovery.cli.context import Cli
from zkdiscovery.cli.exits import ExitCode, Terminated, code_for, reported, terminate_in_order


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.ZkDiscoveryError, 1),
        (errors.QuotaExceeded, 1),
        (errors.UndecodableNode, 1),
        (errors.InvalidName, 2),
        (errors.InvalidInstance, 2),
        (errors.InvalidSettings, 2),
        (errors.NotConnected, 3),
        (errors.OperationTimeout, 3),
        (errors.SessionExpired, 3),
        (errors.UnsupportedServer, 3),
        (errors.NoServerForTests, 3),
        (errors.NodeMissing, 4),
        (errors.AuthenticationFailed, 5),
        (errors.AccessDenied, 5),
        (errors.RegistrationConflict, 6),
    ],
)
def test_the_code_of_each_error(kind: type[errors.ZkDiscoveryError], code: int) -> None:
    assert code_for(kind("what was tried")) == code


def _exit_code(error: BaseException, *, debug: bool = False) -> int:
    with pytest.raises(typer.Exit) as end, reported(Cli(debug=debug)):
        raise error
    return end.value.exit_code


def test_an_error_is_one_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert _exit_code(errors.AccessDenied("no [bold]right[/bold] to \x1b[2J/x")) == ExitCode.REFUSED
    assert capsys.readouterr() == ("", "error: no [bold]right[/bold] to \\x1b[2J/x\n")


def test_a_long_error_is_not_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    _exit_code(errors.AccessDenied("word " * 100))
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Terminated(signal.SIGTERM), Terminated(signal.SIGHUP)])
def test_signals_say_nothing(error: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    number = getattr(error, "number", signal.SIGINT)
    assert _exit_code(error) == 128 + number
    assert capsys.readouterr() == ("", "")


def test_a_reader_that_went_away(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with io.TextIOWrapper(os.fdopen(writer, "wb", buffering=0), write_through=True) as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        with pytest.raises(typer.Exit) as end, reported(Cli()):
            stdout.write("x")
        stdout.write("what the interpreter flushes at its end goes nowhere")
    assert end.value.exit_code == 128 + signal.SIGPIPE


def test_defects_are_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), reported(Cli()):
        raise ZeroDivisionError


def test_sigterm_ends_in_order_and_an_ignored_hangup_stays_ignored() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGHUP)
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        terminate_in_order()
        with pytest.raises(Terminated) as end:
            signal.raise_signal(signal.SIGTERM)
        assert end.value.number == signal.SIGTERM
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before[0])
        signal.signal(signal.SIGHUP, before[1])
