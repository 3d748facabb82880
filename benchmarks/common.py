"""What all questions share: rounds in turns, figures with their spread, targets, one server, and how answers are shown.

A question is a module with a function that takes a `Bench` and answers rows, and ends with `main(measure, __doc__)`:

    python -m benchmarks.fill [--quick] [--hosts HOST:PORT] [-o json]

It prints a table and writes results/<question>.json; `python -m benchmarks` runs them all, and writes what the
documentation shows. The figures to compare are ratios of what was measured in turns in one run; absolute times are
those of one machine.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import importlib.metadata
import inspect
import json
import math
import os
import platform
import secrets
import statistics
import sys
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from rich.console import Console
from rich.table import Table

from benchmarks.balancing.report import number
from tests.support import Truth
from zkdiscovery import Client, Instance
from zkdiscovery.codecs.curator import CuratorCodec
from zkdiscovery.errors import NoServerForTests
from zkdiscovery.session import EPHEMERAL, Create, Delete, Multi, SetData, Write
from zkdiscovery.testing import ZookeeperServer, zookeeper_server

OURS = "zkdiscovery"
RESULTS = Path(__file__).parent / "results"
RUN = "BENCHMARK_RUN"  # variable of the environment with the name of the run that a question is part of
JARS = Path("/usr/share/java")  # where Debian puts Curator
LIMIT = 120.0  # seconds for anything that is waited for
SESSION_TIMEOUT = 10.0  # seconds; what a server with a tick of 0.5 s grants at most
BATCH = 500  # nodes written by one transaction
WINDOW = 4  # transactions in flight
HEAP = "-Xmx1g"  # of a server that we start here: hundreds of thousands of nodes take more than what tests give it

Encode = Callable[[Instance], bytes]
encode_instance = CuratorCodec().encode
K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Figure(NamedTuple):
    """The median and the quartiles of some rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        """From the values of all rounds."""
        if len(values) < 2:
            return cls(values[0], values[0], values[0])
        low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(middle, low, high)


class Growth(NamedTuple):
    """How a figure grows with the size N, as figure ~ N^exponent.

    Attributes:
        exponent: the slope of a least-squares line over the logarithms of all sizes.
        error: the slope's standard error, sqrt(SSR / (n - 2) / Sxx), of the n medians: it tells of noise, and of a
            growth that is no power (Draper and Smith, Applied Regression Analysis, 3rd edition, section 1.4).
        last: the exponent between the two largest sizes alone. A cost of a + b N, which is a curve here, comes nearer
            to its end with it.
    """

    exponent: float
    error: float
    last: float

    @classmethod
    def of(cls, sizes: Sequence[float], figures: Sequence[float]) -> Growth:
        """From three sizes or more, in ascending order; all figures above 0."""
        xs, ys = [math.log(size) for size in sizes], [math.log(figure) for figure in figures]
        slope, intercept = statistics.linear_regression(xs, ys)
        residuals = sum((y - intercept - slope * x) ** 2 for x, y in zip(xs, ys, strict=True))
        spread = statistics.pvariance(xs) * len(xs)
        return cls(slope, math.sqrt(residuals / (len(xs) - 2) / spread), (ys[-1] - ys[-2]) / (xs[-1] - xs[-2]))

    def __str__(self) -> str:
        """As in N^0.98 ± 0.02."""
        return f"N^{round(self.exponent, 2) + 0.0:.2f} ± {self.error:.2f}"  # no -0.00


class Target(NamedTuple):
    """Our figure must be at most `factor` times that of the way `of`; at most `factor` in the row's unit if None."""

    factor: float
    of: str | None = None


