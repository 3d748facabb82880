"""A bridge in a process of its own, whose engine is a file.

bridge_process.py <hosts> <namespace> <file> <engine|cluster> [<step or -> [<session timeout>]]

The file holds the ports of the engine's objects, as JSON. The process looks at it again for each line on its standard
input. It says on standard output, as JSON, when it has come to `step`, and goes no further: `identity`, `subscribe`,
`list`, or `listed`, the moment between an answer and what is written of it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from zkdiscovery import Client
from zkdiscovery.bridges import Bridge, Imported, Listing


class FileEngine:
    """The engine."""

    kind, where, relist = "test", "a file", 60.0

    def __init__(self, path: Path, clustered: bool, step: str) -> None:
        self._path = path
        self._step = step
        self.clustered = clustered

    def identity(self) -> str:
        self._reach("identity")
        return "the file"

    def subscribe(self, changed: Callable[[], None]) -> None:
        self._reach("subscribe")

        def follow() -> None:
            for _ in sys.stdin:
                changed()

        threading.Thread(target=follow, daemon=True).start()

    def list(self) -> Listing:
        self._reach("list")
        found = Listing(
            [Imported("web", f"object-{port}", "10.0.0.1", port) for port in json.loads(self._path.read_text())]
        )
        self._reach("listed")
        return found

    def close(self) -> None: ...

    def _reach(self, step: str) -> None:
        if step == self._step:
            say({"at": step})
            threading.Event().wait()


def say(what: object) -> None:
    """One line, whole."""
    os.write(1, json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    hosts, namespace, path, kind, *more = sys.argv[1:]
    step, timeout = [*more, *("-", "4")[len(more) :]]
    client = Client(hosts, namespace=namespace, session_timeout=float(timeout))
    engine = FileEngine(Path(path), kind == "cluster", step)
    say({"begins": os.getpid()})
    Bridge(client, engine).run()
