"""How long does it take to begin: to import, to answer a command, to be connected?

Imports and commands are timed in fresh interpreters, from start to end, by turns. `import zkdiscovery` loads nothing
before a name is used, so what is compared is the import of the client with all it needs, against the import of the
packages that it stands on. Connecting is timed in one process in which everything is loaded, up to the moment in which
a request can be sent. Curator connects in a JVM that runs already: the start of one is no import, and is left out.

    python -m benchmarks.start [--quick]
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from kazoo.client import KazooClient

from benchmarks.common import LIMIT, RESULTS, SESSION_TIMEOUT, Bench, main, rounds, timed
from benchmarks.figures import OURS, Figure, Row, Target
from benchmarks.peers import ahead
from benchmarks.peers.curator import Curator, curator
from benchmarks.peers.tooz import has_tooz, tooz
from zkdiscovery import Client
from zkdiscovery.testing.wire import RawSession

PYTHON = "python alone"
BASIS = "kazoo, pydantic, tenacity"
COMMAND = Path(sys.executable).parent / "zkdiscovery"

IMPORTS = {
    OURS: "from zkdiscovery import Client",
    BASIS: "import kazoo.client, pydantic, tenacity",
    "kazoo": "import kazoo.client",
    "tooz": "import tooz.coordination, tooz.drivers.zookeeper",
    "import zkdiscovery": "import zkdiscovery",
    PYTHON: "pass",
}
READY = {
    OURS: "from zkdiscovery import Client; Client().settings",
    "kazoo": "from kazoo.client import KazooClient; KazooClient()",
    "tooz": "from tooz import coordination; coordination.get_coordinator('kazoo://127.0.0.1', b'one')",
    PYTHON: "pass",
}


class Interpreters:
    """Fresh interpreters, for which everything is compiled already, as after an installation."""

    def __init__(self) -> None:
        silent = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        self._environment = {**silent, "PYTHONPYCACHEPREFIX": str(RESULTS / "bytecode")}  # kept for the next run

    def milliseconds(self, *arguments: str) -> float:
        """What one takes, from start to end."""
        command = [sys.executable, *arguments]
        run = partial(subprocess.run, command, check=True, env=self._environment, capture_output=True)
        return timed(run) * 1e3

    def rounds(self, ways: dict[str, list[str]], count: int) -> dict[str, Figure]:
        """Milliseconds by way; the round that does not count compiles."""
        return rounds({way: partial(self.milliseconds, *arguments) for way, arguments in ways.items()}, count)

    def programs(self, programs: dict[str, str], count: int) -> dict[str, Figure]:
        """Milliseconds of each program, by way."""
        return self.rounds({way: ["-c", program] for way, program in programs.items()}, count)

    def command(self, arguments: list[str], count: int) -> dict[str, Figure]:
        """Milliseconds of our command; and of the libraries alone that parse and draw for it."""
        libraries = "import typer, rich.console, rich.table"
        ways = {OURS: [str(COMMAND), *arguments], "typer, rich imported": ["-c", libraries], PYTHON: ["-c", "pass"]}
        return self.rounds(ways, count)


def connecting(bench: Bench, java: Curator | None) -> dict[str, Callable[[], float]]:
    """Ways that answer the milliseconds until the first request can be sent; what ends the session is not timed."""

    def ours() -> float:
        client = Client(bench.hosts, namespace=bench.namespace(), session_timeout=SESSION_TIMEOUT)
        seconds = timed(lambda: client.wait_connected(LIMIT))
        client.close()
        return seconds * 1e3

    def kazoo() -> float:
        client = KazooClient(bench.hosts, timeout=SESSION_TIMEOUT)
        seconds = timed(lambda: client.start(LIMIT))
        client.stop()
        client.close()
        return seconds * 1e3

    def polling() -> float:
        with contextlib.ExitStack() as stack:
            return timed(lambda: stack.enter_context(tooz(bench.hosts, bench.namespace()))) * 1e3

    def raw() -> float:
        made: list[RawSession] = []
        seconds = timed(lambda: made.append(RawSession(bench.hosts)))
        made[0].close()
        return seconds * 1e3

    ways = {OURS: ours, "kazoo": kazoo, "raw session": raw}
    if has_tooz(bench):
        ways["tooz"] = polling
    if java:
        ways["Curator"] = lambda: java.ask("connect", "seconds") * 1e3
    return ways


def measure(bench: Bench) -> list[Row]:
    """Imports, the command, the first connection."""
    count = 2 if bench.quick else 15
    missing = () if has_tooz(bench) else ("tooz",)
    imports, ready = ({way: each[way] for way in each if way not in missing} for each in (IMPORTS, READY))
    fresh = Interpreters()
    rows = [
        Row("import", "ms", fresh.programs(imports, count), [Target(1.2, BASIS), *ahead(imports, [BASIS])]),
        Row("import, and a client with its settings", "ms", fresh.programs(ready, count), ahead(ready)),
        Row("zkdiscovery --help", "ms", fresh.command(["--help"], count)),
        Row("zkdiscovery services", "ms", fresh.command(["--hosts", bench.hosts, "services"], count)),
    ]
    with curator(bench) as java:
        connected = rounds(connecting(bench, java), 4 * count)
    return [*rows, Row("connect", "ms", connected, ahead(connected))]


if __name__ == "__main__":
    main(measure, __doc__)
