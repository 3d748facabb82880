"""The demo as people start it: to its end, interrupted, killed, without a ZooKeeper, and on a terminal."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.support import LIMIT, Recorder, Truth
from zkdiscovery.testing import ZookeeperServer

pytestmark = pytest.mark.server

DEMO = [sys.executable, "-m", "zkdiscovery.demo"]
ON_A_TERMINAL = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
CONTROL_CHARACTERS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


class Run:
    """A demo that runs, what it has printed so far, and the processes that it has started."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: Recorder[str] = Recorder()
        self.children: set[psutil.Process] = set()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if "listens on" in line or "leads" in line:
                with suppress(psutil.NoSuchProcess):  # ended since
                    self.children.update(psutil.Process(self.process.pid).children(recursive=True))
            self.lines(line)

    def wait_line(self, pattern: str, timeout: float = LIMIT) -> None:
        self.lines.wait(lambda lines: any(re.search(pattern, line) for line in lines), timeout)

    def wait_end(self, timeout: float) -> int:
        """The exit status, after all output was read."""
        status = self.process.wait(timeout)
        self._reader.join(LIMIT)
        return status

    @property
    def output(self) -> str:
        return "".join(self.lines.items)

    def left(self) -> list[psutil.Process]:
        """Processes that are still there although the demo has ended."""
        return psutil.wait_procs(self.children, timeout=LIMIT)[1]


@contextmanager
def run(command: list[str], **environment: str) -> Iterator[Run]:
    with subprocess.Popen(
        command,
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    ) as process:
        started = Run(process)
        try:
            yield started
        finally:
            process.kill()
            started._reader.join(LIMIT)  # before its pipe is closed


@pytest.mark.container
@pytest.mark.timeout(100)
def test_plays_to_its_end_and_all_is_as_expected(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    source = request.config.getoption("--zkdiscovery-source")
    # What the environment says of a client is for production: the demo must not look at it.
    settings = {"ZKDISCOVERY_HOSTS": "127.0.0.1:1", "ZKDISCOVERY_NAMESPACE": "no good", "ZKDISCOVERY_TLS": "no json"}
    with run([*DEMO, "--source", source], TMPDIR=str(tmp_path), **settings) as demo:
        status = demo.wait_end(90)
        assert status == 0, demo.output
        assert demo.left() == []
    assert list(tmp_path.iterdir()) == []
    assert not CONTROL_CHARACTERS.search(demo.output)
    summary = demo.output.partition("What was measured\n")[2]
    held = re.findall(r"^  ✓ (\w+): ", summary, re.MULTILINE)
    assert "✗" not in summary
    assert list(dict.fromkeys(held)) == ["start", "add", "lock", "shards", "stop", "kill", "cut"]
    assert f"All {len(held)} measurements are as expected." in summary
    nodes = set(re.findall(r"(node-\d) listens on", demo.output))
    assert nodes == {"node-1", "node-2", "node-3", "node-4", "node-5"}
    assert len(demo.children) >= len(nodes)
    lost = re.findall(r"log.*: lost contact.*", demo.output)
    assert len(lost) == 1, "one is cut, and nobody else loses a connection"
    assert lost[0] in demo.output.partition("cut: nothing passes")[2]


def test_an_interrupt_ends_all_of_it(zkdiscovery_server: ZookeeperServer, truth: Truth) -> None:
    before = truth.children("/")
    with run(DEMO, ZKDISCOVERY_TEST_HOSTS=zkdiscovery_server.hosts) as demo:
        demo.wait_line("leads, fence")
        demo.process.send_signal(signal.SIGINT)
        assert demo.wait_end(LIMIT) == 130
        assert demo.left() == []
    assert "interrupted" in demo.output
    assert "Traceback" not in demo.output
    assert set(truth.children("/")) <= set(before)


def test_no_process_outlives_a_killed_demo(zkdiscovery_server: ZookeeperServer) -> None:
    with run(DEMO, ZKDISCOVERY_TEST_HOSTS=zkdiscovery_server.hosts) as demo:
        demo.wait_line("leads, fence")
        assert len(demo.children) >= 3
        demo.process.kill()
        assert demo.wait_end(LIMIT) == -signal.SIGKILL
        assert demo.left() == []


def test_without_a_zookeeper_it_says_so() -> None:
    with run([*DEMO, "--source", "hosts"], ZKDISCOVERY_TEST_HOSTS="") as demo:
        assert demo.wait_end(LIMIT) == 3
    assert "ZKDISCOVERY_TEST_HOSTS must be host:port" in demo.output
    assert "Traceback" not in demo.output


def test_its_zookeeper_has_the_version_that_tests_ask_for() -> None:
    with run([*DEMO, "--source", "local"], ZKDISCOVERY_ZOOKEEPER_VERSION="3.5.999") as demo:
        assert demo.wait_end(LIMIT) == 3
    assert "3.5.999" in demo.output


def test_on_a_terminal_the_board_is_drawn_until_ctrl_c(zkdiscovery_server: ZookeeperServer) -> None:
    hosts = zkdiscovery_server.hosts
    command = [sys.executable, "-c", ON_A_TERMINAL, *DEMO]
    with run(command, ZKDISCOVERY_TEST_HOSTS=hosts, TERM="xterm-256color", COLUMNS="100") as demo:
        demo.wait_line("s left, fence")
        assert demo.process.stdin is not None
        demo.process.stdin.write("\x03")
        demo.process.stdin.flush()
        assert demo.wait_end(LIMIT) == 130
        assert demo.left() == []
    hide_cursor, show_cursor = "\x1b[?25l", "\x1b[?25h"
    assert 0 <= demo.output.find(hide_cursor) < demo.output.rfind(show_cursor)
    assert "client: CONNECTED, cache fresh" in demo.output
    assert "interrupted" in demo.output
    assert "Traceback" not in demo.output
