"""How long until a reader of configuration sees a change, among N keys, and what does it ask for?

From before the write, in another process, until the reader's callback has all keys that changed. Ours is one document,
with `on_change`; kazoo is a DataWatch for each key, which is a node; Consul is its KV store, with a blocking query of
the prefix. An edit of 20 keys is one edit of ours, 20 writes in flight of kazoo, and one transaction of Consul. All
sizes and ways by turns; each reader has a process of its own. Requests are what the server received from the reader,
its status and pings included; Consul's are its queries. Memory is that of the reader's whole process. Consul is left
out where it can't be had.

    python -m benchmarks.configuration [--quick]
"""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psutil
from kazoo.client import KazooClient

from benchmarks.common import LIMIT, SESSION_TIMEOUT, Bench, main, samples
from benchmarks.figures import OURS, Figure, Row
from benchmarks.peers.kazoo import kazoo
from benchmarks.processes import Process, received_from
from zkdiscovery import Client, ConfigChange
from zkdiscovery.testing.ports import free_port

ROOT = Path(__file__).parents[1]
MODULE = "benchmarks.configuration"
TOGETHER = 20  # keys of one edit

Values = dict[str, int]
Write = Callable[[Values], None]


class Known:
    """What a reader has seen, and when it had all that is waited for."""

    def __init__(self) -> None:
        self.requests = 0  # of Consul, which no server counts
        self._changed = threading.Condition()
        self._values: Values = {}
        self._wanted: Values = {}
        self._since = 0.0

    def note(self, values: Values) -> None:
        """Take some keys."""
        now = time.monotonic()
        with self._changed:
            self._values.update(values)
            self._look(now)

    def wait(self, wanted: Values) -> float:
        """Until it has these; answers since when, in monotonic seconds."""
        with self._changed:
            self._wanted, self._since = wanted, 0.0
            self._look(time.monotonic())
            if not self._changed.wait_for(lambda: self._since, LIMIT):
                raise TimeoutError(f"{len(wanted)} keys were not seen")
            return self._since

    def _look(self, now: float) -> None:
        if not self._since and all(self._values.get(key) == value for key, value in self._wanted.items()):
            self._since = now
            self._changed.notify_all()


def keys(size: int) -> list[str]:
    """The names of so many keys."""
    return [f"key-{number:05}" for number in range(size)]


# -- the readers --


def read_ours(known: Known, hosts: str, where: str, size: int, stack: contextlib.ExitStack) -> None:  # noqa: ARG001
    """A configuration with a callback."""
    client = stack.enter_context(Client(hosts, namespace=where, session_timeout=SESSION_TIMEOUT))

    def note(change: ConfigChange[Values]) -> None:
        known.note({key: change.after[key] for key in change.keys})

    client.config("shop").on_change(note)


def read_kazoo(known: Known, hosts: str, where: str, size: int, stack: contextlib.ExitStack) -> None:
    """A watch for each key."""
    client = stack.enter_context(kazoo(hosts))

    def watch(key: str) -> None:
        client.DataWatch(f"{where}/{key}", lambda data, _stat: known.note({key: json.loads(data)}))

    for key in keys(size):
        watch(key)


def read_consul(known: Known, hosts: str, where: str, size: int, stack: contextlib.ExitStack) -> None:  # noqa: ARG001
    """A blocking query of the prefix, again and again."""

    def follow() -> None:
        index = 0
        while True:
            url = f"{hosts}/v1/kv/{where}/?recurse&index={index}&wait=60s"
            with urllib.request.urlopen(url, timeout=LIMIT) as answer:
                known.requests += 1
                index = int(answer.headers["X-Consul-Index"])
                entries = json.load(answer)
            known.note({each["Key"].rpartition("/")[2]: int(base64.b64decode(each["Value"])) for each in entries})

    threading.Thread(target=follow, daemon=True).start()


READERS = {OURS: read_ours, "kazoo": read_kazoo, "Consul KV": read_consul}


def read(way: str, hosts: str, where: str, size: int) -> None:
    """The process of one: told a number and how many keys have it, it answers since when it has seen that."""
    known = Known()
    with contextlib.ExitStack() as stack:
        READERS[way](known, hosts, where, size, stack)
        known.wait(dict.fromkeys(keys(size), 0))
        print("ready", flush=True)
        for line in sys.stdin:
            number, count = map(int, line.split())
            print(known.wait(dict.fromkeys(keys(count), number)), known.requests, flush=True)


# -- the writers --


def write_ours(client: Client) -> Write:
    """One edit."""
    store = client.config_store("shop")

    def write(values: Values) -> None:
        with store.edit("a benchmark", timeout=LIMIT) as draft:
            draft.update(values)

    return write


def write_kazoo(client: KazooClient, where: str) -> Write:
    """Writes in flight."""

    def write(values: Values) -> None:
        sent = [client.set_async(f"{where}/{key}", json.dumps(value).encode()) for key, value in values.items()]
        for each in sent:
            each.get(timeout=LIMIT)

    return write


def fill_kazoo(client: KazooClient, where: str, size: int) -> None:
    """Make the nodes."""
    client.ensure_path(where)
    for each in [client.create_async(f"{where}/{key}", b"0") for key in keys(size)]:
        each.get(timeout=LIMIT)


def write_consul(url: str, where: str) -> Write:
    """Transactions of as many keys as they take."""

    def write(values: Values) -> None:
        entries = list(values.items())
        for at in range(0, len(entries), 64):
            operations = [
                {
                    "KV": {
                        "Verb": "set",
                        "Key": f"{where}/{key}",
                        "Value": base64.b64encode(str(value).encode()).decode(),
                    }
                }
                for key, value in entries[at : at + 64]
            ]
            request = urllib.request.Request(f"{url}/v1/txn", json.dumps(operations).encode(), method="PUT")
            urllib.request.urlopen(request, timeout=LIMIT).close()

    return write


