"""How long is nobody the leader: when a leader resigns, and when its process is killed?

Two contenders take turns. From the moment in which the leader's block is left to the one in which the other's begins:
the hand-over. For the failover a process that leads is killed (SIGKILL), and its successor waits in this one; it can't
take less than ZooKeeper takes to end the session of the dead: the timeout from the last word of its client. Ours, which
renews its lease every tenth of the timeout, has spoken later before its death than those that ping each third. Beside
the SDK: kazoo's `Election`, and tooz's elector, which has to be polled, and is polled here without a pause, which keeps
a core busy; and Curator's `LeaderLatch`, each in a JVM of its own, with the times by its own clock, which is the same
one. The floor of a hand-over is a round trip, over a bare socket.

    python -m benchmarks.election [--quick]
"""

from __future__ import annotations

import contextlib
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

from kazoo.client import KazooClient

from benchmarks.common import LIMIT, Bench, main, rounds, timed
from benchmarks.figures import OURS, Figure, Row, Target
from benchmarks.peers import ahead
from benchmarks.peers.curator import Curator, has_curator
from benchmarks.peers.tooz import has_tooz
from benchmarks.processes import Process
from zkdiscovery import Client
from zkdiscovery.testing.wire import RawSession

SESSION_TIMEOUT = 4.0  # seconds
TICK = 0.5  # seconds; of the server
SETTLED = 0.03  # seconds after which one that stands in the queue surely watches it, or has asked once
ROUND_TRIP = "raw round trip"


class Contender(Protocol):
    """One who wants to lead."""

    def lead(self, turn: Turn) -> object:
        """Wait for leadership, take the turn as the leader, resign."""

    def followed(self) -> bool:
        """Does somebody stand in the queue behind the leader?"""

    def close(self) -> None: ...


class Ours:
    """The SDK's campaign."""

    def __init__(self, hosts: str, namespace: str, name: str) -> None:
        self._client = Client(hosts, namespace=namespace, session_timeout=SESSION_TIMEOUT).wait_connected(LIMIT)
        self._election = self._client.election("job", id=name)

    def lead(self, turn: Turn) -> None:
        with self._election.campaign(LIMIT):
            turn.take()

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

    def lead(self, turn: Turn) -> None:
        self._election.run(turn.take)

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

    def lead(self, turn: Turn) -> None:
        self._elected.clear()
        while not self._elected.is_set():
            self._coordinator.run_watchers()
        turn.take()
        self._coordinator.stand_down_group_leader(self._group)

    def followed(self) -> bool:
        return True  # those who wait stand in no queue

    def close(self) -> None:
        self._coordinator.stop()


class OfCurator:
    """Curator's latch."""

    def __init__(self, hosts: str, namespace: str, _name: str) -> None:
        self._hosts, self._path = hosts, f"{namespace}/curator"
        self._java = Curator(hosts, SESSION_TIMEOUT)
        self.close, self.kill = self._java.close, self._java.kill

    def lead(self, turn: Turn) -> None:
        self._java.tell(f"lead {self._path}")
        turn.elected(self._java.hear("leading") / 1e9)
        turn.wait_end()
        turn.left = self._java.ask("resign", "resigned") / 1e9

    def followed(self) -> bool:
        with RawSession(self._hosts) as raw:
            return len(raw.children(self._path)) > 1


CONTENDERS: dict[str, Callable[[str, str, str], Contender]] = {
    OURS: Ours, "kazoo": Kazoo, "tooz": Tooz, "Curator": OfCurator
}  # fmt: skip


def contenders(bench: Bench) -> dict[str, Callable[[str, str, str], Contender]]:
    """Those that are installed."""
    missing = {way for way, found in (("tooz", has_tooz), ("Curator", has_curator)) if not found(bench)}
    return {way: kind for way, kind in CONTENDERS.items() if way not in missing}


class Turn:
    """One leadership, from the campaign for it to its end.

    Attributes:
        began: when it was won, in seconds of the monotonic clock.
        left: when it was about to be given up.
    """

    def __init__(self, contender: Contender) -> None:
        self.began = self.left = 0.0
        self._elected, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=contender.lead, args=(self,), daemon=True)
        self._thread.start()

    def take(self) -> None:
        """Lead until the end (the leader's thread)."""
        self.elected(time.monotonic())
        self.wait_end()
        self.left = time.monotonic()

    def elected(self, at: float) -> None:
        """It leads since then (the leader's thread)."""
        self.began = at
        self._elected.set()

    def wait_end(self) -> None:
        """Until another may lead (the leader's thread)."""
        self._over.wait(LIMIT)

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
        for way, kind in contenders(bench).items():
            pair = Pair(kind, bench.hosts, bench.namespace())
            stack.callback(pair.close)
            ways[way] = pair.hand_over
        ways[ROUND_TRIP] = partial(round_trip, stack.enter_context(RawSession(bench.hosts)))
        return rounds(ways, count)


def failovers(bench: Bench, count: int) -> dict[str, Figure]:
    """Seconds from the death of a leading process to the next leader, by way.

    All ways at once, for all they do is wait. The kill comes at any phase of the pings.
    """
    ways = contenders(bench)
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(count):
        with contextlib.ExitStack() as stack:
            scenes = []
            for way, kind in ways.items():
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
                killed.append(time.monotonic())
                process.kill()
            for (way, _, turn), at in zip(scenes, killed, strict=True):
                turn.wait_elected()
                seconds[way].append(turn.began - at)
    return {way: Figure.of(values) for way, values in seconds.items()}


@contextlib.contextmanager
def leading_process(way: str, hosts: str, namespace: str) -> Iterator[Process | OfCurator]:
    """A process that leads when the block is entered."""
    if way != "Curator":
        with contextlib.closing(Process("benchmarks.election", "lead", way, hosts, namespace)) as process:
            yield process
        return
    with contextlib.closing(OfCurator(hosts, namespace, "leader")) as java:
        Turn(java).wait_elected()
        yield java


def lead(way: str, hosts: str, namespace: str) -> None:
    """Lead until killed (the process of `leading_process`)."""
    turn = Turn(CONTENDERS[way](hosts, namespace, "leader"))
    turn.wait_elected()
    print("ready", flush=True)
    turn.wait_over()


def measure(bench: Bench) -> list[Row]:
    """Hand-over and failover."""
    handed = hand_overs(bench, 10 if bench.quick else 60)
    failed = failovers(bench, 1 if bench.quick else 5)
    timeout = Target(SESSION_TIMEOUT + 1.5 * TICK + 1)
    return [
        Row("hand-over on resign", "ms", handed, [Target(15, ROUND_TRIP), *ahead(handed)]),
        Row(f"failover, session timeout {SESSION_TIMEOUT:g} s", "s", failed, [timeout, *ahead(failed)]),
    ]


if __name__ == "__main__":
    if sys.argv[1:2] == ["lead"]:
        lead(*sys.argv[2:])
    else:
        main(measure, __doc__)
