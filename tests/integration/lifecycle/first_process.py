"""Python as the first process of a PID namespace, as in a plain container: the kernel drops default actions there."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import pytest

from tests.support import LIMIT

_UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


@functools.cache
def _why_not() -> str:
    try:
        tried = subprocess.run([*_UNSHARE, "true"], capture_output=True, text=True, timeout=LIMIT, check=False)
    except OSError as error:
        return str(error)
    return tried.stderr.strip() if tried.returncode else ""


class FirstProcess:
    """Runs a Python program as process 1; signals come from outside its namespace. Skips the test where it can't."""

    def __init__(self, *command: str, folder: Path, env: dict[str, str] | None = None) -> None:
        if why := _why_not():
            pytest.skip(f"no PID namespace can be made here: {why}")
        self._outer = subprocess.Popen(
            [*_UNSHARE, sys.executable, "-u", *command],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def pid(self) -> int:
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children")
        end = time.monotonic() + LIMIT
        while not (pids := children.read_text().split()):
            assert time.monotonic() < end, "unshare has started nothing"
            time.sleep(0.01)
        return int(pids[0])

    def signal(self, number: int) -> None:
        """Send a signal to process 1."""
        os.kill(self.pid, number)

    def wait(self, timeout: float = LIMIT) -> int:
        """Wait for its end; its exit status, as a container engine reports it."""
        status = self._outer.wait(timeout)
        return status if status >= 0 else 128 - status

    @property
    def output(self) -> str:
        """What it has printed, once it has ended."""
        assert self._outer.stdout is not None
        return self._outer.stdout.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._outer.kill()  # the kernel kills process 1 with it
        self._outer.wait(LIMIT)
        assert self._outer.stdout is not None
        self._outer.stdout.close()
