"""Where does the time go: in a fill of 10,000, in a change among 10,000, in registering 1,000?

CPU of each stage, by the clock of the thread that runs it; what a stage calls that is a stage itself counts there
alone, and waiting counts nowhere. The clock is read twice for each call, which adds up to a microsecond to the stage
around it. "All of the process" is measured without that, and has what no stage has: kazoo's loop, locks, threads that
hand over.

    python -m benchmarks.stages [--quick]
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from benchmarks.common import LIMIT, Bench, main
from benchmarks.figures import OURS, Figure, Row
from benchmarks.published import metadata, published
from tests.support import wait_view
from zkdiscovery.balancing import Pool
from zkdiscovery.codecs.curator import CuratorCodec
from zkdiscovery.discovery.cache import ServiceCache
from zkdiscovery.discovery.endpoints import Endpoints
from zkdiscovery.registration import Options, Registrar
from zkdiscovery.registration.owned_instance import OwnedInstance
from zkdiscovery.session.requests import Multi, MultiRead
from zkdiscovery.session.transport.connection import Connection
from zkdiscovery.znodes.owned_nodes import OwnedNodes
from zkdiscovery.znodes.reconciler import Reconciler
from zkdiscovery.znodes.watched import WatchedChildren

READING: dict[tuple[type, str], str] = {
    (Connection, "_read_socket"): "read from the socket",
    (MultiRead, "deserialize"): "take the answer apart",
    (CuratorCodec, "decode"): "decode",
    (WatchedChildren, "_decoded"): "see what is new",
    (WatchedChildren, "_apply"): "put it in force",
    (ServiceCache, "_apply"): "tell what changed",
    (ServiceCache, "_publish"): "snapshot",
    (Endpoints, "apply"): "endpoints",
    (Endpoints, "candidates"): "candidates",
    (Pool, "update"): "the balancer's table",
}
REGISTERING: dict[tuple[type, str], str] = {
    (Registrar, "register"): "check the entries, make the instances",
    (OwnedInstance, "__init__"): "make the registrations",
    (CuratorCodec, "encode"): "encode",
    (OwnedNodes, "keep"): "want the nodes",
    (Reconciler, "run"): "plan, and note what came of it",
    (Multi, "serialize"): "write the transactions",
    (Multi, "deserialize"): "take the answers apart",
    (Reconciler, "_look"): "look",
    (MultiRead, "deserialize"): "take the look apart",
}
COLLECTOR = "the garbage collector"
ALL = "all of the process"


class Stopwatch:
    """CPU seconds by stage, on all threads."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._thread = threading.local()
        self._lock = threading.Lock()

    def begin(self) -> tuple[float, float]:
        """A stage begins on this thread."""
        outer = getattr(self._thread, "inner", 0.0)
        self._thread.inner = 0.0
        return time.thread_time(), outer

    def end(self, label: str, begun: tuple[float, float]) -> None:
        """It ends."""
        start, outer = begun
        took = time.thread_time() - start
        with self._lock:
            self.seconds[label] += took - self._thread.inner
        self._thread.inner = outer + took


@contextlib.contextmanager
def stages(of: dict[tuple[type, str], str]) -> Iterator[Stopwatch]:
    """Time these."""
    watch = Stopwatch()
    originals = {place: getattr(*place) for place in of}

    def timed(label: str, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def stage(*args: Any, **kwargs: Any) -> Any:
            begun = watch.begin()
            try:
                return original(*args, **kwargs)
            finally:
                watch.end(label, begun)

        return stage

    begun: list[tuple[float, float]] = []

    def collect(phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            begun.append(watch.begin())
        else:
            watch.end(COLLECTOR, begun.pop())

    for (owner, name), original in originals.items():
        setattr(owner, name, timed(of[owner, name], original))
    gc.callbacks.append(collect)
    try:
        yield watch
    finally:
        gc.callbacks.remove(collect)
        for (owner, name), original in originals.items():
            setattr(owner, name, original)


def measured(
    what: str, of: dict[tuple[type, str], str], work: Callable[[], object], count: int, share: int, unit: str
) -> list[Row]:
    """The stages of some work, done so often; `share` is what its cost is divided by, in microseconds."""
    taken: list[dict[str, float]] = []
    for _ in range(count):
        gc.collect()
        start = time.process_time()
        work()
        whole = time.process_time() - start
        gc.collect()
        with stages(of) as watch:
            work()
        taken.append({**watch.seconds, ALL: whole})
    labels = [ALL, *dict.fromkeys(of.values()), COLLECTOR]
    medians = {label: statistics.median(seconds.get(label, 0.0) for seconds in taken) / share * 1e6 for label in labels}
    return [Row(f"{what}: {label}", unit, {OURS: Figure.of([value])}) for label, value in medians.items()]


def measure(bench: Bench) -> list[Row]:
    """All three."""
    size, many, count = (1_000, 100, 2) if bench.quick else (10_000, 1_000, 9)
    namespace = bench.namespace()
    with (
        published(bench, namespace, size) as instances,
        bench.client(namespace) as client,
        contextlib.ExitStack() as leaving,
    ):

        def fill() -> None:
            with bench.client(namespace) as another:
                another.discover("payments").wait_ready(LIMIT, at_least=size)

        view = client.discover("payments").wait_ready(LIMIT, at_least=size)

        def change() -> None:
            for write, number in ((instances.add, size + 1), (instances.remove, size)):
                write(size)
                wait_view(view, lambda snapshot, number=number: len(snapshot) == number, LIMIT)  # type: ignore[misc]

        names = map("stock-{}".format, itertools.count())

        def register() -> None:
            service = next(names)
            entries: list[Options] = [
                {"service": service, "host": "10.0.0.1", "port": 1 + n, "metadata": metadata(n)} for n in range(many)
            ]
            another = leaving.enter_context(bench.client(namespace))  # later: to leave is no part of it
            for registration in another.register_many(entries):
                registration.wait_registered(LIMIT)

        return [
            *measured(f"fill, {size:,}", READING, fill, count, size, "µs an instance"),
            *measured(f"a change and its reversal among {size:,}", READING, change, 4 * count, 1, "µs"),
            *measured(f"{many:,} registrations", REGISTERING, register, count, many, "µs each"),
        ]


if __name__ == "__main__":
    main(measure, __doc__)