class Row(NamedTuple):
    """One thing measured in several ways, ours (`OURS`) among them.

    Attributes:
        what: what was measured; the same in all rows that differ by `size` alone.
        unit: of all figures, such as "s" or "requests".
        figures: by way; a way that is not there (no JDK, too slow at this size) is left out.
        targets: what ours must reach. In a quick run they are shown, and mean little.
        size: the N that growth is measured against; None if there is none.
    """

    what: str
    unit: str
    figures: Mapping[str, Figure]
    targets: Sequence[Target] = ()
    size: int | None = None

    @property
    def label(self) -> str:
        """What was measured, with the size."""
        return self.what if self.size is None else f"{self.what}, N = {self.size:,}"

    def verdicts(self) -> Iterator[dict[str, Any]]:
        """For each target: what it demands in words, the value to compare, whether it is met (None: unknown)."""
        ours = self.figures[OURS].median
        for factor, of in self.targets:
            if of is None:
                limit, target, value = factor, f"at most {number(factor)} {self.unit}", f"{number(ours)} {self.unit}"
            else:
                other = self.figures.get(of)
                limit = other.median * factor if other else math.nan
                times = over(ours, other.median) if other else math.nan
                if factor < 1:
                    target, value = f"{1 / factor:g} times less than {of}", f"{number(1 / times)} times less"
                else:
                    target, value = f"at most {factor:g} times {of}", f"{number(times)} times"
            known = not math.isnan(limit)
            yield {
                "row": self.label,
                "what": self.what,
                "target": target,
                "of": of,
                "factor": factor,
                "value": value if known else "not measured",
                "ratio": over(ours, limit) if known else None,
                "met": ours <= limit if known else None,
            }


def over(value: float, other: float) -> float:
    """How many times the other; of nothing, nothing is one time."""
    return value / other if other else math.inf if value else 1.0


def milliseconds(figures: Mapping[K, Figure]) -> dict[K, Figure]:
    """Of seconds."""
    return {name: Figure(*(1e3 * value for value in figure)) for name, figure in figures.items()}


def rounds(ways: Mapping[K, Callable[[], float]], count: int, *, warm: bool = False) -> dict[K, Figure]:
    """What each way measures, over so many rounds; see `samples`."""
    return {name: Figure.of(each) for name, each in samples(ways, count, warm=warm).items()}


def samples(ways: Mapping[K, Callable[[], T]], count: int, *, warm: bool = False) -> dict[K, list[T]]:
    """Call all ways round by round, each time beginning with another one, so that a drifting machine hits all alike.

    Args:
        ways: each measures once and answers what it measured.
        count: number of rounds.
        warm: nothing is cold any more. Otherwise a round before the first is not counted, for virtual machines and
            caches are.
    """
    values: dict[K, list[T]] = {name: [] for name in ways}
    names = list(ways)
    for turn in range(count if warm else count + 1):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            gc.collect()  # what one way left is not the next one's to sweep
            values[name].append(ways[name]())
    return {name: each[-count:] for name, each in values.items()}


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@contextlib.contextmanager
def server() -> Iterator[ZookeeperServer]:
    """A real ZooKeeper; where there is none, the program ends with the reason."""
    os.environ.setdefault("JVMFLAGS", HEAP)
    with contextlib.ExitStack() as stack:
        try:
            found = stack.enter_context(zookeeper_server())
        except NoServerForTests as error:
            sys.exit(str(error))
        yield found


class Bench:
    """What a question is given."""

    def __init__(self, name: str, *, quick: bool, stack: contextlib.ExitStack) -> None:
        self.name = name
        self.quick = quick
        self._stack = stack

    @functools.cached_property
    def server(self) -> ZookeeperServer:
        """A real ZooKeeper: that of the whole run, or one of our own. Started when it is first asked for."""
        return self._stack.enter_context(server())

    @property
    def hosts(self) -> str:
        """Where clients connect to."""
        return self.server.hosts

    def on(self, server: ZookeeperServer) -> Bench:
        """The same question on another server."""
        other = Bench(self.name, quick=self.quick, stack=self._stack)
        other.server = server
        return other

    def namespace(self) -> str:
        """A namespace that nothing else uses; removed at the end."""
        return f"{self.server.namespace}/{self.name}-{secrets.token_hex(4)}"

    def client(self, namespace: str, **options: Any) -> Client:
        """A connected client, for a `with` block."""
        options = {"hosts": self.hosts, "session_timeout": SESSION_TIMEOUT, **options}
        return Client(namespace=namespace, **options).wait_connected(LIMIT)

    def say(self, text: str) -> None:
        """Progress, on stderr."""
        print(f"{self.name}: {text}", file=sys.stderr, flush=True)


