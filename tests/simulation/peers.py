"""What others do, from their documentation and source, with their defaults; written anew and in short.

Each is given the best case: every failed call is reported to it, and its outlier detection is on where it has one.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import count
from math import exp
from random import choices, random, randrange
from typing import TYPE_CHECKING

from zkdiscovery.balancing import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.simulation.simulation import Seat
    from zkdiscovery.model import Instance

DECAY = 10.0  # seconds; of the answer times of Finagle, tower and Linkerd


@dataclass(frozen=True)
class Breaker:
    """Leaves an instance alone after failures in a row.

    Args:
        consecutive: failures in a row.
        pause: `pause(k)`: seconds of the k-th pause in a row, from 1.
        probe: after a pause one call at a time, until one succeeds (which ends the row of pauses).
        forgets: after a pause (without probe) it takes the whole row of failures again.
        most: part of the instances that may be left alone at a time, but always one.
    """

    consecutive: int
    pause: Callable[[int], float]
    probe: bool = False
    forgets: bool = True
    most: float = 1.0


FINAGLE = Breaker(5, lambda k: min(300.0, 5.0 * 2.0 ** min(k - 1, 9)) * (0.5 + 0.5 * random()), probe=True)
LINKERD = Breaker(7, lambda k: min(60.0, 2.0 ** min(k - 1, 9)) * (1.0 + 0.5 * random()), probe=True)
RIBBON = Breaker(3, lambda k: min(30.0, 10.0 * 2.0 ** min(k - 1, 9)), forgets=False)
ENVOY = Breaker(5, lambda k: min(300.0, 30.0 * k), most=0.1)


class PeerNode:
    __slots__ = ("average", "failed", "in_flight", "instance", "level", "peer", "stamp", "until")

    def __init__(self, instance: Instance, peer: Peer) -> None:
        self.instance = instance
        self.peer = peer
        self.in_flight = 0
        self.failed = 0  # in a row
        self.until = 0.0  # virtual seconds until which it is left alone; 0.0: it is not
        self.level = 0  # pauses in a row
        self.average = peer.first_guess  # seconds at `stamp`
        self.stamp = 0.0

    def started(self) -> float:
        self.in_flight += 1
        return self.peer.clock()

    def finished(self, started: float, outcome: Outcome) -> None:
        self.in_flight -= 1
        self.peer.learn(self, started, outcome)


class Peer:
    """One client of a peer. Subclasses say what to pick of those that are not left alone."""

    first_guess = 0.0  # seconds; the answer time before the first answer

    def __init__(self, seat: Seat, breaker: Breaker | None = None) -> None:
        self.seat = seat
        self.clock = seat.simulation.clock
        self.nodes: list[PeerNode] = []
        self.breaker = breaker
        self._ailing = False

    def update(self, instances: Sequence[Instance]) -> None:
        known = {(node.instance.id, node.instance.registered_at): node for node in self.nodes}
        self.nodes = [known.get((each.id, each.registered_at)) or PeerNode(each, self) for each in instances]
        self.changed()

    def changed(self) -> None:
        """The set has changed."""

    def pick(self, key: str | None) -> PeerNode | None:
        return self.choose(self.usable() or self.nodes)

    def choose(self, nodes: Sequence[PeerNode]) -> PeerNode | None:
        raise NotImplementedError

    def usable(self) -> Sequence[PeerNode]:
        """Those that are not left alone."""
        if not self._ailing:
            return self.nodes
        usable = [node for node in self.nodes if self._is_usable(node)]
        self._ailing = any(node.until for node in self.nodes)
        return usable

    def learn(self, node: PeerNode, started: float, outcome: Outcome) -> None:
        breaker = self.breaker
        if breaker is None:
            return
        if outcome is Outcome.SUCCESS:
            node.failed = 0
            if node.until and (breaker.probe and self.clock() >= node.until):
                node.until, node.level = 0.0, 0
            return
        node.failed += 1
        now = self.clock()
        if node.failed >= breaker.consecutive and now >= node.until and self._may_leave_alone(node, breaker.most):
            node.level += 1
            node.until = now + breaker.pause(node.level)
            self._ailing = True

    def _may_leave_alone(self, node: PeerNode, most: float) -> bool:
        now = self.clock()
        others = sum(1 for other in self.nodes if other is not node and other.until > now)
        return others < max(1, int(most * len(self.nodes)))

    def _is_usable(self, node: PeerNode) -> bool:
        if not node.until:
            return True
        if self.clock() < node.until:
            return False
        assert self.breaker is not None
        if self.breaker.probe:
            return not node.in_flight
        node.until = 0.0
        if self.breaker.forgets:
            node.failed = 0
        return True


class RoundRobin(Peer):
    """One after the other, from the first one on (Curator, Ribbon) or from anywhere (Envoy)."""

    def __init__(self, seat: Seat, breaker: Breaker | None = None, *, start: int = 0) -> None:
        super().__init__(seat, breaker)
        self._advance = count(start)

    def choose(self, nodes: Sequence[PeerNode]) -> PeerNode | None:
        return nodes[next(self._advance) % len(nodes)] if nodes else None


class Curator(RoundRobin):
    """ServiceProvider with its defaults: down is two errors within 30 s of the first one, for the rest of these 30 s;
    if all are down there is none to call.
    """

    def pick(self, key: str | None) -> PeerNode | None:
        return self.choose(self.usable())

    def learn(self, node: PeerNode, started: float, outcome: Outcome) -> None:
        if outcome is Outcome.SUCCESS:
            return
        now = self.clock()
        if now >= node.stamp + 30.0:
            node.stamp, node.failed = now, 0
        node.failed += 1
        if node.failed >= 2:
            node.until = node.stamp + 30.0
            self._ailing = True

    def _is_usable(self, node: PeerNode) -> bool:
        if node.until and self.clock() >= node.until:
            node.until = 0.0
        return not node.until


class EnvoyRoundRobin(RoundRobin):
    """By an earliest-deadline-first queue where weights differ; with slow start, if `window` seconds are given."""

    def __init__(self, seat: Seat, breaker: Breaker | None = ENVOY, *, window: float = 0.0) -> None:
        super().__init__(seat, breaker, start=randrange(1000))
        self._window = window
        self._queue: list[tuple[float, int, PeerNode]] = []
        self._order = count()
        self._all_warm_at = 0.0
        self._same_weights = True

    def changed(self) -> None:
        wall = self.seat.simulation.wall()
        self._same_weights = len({node.instance.weight for node in self.nodes}) == 1
        self._all_warm_at = max((node.instance.registered_at or 0.0) + self._window for node in self.nodes)
        self._queue = [(random() / self._weight(node, wall), next(self._order), node) for node in self.nodes]
        heapq.heapify(self._queue)

    def choose(self, nodes: Sequence[PeerNode]) -> PeerNode | None:
        if self._same_weights and (not self._window or self.seat.simulation.wall() >= self._all_warm_at):
            return self.among_equals(nodes)
        return self._next_due()

    def among_equals(self, nodes: Sequence[PeerNode]) -> PeerNode | None:
        return super().choose(nodes)

    def bias(self, node: PeerNode) -> float:
        return 1.0

    def _weight(self, node: PeerNode, wall: float) -> float:
        weight = node.instance.weight or 1e-9
        if self._window:
            weight *= min(1.0, max(0.1, (wall - (node.instance.registered_at or 0.0)) / self._window))
        return weight * self.bias(node)

    def _next_due(self) -> PeerNode:
        wall = self.seat.simulation.wall()
        for _ in self.nodes:
            due, _, node = self._queue[0]
            heapq.heapreplace(self._queue, (due + 1.0 / self._weight(node, wall), next(self._order), node))
            if self._is_usable(node):
                break
        return node


class EnvoyLeastRequest(EnvoyRoundRobin):
    """Of two drawn with replacement the one with fewer calls in flight; where weights differ, the queue with
    weight / (in flight + 1).
    """

    def among_equals(self, nodes: Sequence[PeerNode]) -> PeerNode | None:
        size = len(nodes)
        one, other = nodes[int(random() * size)], nodes[int(random() * size)]
        return one if one.in_flight <= other.in_flight else other

    def bias(self, node: PeerNode) -> float:
        return 1.0 / (node.in_flight + 1)


class FinagleP2c(Peer):
    """Of two different ones that with fewer calls in flight; weights split the calls among classes of equal weight."""

    def choose(self, nodes: Sequence[PeerNode]) -> PeerNode | None:
        classes = sorted({node.instance.weight for node in nodes})
        if len(classes) > 1:
            groups = [[node for node in nodes if node.instance.weight == weight] for weight in classes]
            nodes = choices(groups, [weight * len(group) for weight, group in zip(classes, groups, strict=True)])[0]
        return self.of_two(nodes)

    def of_two(self, nodes: Sequence[PeerNode]) -> PeerNode:
        size = len(nodes)
        if size == 1:
            return nodes[0]
        one, other = int(random() * size), int(random() * (size - 1))
        other += other >= one
        return min(nodes[one], nodes[other], key=self.load)

    def load(self, node: PeerNode) -> float:
        return node.in_flight


class FinagleAperture(FinagleP2c):
    """The deterministic aperture: P2C among the 12 instances on this client's arc of a ring of all instances."""

    def choose(self, nodes: Sequence[PeerNode]) -> PeerNode | None:
        size = len(self.nodes)
        width = min(size, 12)
        first = self.seat.index / self.seat.clients * size
        allowed = set(map(id, nodes))
        arc = [self.nodes[(int(first) + step) % size] for step in range(width)]
        return super().choose([node for node in arc if id(node) in allowed] or nodes)


