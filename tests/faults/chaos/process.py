"""The worker processes, as the controller holds them: each behind fault proxies of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from tests.faults.chaos.history import History, now
from zkdiscovery.testing import FaultProxy

ROOT = Path(__file__).parents[3]
LEAVE = 12.0  # seconds for an orderly end, without those in which it is stopped: closing has 5 s, on a busy machine
LOOK = 0.5  # seconds between two looks whether it is stopped


class WorkerProcess:
    """One client process over its lives. Each method may be called from any thread.

    Args:
        name: such as `w3`.
        members: `host:port` of the ensemble's members.
        config: what worker.py needs, but for what is known here.
        history: the controller's.
    """

    def __init__(self, name: str, members: list[str], config: dict[str, Any], history: History) -> None:
        self.name = name
        self.life = 0
        self.proxies = [FaultProxy(member) for member in members]
        self._config = config
        self._history = history
        self._lock = threading.RLock()
        self._process: subprocess.Popen[str] | None = None
        self._stopped_at: float | None = None
        self._stderr = Path(config["directory"]) / f"{name}.log"

    @property
    def who(self) -> str:
        """Name and life."""
        return f"{self.name}.{self.life}"

    @property
    def alive(self) -> bool:
        """Whether it runs, or is stopped."""
        process = self._process
        return process is not None and process.poll() is None

    def start(self, *, round: int, quiet: bool) -> None:
        """Begin a life."""
        with self._lock:
            self._hang_up()
            self.life += 1
            config = {
                **self._config,
                "name": self.name,
                "life": self.life,
                "hosts": ",".join(proxy.address for proxy in self.proxies),
                "round": round,
                "quiet": quiet,
            }
            with self._stderr.open("a") as stderr:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "tests.faults.chaos.worker", json.dumps(config)],
                    stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=stderr, cwd=ROOT, text=True,
                )  # fmt: skip

    def tell(self, do: str, **more: Any) -> None:
        """Send an order; one that is gone is told nothing."""
        with self._lock, contextlib.suppress(OSError, ValueError):
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.write(json.dumps({"do": do, **more}) + "\n")
                self._process.stdin.flush()

    def stop(self) -> None:
        """SIGSTOP."""
        with self._lock:
            if self.alive and self._stopped_at is None:
                self._stopped_at = now()
                self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        with self._lock:
            if self._stopped_at is not None:
                self._signal(signal.SIGCONT)
                self._history.write("stopped", whom=self.who, begin=self._stopped_at, end=now())
                self._stopped_at = None

    def kill(self) -> None:
        """SIGKILL."""
        with self._lock:
            self._signal(signal.SIGKILL)
            if self._process is not None:
                self._process.wait()

    def leave(self) -> bool:
        """End in order; killed if it takes too long, which is False."""
        self.tell("leave")
        process = self._process
        if process is None:
            return True
        left = LEAVE
        while left > 0:
            begin = now()
            try:
                process.wait(LOOK)
            except subprocess.TimeoutExpired:
                if self._stopped_at is None:  # a fault of the ensemble may stop it as well
                    left -= now() - begin
            else:
                return True
        self.kill()
        return False

    def heal(self) -> None:
        """All its links work, and it runs on."""
        for proxy in self.proxies:
            proxy.heal()
        self.resume()

    def close(self) -> None:
        """End it and its proxies."""
        self.resume()
        self.kill()
        self._hang_up()
        for proxy in self.proxies:
            proxy.close()

    def _hang_up(self) -> None:
        """Close the pipe to a life that is over; what it was not told any more is lost."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def _signal(self, number: signal.Signals) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            os.kill(process.pid, number)
