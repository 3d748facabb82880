"""Read many nodes in few requests, and never more at once than a small server can answer. See also pipeline.py.

- A read begins with `START` nodes. At most `GROWTH` times as many as were seen are under way, of each batch and in all.
- An answer has about `ANSWER` bytes and all answers under way `IN_FLIGHT`, by the mean size of the nodes seen.
- The nodes of a batch are read in an order that is spread over it evenly. So the nodes seen are typical of the rest,
  even if nodes of one size are neighbours in the server's list.
- After a node that is too large for its reader, the stats of the others are read first; so are those of suspects
  (care.py). A node that is too large is not read. The others are read by their sizes, one request at a time.

A server takes no node of more than 1 MiB, unless configured. So an answer to `START` nodes has at most 4 MiB.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain
from typing import NamedTuple

from zkdiscovery.errors import NodeMissing, UndecodableNode, ZkDiscoveryError
from zkdiscovery.session.care import REQUEST
from zkdiscovery.session.pipeline import ANSWER, IN_FLIGHT, OVERHEAD, PATH, Line, Pace, ReadLimits, fitting, pipelined
from zkdiscovery.session.requester import Requester
from zkdiscovery.session.requests import Exists, GetData, MultiRead, Node
from zkdiscovery.session.translate import NO_NODE, error_for_code

BATCH = 500  # nodes in one request, at most
WINDOW = 4  # requests under way

Found = Node | int | ZkDiscoveryError  # a node, the server's error code, or the reason why it was not read


class Batch(NamedTuple):
    """Nodes to read that resemble each other, such as the children of one path.

    Attributes:
        paths: of the nodes.
        largest: bytes of data; a node with more is answered by an UndecodableNode.
        seen: number of nodes of the kind that are known already.
        size: their mean size in bytes.
    """

    paths: Sequence[str]
    largest: float = math.inf
    seen: int = 0
    size: float = 0.0


def bulk_read(
    session: Requester, paths: Sequence[str], *, generation: int, deadline: float, size: float | None = None
) -> Iterator[tuple[str, Found]]:
    """Yield each path with its node, the server's error code (such as `NO_NODE`), or a NodeError that says why it was
    not read; in order.

    Not an atomic snapshot: nodes may change between two requests.

    Args:
        session: sends the requests.
        paths: the nodes.
        generation: the connection to read on.
        deadline: monotonic seconds.
        size: mean bytes of these nodes, where that is known.

    Raises:
        NotConnected: this connection ended.
        OperationTimeout: an answer did not come in time.
    """
    distinct = list(dict.fromkeys(paths))
    batch = Batch(distinct) if size is None else Batch(distinct, seen=len(distinct), size=size)
    found = dict(read_batches(session, [batch], ReadLimits(generation, deadline)))
    for path in paths:
        yield path, found[path]


def read_batches(session: Requester, batches: Iterable[Batch], limits: ReadLimits) -> Iterator[tuple[str, Found]]:
    """Read as `bulk_read` does, but one batch after the other, each in any order, as the answers come."""
    return _Reading(session, batches, limits).results()


def why_unread(path: str, found: int | ZkDiscoveryError, server: str) -> ZkDiscoveryError:
    """Make the error for what was found in place of a node."""
    return error_for_code(found, GetData(path), server) if isinstance(found, int) else found


def too_large(size: int, largest: float) -> UndecodableNode:
    """Make the error for a node that is too large to read."""
    return UndecodableNode(f"the znode holds {size} bytes, the limit is {largest:.0f}")


class _Share:
    """The part of one batch that is left to read, and what was found."""

    def __init__(self, session: Requester, batch: Batch) -> None:
        self.largest = batch.largest
        self.pace = Pace(batch.seen, batch.size)
        self.left = _spread(batch.paths)
        self.doubtful: list[str] = []  # paths whose stats are read first
        self.found: list[Iterable[tuple[str, Found]]] = []
        if session.care.suspects_nodes:
            known = session.care.most_together
            self.doubtful = [path for path in self.left if known(path) is not None]
            self.left = [path for path in self.left if known(path) is None]

    @property
    def done(self) -> bool:
        """True if everything has been found."""
        return not (self.left or self.doubtful or self.pace.flying)

    def take(self, count: int, most_bytes: int) -> Sequence[str]:
        """Take the next `count` paths to read, or fewer if they are too long for one request."""
        taken = next(fitting(self.left[-count:][::-1], count, most_bytes))
        del self.left[-len(taken) :]
        self.pace.flying += len(taken)
        return taken

    def add(self, paths: Sequence[str], answers: Sequence[Found]) -> int:
        """Note what was found on paths that were taken. Returns the bytes of data."""
        sizes = [len(found.data) for found in answers if isinstance(found, Node)]
        data = sum(sizes)
        self.pace.saw(len(paths), data)
        if sizes and max(sizes) > self.largest:
            self.doubtful += self.left
            self.left = []
            answers = [
                too_large(len(found.data), self.largest)
                if isinstance(found, Node) and len(found.data) > self.largest
                else found
                for found in answers
            ]
        self.found.append(zip(paths, answers, strict=True))
        return data


class _Plan(NamedTuple):
    """A request under way, and which share gets which part of the answer."""

    parts: list[tuple[_Share, Sequence[str]]]
    size: float  # expected bytes of the answer


class _Reading:
    """A read of several batches."""

    def __init__(self, session: Requester, batches: Iterable[Batch], limits: ReadLimits) -> None:
        self._session = session
        self._limits = limits
        self._shares = [_Share(session, batch) for batch in batches]
        self._open = deque(self._shares)  # those with paths left
        self._line: Line[MultiRead] = Line(session, limits)
        self._plans: deque[_Plan] = deque()
        # Of all batches together, because many small batches make a large read.
        self._pace = Pace()
        for share in self._shares:
            self._pace.seen += share.pace.seen
            self._pace.bytes += share.pace.bytes

    def results(self) -> Iterator[tuple[str, Found]]:
        """Yield all that is found."""
        with self._line:
            for share in self._shares:
                while True:
                    found, share.found = share.found, []
                    yield from chain.from_iterable(found)
                    if share.done:
                        break
                    self._step()

    def _step(self) -> None:
        """Send as many requests as may be under way, and wait for one answer."""
        while len(self._plans) < WINDOW and (plan := self._plan()).parts:
            self._plans.append(plan)
            self._line.send(MultiRead([path for _, paths in plan.parts for path in paths]))
        if not self._plans:
            self._read_doubtful(next(share for share in self._shares if share.doubtful))
            return
        plan = self._plans.popleft()
        answers = self._answer()
        at = 0
        for share, paths in plan.parts:
            data = share.add(paths, answers[at : at + len(paths)])
            self._pace.saw(len(paths), data)
            at += len(paths)

    def _answer(self) -> Sequence[Found]:
        request, answer = self._line.answer()
        if isinstance(answer, ZkDiscoveryError):
            if len(request.paths) > 1:
                raise answer
            return [answer]
        found: list[Found] = answer
        return found

    def _plan(self) -> _Plan:
        """Plan the next request; one without parts if it has to wait for an answer."""
        while self._open and not self._open[0].left:
            self._open.popleft()
        nodes = min(BATCH, self._pace.room)
        data = expected = min(float(ANSWER), IN_FLIGHT - sum(plan.size for plan in self._plans))
        text = REQUEST
        parts: list[tuple[_Share, Sequence[str]]] = []
        for share in self._open:
            size = share.pace.size or self._pace.size
            fits = int(data / size) if size else nodes
            if not (self._plans or parts):  # one node may always be read
                fits = max(1, fits)
            if nodes <= 0 or fits <= 0 or text <= 0:
                break
            count = min(nodes, fits, share.pace.room)
            if count <= 0 or not share.left:
                continue
            paths = share.take(count, text)
            count = len(paths)
            parts.append((share, paths))
            self._pace.flying += count
            nodes -= count
            data -= count * size
            text -= sum(map(len, paths)) + PATH * count
        return _Plan(parts, expected - data)

    def _read_doubtful(self, share: _Share) -> None:
        """Read the stats of the doubtful nodes, then the nodes by their sizes, one request at a time."""
        care = self._session.care
        looks = [Exists(path) for path in share.doubtful]
        share.doubtful = []
        sizes: list[tuple[int, str, int]] = []
        for look, stat in pipelined(self._session, looks, self._limits, size=0.0):
            if isinstance(stat, ZkDiscoveryError):
                share.found.append([(look.path, NO_NODE if isinstance(stat, NodeMissing) else stat)])
            elif stat.data_length > share.largest:
                share.found.append([(look.path, too_large(stat.data_length, share.largest))])
            else:
                sizes.append((-(care.most_together(look.path) or BATCH), look.path, stat.data_length))
        sizes.sort()  # nodes that may be read together with many others come first
        while sizes:
            ends = accumulate(size + OVERHEAD for _, _, size in sizes[: -sizes[0][0]])
            count = max(1, sum(end <= ANSWER for end in ends))
            count = min(count, *(-most for most, _, _ in sizes[:count]))
            paths = next(fitting([path for _, path, _ in sizes[:count]], count, REQUEST))
            del sizes[: len(paths)]
            share.pace.flying += len(paths)
            self._line.send(MultiRead(paths))
            share.add(paths, self._answer())


def _spread(paths: Sequence[str]) -> list[str]:
    """Order paths so that each beginning of the order is spread evenly over all of them."""
    number = len(paths)
    step = int(number * 0.618) | 1  # the golden ratio: no other is as far from all fractions
    while math.gcd(step, number) > 1:
        step += 2
    return [paths[index * step % number] for index in range(number)]