def _encoded(value: int) -> str:
    return base64.b64encode(str(value).encode()).decode()


@contextlib.contextmanager
def consul(bench: Bench) -> Iterator[str | None]:
    """The address of a Consul of our own; None if there is none."""
    found = subprocess.run(["sh", str(ROOT / "scripts" / "get_consul.sh")], capture_output=True, text=True, check=False)
    if found.returncode:
        bench.say(f"without Consul: {found.stderr.strip()[-200:]}")
        yield None
        return
    port = free_port()
    others = [f"-{name}-port={free_port()}" for name in ("dns", "serf-lan", "server")]
    with tempfile.TemporaryDirectory() as folder:
        command = [
            found.stdout.strip(), "agent", "-server", "-bootstrap", f"-data-dir={folder}", "-bind=127.0.0.1",
            "-client=127.0.0.1", f"-http-port={port}", *others, "-serf-wan-port=-1", "-grpc-port=-1",
            "-raft-protocol=3", "-node=bench", "-log-level=err",
        ]  # fmt: skip
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_leader(url)
            yield url
        finally:
            process.kill()
            process.wait(LIMIT)


def _wait_leader(url: str) -> None:
    end = time.monotonic() + LIMIT
    while True:
        with (
            contextlib.suppress(OSError, urllib.error.HTTPError),
            urllib.request.urlopen(f"{url}/v1/status/leader", timeout=LIMIT) as answer,
        ):
            if json.load(answer):
                return
        if time.monotonic() > end:
            raise TimeoutError("Consul has no leader")
        time.sleep(0.1)


# -- the question --


class Reader(NamedTuple):
    """A reader, and who writes what it reads."""

    process: Process
    write: Write
    numbers: Iterator[int]

    def see(self, count: int) -> float:
        """Milliseconds until a change of so many keys is seen."""
        return self._see(count)[0]

    def requests(self, hosts: str | None, count: int) -> float:
        """What one change makes the reader ask for: the least of three. None: it counts itself."""

        def once() -> float:
            before = self._see(count)[1] if hosts is None else received_from(hosts, self.process.pid)
            took = self._see(count)[1]
            if hosts is None:
                return took - before
            time.sleep(0.5)  # for its status
            return received_from(hosts, self.process.pid) - before

        return min(once() for _ in range(3))

    def _see(self, count: int) -> tuple[float, float]:
        number = next(self.numbers)
        start = time.monotonic()
        self.write(dict.fromkeys(keys(count), number))
        self.process.tell(number, count)
        seen, requests = self.process.answer()
        return (float(seen) - start) * 1e3, float(requests)


def measure(bench: Bench) -> list[Row]:
    """All sizes and ways by turns."""
    sizes, count = ((20, 200), 5) if bench.quick else ((20, 1_000, 10_000), 50)
    readers: dict[tuple[str, int], Reader] = {}
    asked: dict[int, dict[str, Figure]] = {}
    used: dict[int, dict[str, Figure]] = {}
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(consul(bench))
        for size in sizes:
            bench.say(f"{size:,} keys for each reader")
            for way in READERS if url else [way for way in READERS if way != "Consul KV"]:
                where = bench.namespace() if way != "Consul KV" else f"bench-{size}"
                hosts = url or "" if way == "Consul KV" else bench.hosts
                write = writer(bench, way, hosts, where, size, stack)
                process = Process(MODULE, "read", way, hosts, where, size)
                stack.callback(process.close)
                reader = readers[way, size] = Reader(process, write, iter(range(1, 1_000_000)))
                server = None if way == "Consul KV" else bench.hosts
                asked.setdefault(size, {})[way] = Figure.of([reader.requests(server, TOGETHER)])
                memory = psutil.Process(process.pid).memory_info().rss / 2**20
                used.setdefault(size, {})[way] = Figure.of([memory])
        one = samples({key: lambda reader=reader: reader.see(1) for key, reader in readers.items()}, count)
        many = samples({key: lambda reader=reader: reader.see(TOGETHER) for key, reader in readers.items()}, count)
    rows = []
    for what, taken in (("one key changed", one), (f"{TOGETHER} keys changed together", many)):
        for size in sizes:
            figures = {way: Figure.of(values) for (way, of), values in taken.items() if of == size}
            rows.append(Row(f"{what}, seen", "ms", figures, [], size))
    rows += [Row(f"requests for {TOGETHER} keys", "requests", each, [], size) for size, each in asked.items()]
    rows += [Row("memory of the reader", "MiB", each, [], size) for size, each in used.items()]
    return rows


def writer(bench: Bench, way: str, hosts: str, where: str, size: int, stack: contextlib.ExitStack) -> Write:
    """Store all keys, and return what changes some."""
    if way == "Consul KV":
        write = write_consul(hosts, where)
        write(dict.fromkeys(keys(size), 0))
        return write
    if way == "kazoo":
        client = stack.enter_context(kazoo(hosts))
        fill_kazoo(client, where, size)
        return write_kazoo(client, where)
    write = write_ours(stack.enter_context(bench.client(where)))
    write(dict.fromkeys(keys(size), 0))
    return write


if __name__ == "__main__":
    if sys.argv[1:2] == ["read"]:
        way, hosts, where, size = sys.argv[2:]
        read(way, hosts, where, int(size))
    else:
        main(measure, __doc__)