def metadata(index: int) -> dict[str, str]:
    """Five entries, one of which no other instance has: who shares what is equal can't share it as a whole."""
    return {**{f"key-{entry}": f"value-{entry}" for entry in range(4)}, "key-4": f"value-{index}"}


class Published:
    """The instances of one service, ephemeral nodes of one session, written behind the SDK's back.

    Args:
        truth: the session.
        namespace: where the service is.
        service: its name.
        encode: gives what is stored for an instance.
    """

    def __init__(
        self, truth: Truth, namespace: str, service: str = "payments", encode: Encode = encode_instance
    ) -> None:
        self.service = service
        self._encode = encode
        self.path = f"{namespace}/services/{service}"
        self._truth = truth
        truth.create(self.path)  # no container, which ZooKeeper would take away while it is empty

    def instance(self, index: int, **fields: Any) -> Instance:
        """Instance number `index`, with five entries of metadata."""
        host = f"10.{index >> 16 & 255}.{index >> 8 & 255}.{index & 255}"
        options = {"id": f"i{index:06}", "metadata": metadata(index), "registered_at": 1_700_000_000.0, **fields}
        return Instance(self.service, host, 8080, **options)

    def node(self, index: int) -> str:
        """Its path."""
        return f"{self.path}/i{index:06}"

    def data(self, index: int, **fields: Any) -> bytes:
        """What is stored for it."""
        return self._encode(self.instance(index, **fields))

    def add(self, *indices: int) -> None:
        """Create them, hundreds in one transaction."""
        acl = self._truth.session.leaf_acl
        self._write(Create(self.node(index), self.data(index), acl, EPHEMERAL) for index in indices)

    def add_singly(self, *indices: int) -> None:
        """Create them, each by itself, all at once."""
        acl = self._truth.session.leaf_acl
        self._submit([Create(self.node(index), self.data(index), acl, EPHEMERAL) for index in indices])

    def remove_singly(self, *indices: int) -> None:
        """Delete them, each by itself, all at once, without deregistering."""
        self._submit([Delete(self.node(index)) for index in indices])

    def change(self, *indices: int, **fields: Any) -> None:
        """Write other data into them."""
        self._write(SetData(self.node(index), self.data(index, **fields)) for index in indices)

    def remove(self, *indices: int) -> None:
        """Delete them, without deregistering."""
        self._write(Delete(self.node(index)) for index in indices)

    def _write(self, writes: Iterable[Write]) -> None:
        pending = list(writes)
        batches = [Multi(pending[start : start + BATCH]) for start in range(0, len(pending), BATCH)]
        for start in range(0, len(batches), WINDOW):
            self._submit(batches[start : start + WINDOW])

    def _submit(self, requests: Sequence[Write | Multi]) -> None:
        session, deadline = self._truth.session, time.monotonic() + LIMIT
        for future in [session.submit(request, deadline=deadline) for request in requests]:
            future.result(LIMIT)


@contextlib.contextmanager
def published(
    bench: Bench, namespace: str, count: int, service: str = "payments", encode: Encode = encode_instance
) -> Iterator[Published]:
    """A service with `count` instances, which are gone with the block."""
    with Truth(bench.hosts) as truth:
        instances = Published(truth, namespace, service, encode)
        instances.add(*range(count))
        yield instances


# -- the answer --


