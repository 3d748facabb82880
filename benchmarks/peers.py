"""The peers, each used in the usual way: kazoo by hand, tooz, and Apache Curator in a process of its own.

A peer that is not there is left out, with a notice on stderr.
"""

from __future__ import annotations

import contextlib
import json
import queue
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError
from kazoo.protocol.states import WatchedEvent

from benchmarks.common import JARS, LIMIT, SESSION_TIMEOUT, Bench
from zkdiscovery import Instance
from zkdiscovery.codecs import CuratorCodec

CLASS_PATH = [
    JARS / f"{name}.jar"
    for name in (
        "curator-client", "curator-framework", "curator-recipes", "curator-x-discovery", "guava", "jackson-annotations",
        "jackson-core", "jackson-databind", "slf4j-api", "slf4j-nop", "zookeeper",
    )
]  # fmt: skip
PACKAGES = "libcurator-discovery-java libcurator-recipes-java libslf4j-java default-jdk-headless"


# -- kazoo --


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


# -- tooz --


def load_tooz(bench: Bench) -> ModuleType | None:
    """Its module `coordination`, if it is installed."""
    try:
        from tooz import coordination  # noqa: PLC0415 - need not be there
    except ImportError:
        bench.say("left out: tooz, which is not installed (extra `bench`)")
        return None
    module: ModuleType = coordination
    return module


@contextlib.contextmanager
def tooz(bench: Bench, coordination: ModuleType, namespace: str) -> Iterator[Any]:
    """A started coordinator; a group below `namespace` is a service."""
    url = f"kazoo://{bench.hosts}"
    coordinator = coordination.get_coordinator(url, b"benchmark", namespace=namespace.lstrip("/"))
    coordinator.start()
    try:
        yield coordinator
    finally:
        coordinator.stop()


def for_tooz(instance: Instance) -> bytes:
    """An instance as a member's capabilities."""
    from tooz import utils  # noqa: PLC0415 - need not be there

    capabilities = {"host": instance.host, "port": instance.port, "metadata": dict(instance.metadata)}
    data: bytes = utils.dumps(capabilities)
    return data


def tooz_members(coordinator: Any, group: str) -> dict[bytes, Any]:
    """All members with their capabilities: a read each."""
    return {
        member: coordinator.get_member_capabilities(group.encode(), member).get()
        for member in coordinator.get_members(group.encode()).get()
    }


# -- Curator --


def for_curator(instance: Instance) -> bytes:
    """An instance as Curator writes one with a map as its payload: ours has a class of Spring's, which is not there."""
    node = json.loads(CuratorCodec().encode(instance))
    node["payload"] = {"@class": "java.util.LinkedHashMap", **instance.metadata}
    return json.dumps(node).encode()


class Curator:
    """The program curator/Peer.java, with one connection; see there for its commands.

    Attributes:
        last: the answer that was heard last.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.last: dict[str, float] = {}
        threading.Thread(target=self._listen, daemon=True).start()
        self.hear("ready")

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put('{"error": "Curator ended"}')

    def ask(self, command: str, key: str) -> float:
        """What it answers to a command."""
        self.tell(command)
        return self.hear(key)

    def tell(self, command: str) -> None:
        """A command, whose answer comes later."""
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()

    def hear(self, key: str) -> float:
        """The value of the next answer that has this key."""
        while True:
            self.last = json.loads(self._answers.get(timeout=LIMIT))
            if "error" in self.last:
                raise RuntimeError(f"Curator: {self.last['error']}")
            if key in self.last:
                return self.last[key]

    def kill(self) -> None:
        """As a crash does."""
        self._process.kill()


@contextlib.contextmanager
def curator(bench: Bench) -> Iterator[Curator | None]:
    """Curator, connected; None where it or a JDK is missing."""
    java = shutil.which("java")
    if java is None or shutil.which("javac") is None or not all(jar.exists() for jar in CLASS_PATH):
        bench.say(f"left out: Curator, for it or a JDK is not installed (Debian: {PACKAGES})")
        yield None
        return
    program = Path(__file__).parent / "curator" / "Peer.java"
    class_path = ":".join(map(str, CLASS_PATH))
    command = [java, "-cp", class_path, str(program), bench.hosts, str(round(SESSION_TIMEOUT * 1000))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Curator(process)
        finally:
            if process.stdin is not None:
                process.stdin.close()  # it ends with its input
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                process.kill()
