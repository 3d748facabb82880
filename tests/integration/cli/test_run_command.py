"""run: a command that is registered for as long as it runs."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import MakeClient
from tests.integration.cli.conftest import Done, Running
from tests.integration.docs.samples import free_port
from tests.support import LIMIT, Truth, wait_until, wait_view
from zkdiscovery import Status
from zkdiscovery.cli.exits import ExitCode
from zkdiscovery.testing import FaultProxy

Start = Callable[..., Running]

NAME = "payments"
LOOP = "trap 'echo told; exit 4' TERM; echo started; while :; do sleep 0.05; done"
DEAF = "trap '' TERM; echo started; while :; do sleep 0.05; done"


@pytest.fixture
def service(namespace: str) -> str:
    """The path of the service."""
    return f"{namespace}/services/{NAME}"


def arguments(*options: str, script: str, port: int = 8080) -> list[str]:
    """The arguments that run a shell script as the instance `a`."""
    return ["run", NAME, "--port", str(port), "--host", "127.0.0.1", "--id", "a", *options, "--", "sh", "-c", script]


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -TERM $$", 143)])
def test_exit_codes(start: Start, truth: Truth, service: str, script: str, code: int) -> None:
    assert start(*arguments(script=script)).end() == code
    assert truth.children(service) == []


@pytest.mark.parametrize(("program", "code"), [("no-such-program", 127), ("/etc/passwd", 126), ("/no/such", 127)])
def test_a_program_that_can_t_be_run(run: Callable[..., Done], program: str, code: int) -> None:
    done = run("run", NAME, "--port", "8080", "--", program)
    assert done.code == code
    assert program in done.err


def test_it_is_up_once_its_port_listens(start: Start, make_client: MakeClient) -> None:
    port = free_port()
    view = make_client().discover(NAME)
    running = start(*arguments(script="echo started; while :; do sleep 0.05; done", port=port))
    running.line("started")
    wait_view(view, lambda snapshot: [i.status for i in snapshot] == [Status.STARTING])
    with socket.create_server(("127.0.0.1", port)):
        wait_view(view, lambda snapshot: [i.status for i in snapshot] == [Status.UP])
    running.message(f"{NAME}: a at 127.0.0.1:{port}: REGISTERED, UP")


def test_what_is_registered(start: Start, make_client: MakeClient) -> None:
    script = "echo $ZKDISCOVERY_SERVICE $ZKDISCOVERY_INSTANCE_ID $ZKDISCOVERY_INSTANCE_ADDRESS; sleep 3600"
    options = ("--weight", "3", "--zone", "eu", "--version", "2", "--tag", "x", "--tag", "y", "--meta", "k=v=w")
    running = start("run", NAME, "--port", "8080", *options, "--", "sh", "-c", script)
    running.message("REGISTERED, STARTING")
    (instance,) = make_client().instances(NAME, LIMIT)
    assert (instance.weight, instance.zone, instance.version) == (3.0, "eu", "2")
    assert (instance.tags, instance.metadata) == (("x", "y"), {"k": "v=w"})
    assert running.line(NAME).split() == [NAME, instance.id, instance.netloc]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_stopping_signal_drains_first(start: Start, make_client: MakeClient, number: signal.Signals) -> None:
    view = make_client().discover(NAME)
    script = f"trap 'echo told; exit 4' {number.name.removeprefix('SIG')}; echo started; while :; do sleep 0.05; done"
    running = start(*arguments("--drain-delay", "0.5", script=script))
    running.line("started")
    running.message("REGISTERED")
    wait_view(view, lambda snapshot: len(snapshot) == 1)
    running.process.send_signal(number)
    wait_view(view, lambda snapshot: [i.status for i in snapshot] == [Status.DRAINING])
    assert running.out.items == ["started"]
    wait_view(view, lambda snapshot: len(snapshot) == 0)
    assert running.end() == 4
    assert running.out.items == ["started", "told"]


def test_a_second_signal_reaches_the_command_at_once(start: Start, truth: Truth, service: str) -> None:
    running = start(*arguments("--drain-delay", "3600", script=LOOP))
    running.line("started")
    running.message("REGISTERED")
    running.process.send_signal(signal.SIGTERM)
    running.message("DRAINING")
    assert running.end(signal.SIGTERM) == 4
    assert truth.children(service) == []


def test_other_signals_are_passed_on(start: Start, truth: Truth, service: str) -> None:
    script = "trap 'echo told' HUP USR1; echo started; while :; do sleep 0.05; done"
    running = start(*arguments(script=script))
    running.line("started")
    truth.wait(f"{service}/a", lambda node: node is not None)
    for count, number in enumerate((signal.SIGHUP, signal.SIGUSR1), 1):
        running.process.send_signal(number)
        running.out.wait(lambda lines, count=count: lines.count("told") == count)
    assert truth.children(service) == ["a"]


def test_a_command_that_ends_is_deregistered_while_its_descendants_run(
    start: Start, truth: Truth, service: str
) -> None:
    script = "(trap '' TERM; sleep 3600) & sleep 1; exit 3"
    running = start(*arguments("--drain-delay", "3600", "--kill-after", "2s", script=script))
    truth.wait(f"{service}/a", lambda node: node is not None)
    truth.wait(f"{service}/a", lambda node: node is None)
    gone = time.monotonic()
    assert running.end() == 3
    assert time.monotonic() - gone > 1.0, "the descendant has 2 s to end"


def test_a_deaf_command_is_killed(start: Start) -> None:
    running = start(*arguments("--drain-delay", "0", "--kill-after", "0.5s", script=DEAF))
    running.line("started")
    assert running.end(signal.SIGTERM) == 137
    assert running.message("killed", "0.5 s")


def test_a_killed_command(start: Start, truth: Truth, service: str) -> None:
    running = start(*arguments(script="echo $$; exec sleep 3600"))
    pid = int(running.line(""))
    truth.wait(f"{service}/a", lambda node: node is not None)
    os.kill(pid, signal.SIGKILL)
    assert running.end() == 137
    assert truth.children(service) == []
    assert not [line for line in running.err.items if "killed" in line]


def test_zookeeper_comes_later(start: Start, zkdiscovery_proxy: FaultProxy) -> None:
    zkdiscovery_proxy.refuse()
    running = start("--hosts", zkdiscovery_proxy.address, *arguments(script=LOOP))
    running.line("started")
    zkdiscovery_proxy.heal()
    running.message("REGISTERED, STARTING")


@pytest.mark.parametrize("absence", ["refuse", "pause"])
def test_zookeeper_is_away_at_the_end(start: Start, zkdiscovery_proxy: FaultProxy, absence: str) -> None:
    """Docker kills 10 s after SIGTERM."""
    running = start("--hosts", zkdiscovery_proxy.address, *arguments(script=LOOP))
    running.line("started")
    running.message("REGISTERED")
    getattr(zkdiscovery_proxy, absence)()
    zkdiscovery_proxy.drop()
    begun = time.monotonic()
    assert running.end(signal.SIGTERM) == 4
    assert time.monotonic() - begun < 8.0
    assert running.out.items == ["started", "told"]


def test_the_supervisor_is_killed(start: Start, truth: Truth, service: str) -> None:
    """The command must not serve on while nobody finds it."""
    running = start(*arguments(script=LOOP))
    running.line("started")
    truth.wait(f"{service}/a", lambda node: node is not None)
    assert running.end(signal.SIGKILL) == -signal.SIGKILL
    running.line("told")


def test_another_has_the_id(start: Start, make_client: MakeClient) -> None:
    running = start(*arguments(script=LOOP))
    running.line("started")
    running.message("REGISTERED")
    make_client().register(NAME, 9090, host="127.0.0.1", id="a").wait_registered(LIMIT)
    running.message("warning: ", "CONFLICT")
    assert running.process.poll() is None
    assert running.end(signal.SIGTERM) == 4
    assert [i.port for i in make_client().instances(NAME, LIMIT)] == [9090]


def test_health_is_kept_as_the_status(start: Start, make_client: MakeClient, tmp_path: Path) -> None:
    """The check of a command decides, and the file of --ready-file follows it."""
    port, well, ready = free_port(), tmp_path / "well", tmp_path / "ready"
    view = make_client().discover(NAME)
    options = ("--check", f"command:test -e {well}", "--check-interval", "0.2", "--ready-file", str(ready))
    running = start(*arguments(*options, script=LOOP, port=port))
    running.line("started")
    with socket.create_server(("127.0.0.1", port)):
        wait_view(view, lambda snapshot: [i.status for i in snapshot] == [Status.STARTING])
        well.touch()
        wait_view(view, lambda snapshot: [i.status for i in snapshot] == [Status.UP])
        wait_until(ready.exists)
        well.unlink()
        wait_view(view, lambda snapshot: [i.status for i in snapshot] == [Status.DOWN])
        wait_until(lambda: not ready.exists())
        well.touch()
        wait_view(view, lambda snapshot: [i.status for i in snapshot] == [Status.UP])
        wait_until(ready.exists)


def test_the_ready_file(start: Start, tmp_path: Path, zkdiscovery_proxy: FaultProxy) -> None:
    """It is there from the first registration on, while the command is UP, whatever becomes of ZooKeeper."""
    ready, port = tmp_path / "ready", free_port()
    ready.touch()  # by a process that was killed
    zkdiscovery_proxy.refuse()
    options = arguments("--ready-file", str(ready), "--drain-delay", "0.5", script=LOOP, port=port)
    with socket.create_server(("127.0.0.1", port)):
        running = start("--hosts", zkdiscovery_proxy.address, *options)
        running.line("started")
        running.message("PENDING")
        assert not ready.exists()
        zkdiscovery_proxy.heal()
        running.message("REGISTERED, UP")
        wait_until(ready.exists)
        zkdiscovery_proxy.refuse()
        zkdiscovery_proxy.drop()
        running.message("lost")
        assert ready.exists()
        zkdiscovery_proxy.heal()
        running.message("connected")
        running.process.send_signal(signal.SIGTERM)
        running.message("DRAINING")
        wait_until(lambda: not ready.exists())
        assert running.end() == 4


def test_a_ready_file_that_can_t_be_written(run: Callable[..., Done], tmp_path: Path) -> None:
    done = run("run", NAME, "--port", "80", "--ready-file", str(tmp_path / "no" / "ready"), "--", "true")
    assert done.code == ExitCode.USAGE
    assert "--ready-file" in done.err
