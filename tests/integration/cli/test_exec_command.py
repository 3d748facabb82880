"""exec: a command whose environment is a configuration."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import MakeClient
from tests.integration.cli.conftest import Done, Running
from tests.support import LIMIT, wait_until
from zkdiscovery import ConfigStore, Encrypted, Keyring
from zkdiscovery.cli.exits import ExitCode
from zkdiscovery.testing import FaultProxy

Start = Callable[..., Running]

SHOW = "echo bank $BANK_TIMEOUT; while :; do sleep 0.05; done"
POLITE = f"trap 'echo told $BANK_TIMEOUT; exit 4' TERM; {SHOW}"
DEAF = f"trap '' TERM; {SHOW}"


def arguments(*options: str, script: str) -> list[str]:
    """The arguments that run a shell script with the document `shop`, on a machine that may be slow."""
    return ["exec", "--config", "shop", "--timeout", str(LIMIT), *options, "--", "sh", "-c", script]


@pytest.fixture
def store(make_client: MakeClient) -> ConfigStore:
    """The document `shop`, with one revision."""
    store = make_client().config_store("shop")
    store.replace({"bank": {"timeout": 1}}, "first")
    return store


def timeout(store: ConfigStore, seconds: int) -> None:
    store.replace({"bank": {"timeout": seconds}}, "another timeout")


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -TERM $$", 143)])
def test_exit_codes(start: Start, store: ConfigStore, script: str, code: int) -> None:
    assert start(*arguments(script=script)).end() == code


@pytest.mark.parametrize(("program", "code"), [("no-such-program", 127), ("/etc/passwd", 126)])
def test_a_program_that_can_t_be_run(run: Callable[..., Done], program: str, code: int) -> None:
    done = run("exec", "--config", "shop", "--", program)
    assert done.code == code
    assert program in done.err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((), "--config"),
        (("--config", "a/b"), "the name of a document"),
        (("--config", "shop", "--signal", "KILL"), "must be the name of a signal"),
        (("--config", "shop", "--signal", "9"), "must be the name of a signal"),
        (("--config", "shop", "--prefix", "1-"), "must be the beginning of a variable's name"),
        (("--config", "shop", "--layer", "{zone}"), "the client has no zone"),
    ],
)
def test_options_that_can_t_be_used(run: Callable[..., Done], given: tuple[str, ...], said: str) -> None:
    done = run("exec", *given, "--", "true")
    assert done.code == ExitCode.USAGE
    assert said in done.err


def test_nothing_is_started_without_a_document(start: Start) -> None:
    running = start(*arguments(script="echo started"))
    assert running.end() == ExitCode.NOT_FOUND
    assert running.message("there is no document 'shop'")
    assert running.out.items == []


def test_nothing_is_started_without_zookeeper(start: Start, zkdiscovery_proxy: FaultProxy) -> None:
    zkdiscovery_proxy.refuse()
    running = start("--hosts", zkdiscovery_proxy.address, *arguments("--timeout", "1", script="echo started"))
    assert running.end() == ExitCode.NOT_CONNECTED
    assert running.out.items == []


def test_layers_and_the_environment(
    start: Start, make_client: MakeClient, store: ConfigStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The document wins over what the environment has already."""
    make_client().config_store("base").replace({"bank": {"url": "https://bank", "timeout": 9}, "pool": None}, "first")
    monkeypatch.setenv("APP_BANK_TIMEOUT", "outside")
    monkeypatch.setenv("APP_POOL", "outside")
    options = ("--layer", "base", "--layer", "shop", "--prefix", "APP_")
    running = start(*arguments(*options, script="echo $APP_BANK_URL $APP_BANK_TIMEOUT $APP_POOL"))
    assert running.end() == 0
    assert running.out.items == ["https://bank 1 outside"]


