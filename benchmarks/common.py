"""What all questions share: rounds in turns, one server, and how answers are shown. See figures.py for the answers.

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
import os
import platform
import secrets
import sys
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from benchmarks.balancing.report import number
from benchmarks.figures import OURS, Figure, Row, growths
from zkdiscovery import Client
from zkdiscovery.errors import NoServerForTests
from zkdiscovery.testing import ZookeeperServer, zookeeper_server

RESULTS = Path(__file__).parent / "results"
RUN = "BENCHMARK_RUN"  # variable of the environment with the name of the run that a question is part of
JARS = Path("/usr/share/java")  # where Debian puts Curator
INTEROP = Path(__file__).parents[1] / ".cache" / "interop" / "lib"  # where `make interop` puts it
LIMIT = 120.0  # seconds for anything that is waited for
SESSION_TIMEOUT = 10.0  # seconds; what a server with a tick of 0.5 s grants at most
HEAP = "-Xmx1g"  # of a server that we start here: hundreds of thousands of nodes take more than what tests give it

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


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
    for jar in [*INTEROP.glob("curator-x-discovery-*.jar"), *JARS.glob("curator-x-discovery-*.jar")]:
        found["curator"] = jar.stem.rpartition("-")[2]
    if "server" in vars(bench):
        found["zookeeper"] = bench.server.source.partition("ZooKeeper ")[2].split()[0].rstrip(",)")
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
