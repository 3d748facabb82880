"""run: signals at bad moments, checks that never pass, and nobody who reads what it says."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.conftest import MakeClient
from tests.integration.cli.conftest import Running
from tests.integration.cli.test_run_command import DEAF, LOOP, NAME, arguments
from tests.integration.docs.samples import free_port
from tests.support import LIMIT, Truth, wait_view
from zkdiscovery import Status
from zkdiscovery.testing import FaultProxy

Start = Callable[..., Running]


def test_signals_do_not_change_the_exit_code_while_it_ends(start: Start, zkdiscovery_proxy: FaultProxy) -> None:
    """ZooKeeper says nothing, so closing takes a while after the command has ended."""
    running = start("--hosts", zkdiscovery_proxy.address, *arguments(script=LOOP))
    running.line("started")
    running.message("REGISTERED")
    zkdiscovery_proxy.pause()
    while running.process.poll() is None:
        running.process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            running.process.wait(0.1)
    assert running.end() == 4


def test_a_check_that_never_passes(start: Start, make_client: MakeClient, tmp_path: Path) -> None:
    ready, port = tmp_path / "ready", free_port()
    view = make_client().discover(NAME)
    options = ("--check", "command:false", "--check-interval", "0.1", "--check-grace", "1", "--ready-file", str(ready))
    with socket.create_server(("127.0.0.1", port)):
        running = start(*arguments(*options, script=LOOP, port=port))
        running.line("started")
        wait_view(view, lambda snapshot: [i.status for i in snapshot] == [Status.STARTING])
        wait_view(view, lambda snapshot: [i.status for i in snapshot] == [Status.DOWN])
        assert not ready.exists()
        assert running.process.poll() is None
        assert running.end(signal.SIGTERM) == 4
    assert running.out.items == ["started", "told"]
    wait_view(view, lambda snapshot: len(snapshot) == 0)


def test_nobody_reads_what_it_says(options: list[str], truth: Truth, namespace: str) -> None:
    """The command and its exit code are not harmed."""
    path, own = f"{namespace}/services/{NAME}/a", arguments("--drain-delay", "0", "--kill-after", "0.5s", script=DEAF)
    reading, writing = os.pipe()
    os.close(reading)
    try:
        command = [sys.executable, "-m", "zkdiscovery", *options, *own]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=writing, text=True) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == "started\n"
                truth.wait(path, lambda node: node is not None)
                process.send_signal(signal.SIGTERM)
                assert process.wait(LIMIT) == 128 + signal.SIGKILL, "it ignores SIGTERM"
                assert truth.get(path) is None
            finally:
                process.kill()
    finally:
        os.close(writing)