def test_it_is_restarted_with_a_change(start: Start, store: ConfigStore) -> None:
    running = start(*arguments(script=POLITE))
    running.line("bank 1")
    timeout(store, 2)
    running.message("shop 2: BANK_TIMEOUT changed; restarting sh")
    running.line("bank 2")
    timeout(store, 3)
    running.line("bank 3")
    assert running.end(signal.SIGTERM) == 4
    assert running.out.items == ["bank 1", "told 1", "bank 2", "told 2", "bank 3", "told 3"]
    assert not [line for line in running.err.items if "warning" in line]


def test_changes_during_a_restart_need_no_other(start: Start, store: ConfigStore, tmp_path: Path) -> None:
    """The next one starts after the end of the former, with the newest variables."""
    over = tmp_path / "over"
    wait = f"trap 'echo told; while [ ! -e {over} ]; do sleep 0.02; done; exit 0' TERM"
    running = start(*arguments(script=f"{wait}; {SHOW}"))
    running.line("bank 1")
    timeout(store, 2)
    running.line("told")
    timeout(store, 3)
    wait_until(lambda: [reader.revision for reader in store.readers()] == [3])
    over.touch()
    running.line("bank 3")
    assert running.out.items == ["bank 1", "told", "bank 3"]


def test_a_change_of_no_variable_disturbs_nobody(start: Start, store: ConfigStore) -> None:
    running = start(*arguments(script=POLITE))
    running.line("bank 1")
    store.replace({"bank": {"timeout": 1, "url": None}}, "nothing")
    wait_until(lambda: [reader.revision for reader in store.readers()] == [2])
    timeout(store, 3)
    running.line("bank 3")
    assert running.out.items == ["bank 1", "told 1", "bank 3"]


def test_a_revision_that_is_no_environment(start: Start, store: ConfigStore) -> None:
    running = start(*arguments(script=POLITE))
    running.line("bank 1")
    store.replace({"bank": {"timeout": 2}, "bank-timeout": "hidden"}, "bad")
    reason = "'bank.timeout' and 'bank-timeout' are the same variable, BANK_TIMEOUT"
    running.message("warning", "keeps its value", reason)
    wait_until(lambda: reason in str([reader.reason for reader in store.readers()]))
    timeout(store, 3)
    running.line("bank 3")
    assert running.out.items == ["bank 1", "told 1", "bank 3"]
    assert "hidden" not in str([*running.err.items, store.readers()])


def test_a_deaf_command_is_killed_before_the_next_one(start: Start, store: ConfigStore) -> None:
    running = start(*arguments("--kill-after", "0.3s", script=DEAF))
    running.line("bank 1")
    timeout(store, 2)
    running.line("bank 2")
    running.message("warning", "killed", "0.3 s")
    assert running.end(signal.SIGTERM) == 137


def test_a_signal_in_place_of_a_restart(start: Start, store: ConfigStore) -> None:
    running = start(*arguments("--signal", "HUP", script=f"trap 'echo reload $$' HUP; echo $$; {SHOW}"))
    running.line("bank 1")
    for count in (1, 2):
        timeout(store, 1 + count)
        running.out.wait(lambda lines, count=count: len([line for line in lines if "reload" in line]) == count)
    running.message("shop 2: BANK_TIMEOUT changed; sending SIGHUP to sh")
    pid = running.out.items[0]
    assert running.out.items == [pid, "bank 1", f"reload {pid}", f"reload {pid}"]
    assert running.end(signal.SIGTERM) == 143


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_command_that_a_signal_ends_is_not_restarted(
    start: Start, store: ConfigStore, tmp_path: Path, number: signal.Signals
) -> None:
    """Neither by a change that comes while it ends."""
    over, name = tmp_path / "over", number.name.removeprefix("SIG")
    wait = f"trap 'echo told; while [ ! -e {over} ]; do sleep 0.02; done; exit 4' {name}"
    running = start(*arguments(script=f"{wait}; {SHOW}"))
    running.line("bank 1")
    running.process.send_signal(number)
    running.line("told")
    timeout(store, 2)
    wait_until(lambda: [reader.revision for reader in store.readers()] == [2])
    over.touch()
    assert running.end() == 4
    assert running.out.items == ["bank 1", "told"]


