"""How long is nobody the leader: when a leader resigns, and when its process is killed?

Two contenders take turns. From the moment in which the leader's block is left to the one in which the other's begins:
the hand-over. For the failover a process that leads is killed (SIGKILL), and its successor waits in this one; it can't
take less than ZooKeeper takes to end the session of the dead. Beside the SDK: kazoo's `Election`, and tooz's elector,
which has to be polled, and is polled here without a pause, which keeps a core busy. The floor of a hand-over is a
round trip, over a bare socket.

    python -m benchmarks.election [--quick]
"""

from __future__ import annotations

import contextlib
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Protocol

from kazoo.client import KazooClient

from benchmarks.common import LIMIT, OURS, Bench, Figure, Row, Target, main, rounds, timed
from zkdiscovery import Client
from zkdiscovery.testing.wire import RawSession

SESSION_TIMEOUT = 4.0  # seconds
TICK = 0.5  # seconds; of the server
SETTLED = 0.03  # seconds after which one that stands in the queue surely watches it, or has asked once
ROUND_TRIP = "raw round trip"


class Contender(Protocol):
    """One who wants to lead."""

    def lead(self, block: Callable[[], object]) -> object:
        """Wait for leadership, run `block` as the leader, resign."""

    def followed(self) -> bool:
        """Does somebody stand in the queue behind the leader?"""

    def close(self) -> None: ...


class Ours:
    """The SDK's campaign."""

    def __init__(self, hosts: str, namespace: str, name: str) -> None:
        self._client = Client(hosts, namespace=namespace, session_timeout=SESSION_TIMEOUT).wait_connected(LIMIT)
        self._election = self._client.election("job", id=name)

    def lead(self, block: Callable[[], object]) -> None:
        with self._election.campaign(LIMIT):
            block()

    def followed(self) -> bool:
        return len(self._election.candidates()) > 1

    def close(self) -> None:
        self._client.close()


class Kazoo:
    """kazoo's recipe."""

    def __init__(self, hosts: str, namespace: str, name: str) -> None:
        self._client = KazooClient(hosts, timeout=SESSION_TIMEOUT)
        self._client.start()
        self._election = self._client.Election(f"{namespace}/kazoo", name)

    def lead(self, block: Callable[[], object]) -> None:
        self._election.run(block)

    def followed(self) -> bool:
        return len(self._election.contenders()) > 1

    def close(self) -> None:
        self._client.stop()
        self._client.close()


class Tooz:
    """tooz's elector."""

    def __init__(self, hosts: str, namespace: str, name: str) -> None:
        from tooz import coordination  # noqa: PLC0415 - warns when loaded without need

        self._group = namespace.strip("/").replace("/", "-").encode()
        self._coordinator = coordination.get_coordinator(
            f"zookeeper://{hosts}?timeout={SESSION_TIMEOUT:g}", name.encode()
        )
        self._coordinator.start()
        with contextlib.suppress(coordination.GroupAlreadyExist):
            self._coordinator.create_group(self._group).get()
        self._elected = threading.Event()
        self._coordinator.watch_elected_as_leader(self._group, lambda _: self._elected.set())

    def lead(self, block: Callable[[], object]) -> None:
        self._elected.clear()
        while not self._elected.is_set():
            self._coordinator.run_watchers()
        block()
        self._coordinator.stand_down_group_leader(self._group)

    def followed(self) -> bool:
        return True  # those who wait stand in no queue

    def close(self) -> None:
        self._coordinator.stop()


CONTENDERS: dict[str, Callable[[str, str, str], Contender]] = {OURS: Ours, "kazoo": Kazoo, "tooz": Tooz}


class Turn:
    """One leadership, from the campaign for it to its end."""

    def __init__(self, contender: Contender) -> None:
        self.began = self.left = 0.0  # perf_counter seconds
        self._elected, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=contender.lead, args=(self._block,), daemon=True)
        self._thread.start()

    def _block(self) -> None:
        self.began = time.perf_counter()
        self._elected.set()
        self._over.wait(LIMIT)
        self.left = time.perf_counter()

    def wait_elected(self) -> None:
        """Until it leads."""
        if not self._elected.wait(LIMIT):
            raise TimeoutError("not elected")

    def end(self) -> None:
        """Leave the block; another may lead."""
        self._over.set()

    def wait_over(self) -> None:
        """Until it has resigned."""
        self._thread.join(LIMIT)


