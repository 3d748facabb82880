"""Programs that run as processes of the operating system, and say in lines of JSON what happens to them."""

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

from tests.support import LIMIT, Recorder

ROOT = Path(__file__).parents[1]


class TalkingProcess:
    """A Python program in a `with` block; it is killed at the end.

    Args:
        arguments: of the interpreter: the program, and what it is given.
        environment: comes on top of ours.
        stderr: as of `subprocess.Popen`; None: ours.

    Attributes:
        said: what it has printed, an object for each line.
    """

    limit = LIMIT  # seconds that its end may take

    def __init__(
        self, *arguments: str, environment: Mapping[str, str] | None = None, stderr: int | None = None
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
            text=True,
        )
        self.pid = self._process.pid
        self.said: Recorder[dict[str, Any]] = Recorder()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said(json.loads(line))

    def tell(self, line: str = "") -> None:
        """Send it a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def finish(self) -> None:
        """Wait until it has ended by itself."""
        assert self._process.wait(self.limit) == 0
        self._reader.join(self.limit)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.wait(self.limit)
        self._reader.join(self.limit)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