def test_a_signal_during_a_restart_ends_it(start: Start, store: ConfigStore, tmp_path: Path) -> None:
    over = tmp_path / "over"
    wait = f"trap 'echo told; while [ ! -e {over} ]; do sleep 0.02; done; exit 4' TERM"
    running = start(*arguments(script=f"{wait}; trap 'echo ended' INT; {SHOW}"))
    running.line("bank 1")
    timeout(store, 2)
    running.line("told")
    running.process.send_signal(signal.SIGINT)
    running.line("ended")
    over.touch()
    assert running.end() == 4
    assert running.out.items == ["bank 1", "told", "ended"]


def test_other_signals_are_passed_on(start: Start, store: ConfigStore) -> None:
    running = start(*arguments(script=f"trap 'echo hup' HUP; {SHOW}"))
    running.line("bank 1")
    running.process.send_signal(signal.SIGHUP)
    running.line("hup")


def test_the_supervisor_is_killed(start: Start, store: ConfigStore) -> None:
    running = start(*arguments(script=POLITE))
    running.line("bank 1")
    assert running.end(signal.SIGKILL) == -signal.SIGKILL
    running.line("told 1")


def test_encrypted_values(
    start: Start, make_client: MakeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command sees them, and not the key; nobody else sees them."""
    text, fallback = Keyring.new_key("2026"), tmp_path / "shop.json"
    keyed = make_client().config_store("shop", keys=Keyring.parse(text))
    keyed.replace({"password": Encrypted("open-sesame")}, "secret")
    running = start(*arguments(script="echo started"))
    assert running.end() == ExitCode.USAGE
    assert running.message("'password' of", "is encrypted with the key '2026'")
    monkeypatch.setenv("ZKDISCOVERY_CONFIG_KEYS", text)
    script = "echo password $PASSWORD, keys $ZKDISCOVERY_CONFIG_KEYS; while :; do sleep 0.05; done"
    running = start("--debug", *arguments("--fallback", str(fallback), script=script))
    running.line("password open-sesame, keys")
    keyed.replace({"password": Encrypted("open-barley")}, "another secret")
    running.line("password open-barley, keys")
    assert running.end(signal.SIGTERM) == 143
    assert running.out.items == ["password open-sesame, keys", "password open-barley, keys"]
    assert "open-" not in "".join(running.err.items) + fallback.read_text()


def test_a_start_without_zookeeper(
    start: Start, store: ConfigStore, zkdiscovery_proxy: FaultProxy, tmp_path: Path
) -> None:
    """It starts from the file, runs on through outages, and follows once ZooKeeper is there."""
    fallback = tmp_path / "shop.json"
    options = ("--fallback", str(fallback))
    assert start(*arguments(*options, script="exit 0")).end() == 0
    zkdiscovery_proxy.refuse()
    running = start("--hosts", zkdiscovery_proxy.address, *arguments(*options, script=POLITE))
    running.line("bank 1")
    running.message("warning", "starting from the fallback file, with shop 1")
    timeout(store, 2)
    zkdiscovery_proxy.heal()
    running.line("bank 2")
    zkdiscovery_proxy.refuse()
    zkdiscovery_proxy.drop()
    running.message("lost")
    assert running.end(signal.SIGTERM) == 4


def test_a_program_that_is_gone_at_a_restart(start: Start, store: ConfigStore, tmp_path: Path) -> None:
    program = tmp_path / "app"
    program.write_text(f"#!/bin/sh\n{POLITE}\n")
    program.chmod(0o755)
    running = start("exec", "--config", "shop", "--", str(program))
    running.line("bank 1")
    program.unlink()
    timeout(store, 2)
    assert running.end() == 127
    assert running.message("error", "no such program")


def test_what_it_has_started_is_gone_before_the_next_one(start: Start, store: ConfigStore) -> None:
    running = start(*arguments("--kill-after", "0.3s", script=f"(trap '' TERM; exec sleep 3600) & echo $!; {SHOW}"))
    running.line("bank 1")
    pid = int(running.out.items[0])
    timeout(store, 2)
    running.line("bank 2")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
