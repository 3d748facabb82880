"""Processes of the operating system that campaign, and what they write to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tests.integration.election.helpers import NAME
from tests.support import LIMIT, Recorder

T = 2.0  # seconds, the session timeout that is asked for


class Process:
    """One that campaigns; see leader_process.py. `environment` comes on top of ours."""

    def __init__(
        self, hosts: str, namespace: str, *mode: str, timeout: float = T, environment: Mapping[str, str] | None = None
    ) -> None:
        program = Path(__file__).with_name("leader_process.py")
        self._process = subprocess.Popen(
            [sys.executable, str(program), hosts, namespace, NAME, str(timeout), *mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), **(environment or {})},
            text=True,
        )
        self.said: Recorder[dict[str, Any]] = Recorder()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said(json.loads(line))

    def wait(self, number: int) -> dict[str, Any]:
        """The line number `number`, from 1 on."""
        return self.said.wait(lambda said: len(said) >= number)[number - 1]

    def tell(self) -> None:
        """Send it a line."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def finish(self) -> None:
        """Wait until it has ended by itself."""
        assert self._process.wait(LIMIT) == 0
        self._reader.join(LIMIT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.wait(LIMIT)
        self._reader.join(LIMIT)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()


class FencedStore:
    """What a leader writes to: refuses a fence smaller than the largest that it has seen."""

    def __init__(self) -> None:
        self.fence = 0
        self.values: list[str] = []

    def write(self, fence: int, value: str) -> bool:
        """Whether it was taken."""
        if fence < self.fence:
            return False
        self.fence = fence
        self.values.append(value)
        return True