class Pair:
    """Two who lead in turns."""

    def __init__(self, kind: Callable[[str, str, str], Contender], hosts: str, namespace: str) -> None:
        self._contenders = [kind(hosts, namespace, name) for name in ("one", "other")]
        self._turn = Turn(self._contenders[0])
        self._turn.wait_elected()

    def hand_over(self) -> float:
        """Milliseconds without a leader."""
        self._contenders.reverse()
        last, self._turn = self._turn, Turn(self._contenders[0])
        wait_followed(self._contenders[0])
        last.end()
        self._turn.wait_elected()
        last.wait_over()
        return (self._turn.began - last.left) * 1e3

    def close(self) -> None:
        """End it."""
        self._turn.end()
        self._turn.wait_over()
        for contender in self._contenders:
            contender.close()


def wait_followed(contender: Contender) -> None:
    """Until whoever is to follow is there."""
    end = time.monotonic() + LIMIT
    while not contender.followed():
        if time.monotonic() > end:
            raise TimeoutError("nobody stands in the queue")
        time.sleep(0.002)
    time.sleep(SETTLED)


def round_trip(raw: RawSession) -> float:
    """Milliseconds; the median of some."""
    return statistics.median(timed(lambda: raw.exists("/")) for _ in range(21)) * 1e3


def hand_overs(bench: Bench, count: int) -> dict[str, Figure]:
    """Milliseconds without a leader, by way."""
    with contextlib.ExitStack() as stack:
        ways: dict[str, Callable[[], float]] = {}
        for way, kind in CONTENDERS.items():
            pair = Pair(kind, bench.hosts, bench.namespace())
            stack.callback(pair.close)
            ways[way] = pair.hand_over
        ways[ROUND_TRIP] = partial(round_trip, stack.enter_context(RawSession(bench.hosts)))
        return rounds(ways, count)


def failovers(bench: Bench, count: int) -> dict[str, Figure]:
    """Seconds from the death of a leading process to the next leader, by way.

    All ways at once, for all they do is wait. The kill comes at any phase of the pings.
    """
    seconds: dict[str, list[float]] = {way: [] for way in CONTENDERS}
    for _ in range(count):
        with contextlib.ExitStack() as stack:
            scenes = []
            for way, kind in CONTENDERS.items():
                namespace = bench.namespace()
                process = stack.enter_context(leading_process(way, bench.hosts, namespace))
                successor = kind(bench.hosts, namespace, "successor")
                stack.callback(successor.close)
                turn = Turn(successor)
                stack.callback(turn.wait_over)
                stack.callback(turn.end)
                wait_followed(successor)
                scenes.append((way, process, turn))
            killed = []
            for _, process, _ in scenes:
                time.sleep(random.uniform(0.0, SESSION_TIMEOUT / 6))
                killed.append(time.perf_counter())
                process.kill()
            for (way, _, turn), at in zip(scenes, killed, strict=True):
                turn.wait_elected()
                seconds[way].append(turn.began - at)
    return {way: Figure.of(values) for way, values in seconds.items()}


@contextlib.contextmanager
def leading_process(way: str, hosts: str, namespace: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that leads when the block is entered."""
    command = [sys.executable, "-m", "benchmarks.election", "lead", way, hosts, namespace]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1])
    try:
        assert process.stdout is not None
        if process.stdout.readline() != b"leading\n":
            raise RuntimeError(f"{way} does not come to lead")
        yield process
    finally:
        process.kill()
        process.communicate()


def lead(way: str, hosts: str, namespace: str) -> None:
    """Lead until killed (the process of `leading_process`)."""

    def block() -> None:
        print("leading", flush=True)
        threading.Event().wait()

    CONTENDERS[way](hosts, namespace, "leader").lead(block)


def measure(bench: Bench) -> list[Row]:
    """Hand-over and failover."""
    handed = hand_overs(bench, 10 if bench.quick else 60)
    failed = failovers(bench, 1 if bench.quick else 5)
    return [
        Row("hand-over on resign", "ms", handed, [Target(15, ROUND_TRIP), Target(1, "kazoo")]),
        Row(
            f"failover, session timeout {SESSION_TIMEOUT:g} s", "s", failed, [Target(SESSION_TIMEOUT + 1.5 * TICK + 1)]
        ),
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["lead"]:
        lead(*sys.argv[2:])
    else:
        main(measure, __doc__)