def main(measure: Callable[[Bench], list[Row]], doc: str | None) -> None:
    """Run a question from the command line: measure, print, write. See the top of this file."""
    title = (doc or "").partition("\n")[0]
    name = Path(inspect.getfile(measure)).stem
    parser = argparse.ArgumentParser(f"python -m benchmarks.{name}", description=title)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: to see that it runs")
    parser.add_argument("--hosts", help="the ZooKeeper to use, host:port; one of our own if not given")
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    asked = parser.parse_args()
    if asked.hosts:
        os.environ["ZKDISCOVERY_TEST_HOSTS"] = asked.hosts
    start = time.monotonic()
    with contextlib.ExitStack() as stack:
        bench = Bench(name, quick=asked.quick, stack=stack)
        rows = measure(bench)
        result = {
            "question": title,
            "quick": asked.quick,
            "run": os.environ.get(RUN, ""),
            "seconds": round(time.monotonic() - start, 1),
            "versions": versions(bench),
            "rows": [
                {
                    "what": row.what, "size": row.size, "unit": row.unit,
                    "figures": {way: figure._asdict() for way, figure in row.figures.items()},
                }
                for row in rows
            ],
            "growth": {
                what: {way: growth._asdict() for way, growth in ways.items()} for what, ways in growths(rows).items()
            },
            "verdicts": [verdict for row in rows for verdict in row.verdicts()],
        }  # fmt: skip
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(result, indent=2) + "\n"
    (RESULTS / f"{name}.json").write_text(text)
    if asked.output == "json":
        sys.stdout.write(text)
    else:
        show(title, rows, quick=asked.quick)


def versions(bench: Bench) -> dict[str, str | int]:
    """What the figures were measured with."""
    found: dict[str, str | int] = {"python": platform.python_version(), "cores": os.cpu_count() or 0}
    for package in ("zkdiscovery", "kazoo", "tooz"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    for jar in JARS.glob("curator-x-discovery-*.jar"):
        found["curator"] = jar.stem.rpartition("-")[2]
    if "server" in vars(bench):
        found["zookeeper"] = bench.server.source.partition("ZooKeeper ")[2].split()[0].rstrip(",)")
    return found


def growths(rows: Sequence[Row]) -> dict[str, dict[str, Growth]]:
    """How each figure grows with the size, by what was measured and by way, where there are three sizes or more."""
    found: dict[str, dict[str, Growth]] = {}
    for what in dict.fromkeys(row.what for row in rows if row.size):
        same = [row for row in rows if row.what == what and row.size]
        for way in dict.fromkeys(way for row in same for way in row.figures):
            points = sorted((row.size or 0, row.figures[way].median) for row in same if way in row.figures)
            if len(points) >= 3 and all(value > 0 for _, value in points):
                found.setdefault(what, {})[way] = Growth.of(*zip(*points, strict=True))
    return found


def show(title: str, rows: Sequence[Row], *, quick: bool) -> None:
    """The table: median and quartiles; how many times ours the others take. What was quick is not judged."""
    console = wide_console()
    table = Table(title=title, title_justify="left")
    table.add_column("")
    table.add_column("way")
    for name in ("median", "quartiles", "times ours"):
        table.add_column(name, justify="right")
    for row in rows:
        ours, label = row.figures[OURS].median, row.label
        for way, figure in row.figures.items():
            spread = f"{number(figure.low)} – {number(figure.high)}" if figure.low != figure.high else ""
            ratio = number(figure.median / ours) if way != OURS and ours else ""
            table.add_row(label, way, f"{number(figure.median)} {row.unit}", spread, ratio)
            label = ""
        table.add_section()
    console.print(table)
    for what, found in growths(rows).items():
        console.print(f"  {what} grows as {found[OURS]}, {found[OURS].last:.2f} at the end")
    for row in rows if not quick else ():
        for verdict in row.verdicts():
            show_verdict(verdict, console)


def show_verdict(verdict: Mapping[str, Any], console: Console) -> None:
    """One line for a target."""
    word = {True: "met", False: "[bold red]MISSED[/]", None: "unknown"}[verdict["met"]]
    console.print(f"  {verdict['row']}: {verdict['value']}; target {verdict['target']}: {word}", highlight=False)


def wide_console() -> Console:
    """The terminal; where there is none, wide enough for our tables."""
    console = Console()
    return console if console.is_terminal else Console(width=150)
