"""What is wrong on the command line is told at once, before anything is connected."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import zkdiscovery
from zkdiscovery.cli.app import app
from zkdiscovery.cli.exits import ExitCode

COMMANDS = [
    "demo", "dev", "services", "instances", "register", "run", "watch", "balance", "override", "remove", "elections",
    "doctor", "config",
]  # fmt: skip
NOWHERE = ["--hosts", "127.0.0.1:1", "--timeout", "20"]


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ZKDISCOVERY_HOSTS", "ZKDISCOVERY_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")


def test_help_lists_commands_and_exit_codes() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    for command in COMMANDS:
        assert f" {command} " in result.stdout
    for code in ("3 not connected", "4 not found", "130 Ctrl-C", "141 broken pipe"):
        assert code in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert result.stdout.count("Usage:") == 1


@pytest.mark.parametrize("command", ["services", "instances", "register", "watch", "override", "remove", "doctor"])
def test_global_options_stand_in_the_help_of_each_command(command: str) -> None:
    assert "--namespace" in CliRunner().invoke(app, [command, "--help"]).stdout


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"zkdiscovery {zkdiscovery.__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "nonsense"),
        (["service"], "services"),
        (["instances"], "NAME"),
        (["instances", "a/b"], "must not contain '/'"),
        (["instances", "a\x1b[31m"], "must not contain"),
        (["watch", ".."], "must not be empty"),
        (["remove", "payments"], "ID"),
        (["remove", "payments", ""], "the instance id"),
        (["services", "-o", "yaml"], "'-o': 'yaml' is not one of 'table', 'json'"),
        (["services", "--timeout", "0"], "more than 0"),
        (["services", "--timeout", "nan"], "more than 0"),
        (["services", "--timeout", "soon"], "--timeout"),
        (["services", "--hosts", "localhost:port"], "hosts"),
        (["services", "--hosts", ""], "hosts"),
        (["services", "--hosts", "zk1:2181,zk2:,zk3"], "'--hosts': 'zk2:': must be 'host:port'"),
        (
            ["--hosts", "zk1,zk2:2181/shop", "services"],
            "'--hosts': 'zk2:2181/shop': must not contain a scheme or a path",
        ),
        (["services", "--hosts", "zk1:2181,alice:secret@:1"], "'--hosts': ':1': must be"),
        (["services", "--namespace", "/a/../b"], "namespace"),
        (["--namespace", "/a/\x07", "services"], "namespace"),
        (["register", "payments"], "--port"),
        (["register", "payments", "--port", "eighty"], "--port"),
        (["register", "payments", "--port", "0"], "port must be"),
        (["register", "payments", "--port", "80", "--meta", "novalue"], "KEY=VALUE"),
        (["register", "payments", "--port", "80", "--meta", "=x"], "KEY=VALUE"),
        (["register", "payments", "--port", "80", "--weight", "-1"], "weight must be"),
        (["register", "payments", "--port", "80", "--weight", "nan"], "weight must be"),
        (["register", "payments", "--port", "80", "--host", "0.0.0.0"], "listen on"),
        (["register", "payments", "--port", "80", "--id", "a/b"], "must not contain '/'"),
        (["register", "payments", "--port", "80", "--tag", "a,b"], "comma"),
        (["register", "payments", "--port", "80", "--ready", "maybe"], "maybe"),
        (["register", "payments", "--port", "80", "--drain-delay", "-1"], "--drain-delay"),
        (["run", "payments", "--port", "80"], "COMMAND"),
        (["run", "payments", "--", "true"], "--port"),
        (["run", "a/b", "--port", "80", "--", "true"], "must not contain '/'"),
        (["run", "payments", "--port", "0", "--", "true"], "port must be"),
        (["run", "payments", "--port", "70000", "--", "true"], "port must be"),
        (["run", "payments", "--port", "80", "--meta", "novalue", "--", "true"], "KEY=VALUE"),
        (["run", "payments", "--port", "80", "--host", "0.0.0.0", "--", "true"], "listen on"),
        (["run", "payments", "--port", "80", "--kill-after", "soon", "--", "true"], "--kill-after"),
        (["run", "payments", "--port", "80", "--drain-delay", "-1", "--", "true"], "--drain-delay"),
        (["run", "payments", "--port", "80", "--listen-port", "0", "--", "true"], "listen_port must be"),
        (["run", "payments", "--port", "80", "--check", "ping", "--", "true"], "http:/ready"),
        (["run", "payments", "--port", "80", "--check", "http:ready", "--", "true"], "http:/ready"),
        (["run", "payments", "--port", "80", "--check", "command:", "--", "true"], "command"),
        (["run", "payments", "--port", "80", "--check", "command:no-such-program", "--", "true"], "no-such-program"),
        (["run", "payments", "--port", "80", "--check", "tcp:70000", "--", "true"], "port of a check"),
        (["run", "payments", "--port", "80", "--check-timeout", "0", "--", "true"], "--check-timeout"),
        (["run", "payments", "--port", "80", "--check-failures", "0", "--", "true"], "failure_threshold"),
        (["override", "payments", "a"], "--clear"),
        (["override", "payments", "a", "--clear", "--weight", "2"], "--clear"),
        (
            ["override", "payments", "a", "--status", "asleep"],
            "'--status': 'asleep' is not one of STARTING, UP, DOWN, DRAINING, OUT_OF_SERVICE; see",
        ),
    ],
)
def test_bad_usage(arguments: list[str], said: str) -> None:
    options = [] if "--hosts" in arguments or arguments[0] in {"nonsense", "service"} else NOWHERE[:2]
    limit = [] if "--timeout" in arguments else NOWHERE[2:]
    start = time.monotonic()
    result = CliRunner().invoke(app, [*options, *limit, *arguments])
    assert time.monotonic() - start < 10, "it waited for a server"
    assert result.exit_code == ExitCode.USAGE
    assert said in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr
    assert "\x1b[31m" not in result.stderr
    assert result.stdout == ""


def test_bad_usage_names_the_help_of_the_command() -> None:
    said = CliRunner().invoke(app, ["register", "payments"]).stderr
    assert said == "error: missing option '--port'; see `zkdiscovery register --help`\n"


def test_no_arguments_at_all_show_the_help() -> None:
    result = CliRunner().invoke(app, [])
    assert result.exit_code in {0, 2}  # as the version of typer has it
    assert "register" in result.output
    assert "error" not in result.stderr


def test_the_environment_can_be_wrong_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZKDISCOVERY_AUTH__PASSWORD", "hunter2")
    result = CliRunner().invoke(app, ["services"])
    assert result.exit_code == ExitCode.USAGE
    assert "username" in result.stderr
    assert "hunter2" not in result.output


def test_no_server() -> None:
    result = CliRunner().invoke(app, ["services", "--hosts", "127.0.0.1:1", "--timeout", "0.3"])
    assert result.exit_code == ExitCode.NOT_CONNECTED
    assert result.stderr.startswith("error: no connection to ZooKeeper at 127.0.0.1:1 within 0.3 s")
    assert result.stderr.count("\n") == 1


def test_debug_shows_the_traceback() -> None:
    result = CliRunner().invoke(app, ["services", "--hosts", "127.0.0.1:1", "--timeout", "0.3", "--debug"])
    assert result.exit_code == ExitCode.NOT_CONNECTED
    assert "Traceback (most recent call last)" in result.stderr


def test_options_after_the_command_win() -> None:
    result = CliRunner().invoke(app, ["--timeout", "20", "services", "--hosts", "127.0.0.1:1", "--timeout", "0.2"])
    assert "within 0.2 s" in result.stderr


def test_every_command_option_and_exit_code_is_documented() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "cli.md").read_text()
    command = typer.main.get_command(app)
    for name, sub in command.commands.items():  # type: ignore[attr-defined]
        assert f"`{name}" in page
        for option in (option for param in sub.params if not getattr(param, "hidden", False) for option in param.opts):
            assert not option.startswith("--") or option in page, f"{option} of {name}"
    for option in ("--hosts", "--namespace", "--timeout", "--output", "--debug", "--version"):
        assert option in page
    for code in ExitCode:
        assert f"| {code.value} |" in page
