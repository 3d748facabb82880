"""Callers at a steady rate, and what they call: programs that one of both registries lists."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Self

from tests.interop.consul.server import Consul
from zkdiscovery.testing.ports import free_port

SERVER = str(Path(__file__).with_name("payments.py"))
RATE = 50.0  # calls a second
LIMIT = 30.0  # seconds for an end, on a busy machine
PATIENCE = 10.0  # seconds for one call, on a busy machine


class Process:
    """A Python program in a `with` block; it is killed at the end.

    Args:
        arguments: of the interpreter.
        environment: of the program.
    """

    def __init__(self, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen([sys.executable, *arguments], env=environment)
        self.pid = self._process.pid

    def end(self) -> int:
        """Ask it to end by SIGTERM. Return its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(LIMIT)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait(LIMIT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class OfConsul(Process):
    """An instance of `payments` that is registered at Consul's agent, with a check of the agent."""

    def __init__(self, consul: Consul) -> None:
        self.port = free_port()
        self._consul = consul
        super().__init__(SERVER, str(self.port))
        check = {"HTTP": f"http://127.0.0.1:{self.port}/", "Interval": "1s", "Timeout": f"{PATIENCE:.0f}s"}
        consul.register(self.port, "payments", Address="127.0.0.1", Port=self.port, check=check)

    def leave(self) -> None:
        """Be called no more: maintenance is how Consul drains."""
        self._consul.put(f"/v1/agent/service/maintenance/payments-{self.port}?enable=true")

    def finish(self) -> int:
        """End, when nobody calls any more."""
        self._consul.deregister(self.port, "payments")
        return self.end()


class OfZooKeeper(Process):
    """An instance of `payments`, the same program, that `zkdiscovery run` registers and drains."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.port = port = free_port()
        options = ["--port", str(port), "--host", "127.0.0.1", "--check", "http:/", "--drain-delay", "3"]
        program = [sys.executable, SERVER, str(port)]
        super().__init__("-m", "zkdiscovery", "run", "payments", *options, "--", *program, environment=environment)


class Caller:
    """Calls what a list names at the time of each call, `RATE` times a second, in a `with` block.

    Args:
        ports: returns what may be called.

    Attributes:
        calls: how many were made.
        failed: what went wrong.
        called: the ports that were called.
    """

    def __init__(self, ports: Callable[[], Collection[int]]) -> None:
        self._ports = ports
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.calls = 0
        self.failed: list[str] = []
        self.called: set[int] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(LIMIT)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._over.wait(max(0.0, due - time.monotonic())):
            due = max(due + 1.0 / RATE, time.monotonic() - 1.0)
            self.calls += 1
            try:
                self._call(random.choice(sorted(self._ports())))
            except (OSError, IndexError, AssertionError) as error:
                self.failed.append(f"call {self.calls}: {error!r}")

    def _call(self, port: int) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=PATIENCE) as answer:
            assert answer.read() == str(port).encode(), "somebody else answers"
        self.called.add(port)


class ConsulList:
    """The passing instances of `payments`, by a blocking query of Consul's health API, in a `with` block."""

    def __init__(self, consul: Consul) -> None:
        self._consul = consul
        self._index = "0"
        self._ports: frozenset[int] = frozenset()
        self._over = threading.Event()
        self._ask()
        self._thread = threading.Thread(target=self._follow)

    def ports(self) -> frozenset[int]:
        """What Consul lists."""
        return self._ports

    def _ask(self) -> None:
        url = f"{self._consul.url}/v1/health/service/payments?passing&index={self._index}&wait=1s"
        with urllib.request.urlopen(url, timeout=LIMIT) as answer:
            self._index = answer.headers["X-Consul-Index"]
            self._ports = frozenset(entry["Service"]["Port"] for entry in json.load(answer))

    def _follow(self) -> None:
        while not self._over.is_set():
            self._ask()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(LIMIT)