class FinagleEwma(FinagleP2c):
    """Of two different ones that with the lower answer time x (in flight + 1); failures count as answers."""

    def load(self, node: PeerNode) -> float:
        if not node.average:
            return 1e9 + node.in_flight if node.in_flight else 0.0
        return node.average * exp((node.stamp - self.clock()) / DECAY) * (node.in_flight + 1)

    def learn(self, node: PeerNode, started: float, outcome: Outcome) -> None:
        super().learn(node, started, outcome)
        now = self.clock()
        took = self.observed(now - started, outcome)
        left = exp((node.stamp - now) / DECAY)
        faded = node.average * left
        node.average = took if took > faded else faded + took * (1.0 - left)
        node.stamp = now

    def observed(self, took: float, outcome: Outcome) -> float:
        return took


class TowerEwma(FinagleEwma):
    """The same with a first guess of 30 ms, without weights and without any outlier detection."""

    first_guess = 0.030

    def choose(self, nodes: Sequence[PeerNode]) -> PeerNode | None:
        return self.of_two(nodes)


class Linkerd(TowerEwma):
    """tower's, with a breaker, and failures counted as answers of 5 s at least."""

    def observed(self, took: float, outcome: Outcome) -> float:
        return took if outcome is Outcome.SUCCESS else max(took, 5.0)
