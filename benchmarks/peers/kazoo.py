"""kazoo, used by hand in the usual way."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError
from kazoo.protocol.states import WatchedEvent

from benchmarks.common import LIMIT, SESSION_TIMEOUT


@contextlib.contextmanager
def kazoo(hosts: str) -> Iterator[KazooClient]:
    """A connected client that reconnects at once."""
    client = KazooClient(hosts, timeout=SESSION_TIMEOUT, connection_retry={"max_tries": -1, "delay": 0.05})
    client.start(timeout=LIMIT)
    try:
        yield client
    finally:
        client.stop()
        client.close()


class KazooView:
    """The instances below a path as kept with kazoo by hand: a ChildrenWatch, and a `get` with a watch for each child.

    Only children that are new are read when the list changes.

    Attributes:
        instances: the parsed JSON by name; replaced as a whole.
        changes: how often it was replaced.
        changed_at: monotonic seconds of the last time.
    """

    def __init__(self, client: KazooClient, path: str) -> None:
        self.instances: dict[str, Any] = {}
        self.changes = 0
        self.changed_at = 0.0
        self._client = client
        self._path = path
        self._changed = threading.Condition()
        client.ChildrenWatch(path, self._on_children, allow_session_lost=True)

    def _on_children(self, names: list[str]) -> None:
        found = {name: self.instances[name] for name in names if name in self.instances}
        for name in names:
            if name not in found:
                with contextlib.suppress(NoNodeError):
                    found[name] = self._read(name)
        self._take(found)

    def _on_node(self, event: WatchedEvent) -> None:
        if event.type == "CHANGED":
            name = event.path.rpartition("/")[2]
            with contextlib.suppress(NoNodeError):
                self._take({**self.instances, name: self._read(name)})

    def _read(self, name: str) -> Any:
        data, _ = self._client.get(f"{self._path}/{name}", watch=self._on_node)
        return _parsed(data)

    def _take(self, found: dict[str, Any]) -> None:
        with self._changed:
            self.instances, self.changed_at = found, time.monotonic()
            self.changes += 1
            self._changed.notify_all()

    def refresh(self) -> None:
        """Read all known children anew, one by one."""
        self._take({name: self._read(name) for name in self.instances})

    def refresh_pipelined(self) -> None:
        """The same, all in flight."""
        asked = {name: self._client.get_async(f"{self._path}/{name}", watch=self._on_node) for name in self.instances}
        self._take({name: _parsed(answer.get(timeout=LIMIT)[0]) for name, answer in asked.items()})

    def wait(self, count: int) -> KazooView:
        """Until there are so many instances."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.instances) == count, LIMIT):
                raise TimeoutError(f"{len(self.instances)} instances, not {count}")
        return self


def _parsed(data: bytes) -> Any:
    return json.loads(data) if data else None


@contextlib.contextmanager
def requests_of(client: KazooClient) -> Iterator[Counter[str]]:
    """Count the requests of a kazoo client, by name."""
    counts: Counter[str] = Counter()
    original = client._call

    def call(request: Any, async_object: Any) -> Any:
        counts[type(request).__name__] += 1
        return original(request, async_object)

    client._call = call
    try:
        yield counts
    finally:
        del client._call


def pipelined(client: KazooClient, path: str) -> dict[str, Any]:
    """The instances below a path, read once with all `get_async` in flight, and parsed."""
    asked = {name: client.get_async(f"{path}/{name}") for name in client.get_children(path)}
    return {name: json.loads(answer.get(timeout=LIMIT)[0]) for name, answer in asked.items()}
