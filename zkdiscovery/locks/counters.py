"""The counters of one client: whole numbers in persistent nodes, each change made exactly once.

The value is decimal text, as kazoo's `Counter` writes it, in a persistent node: a container is reaped once it is empty,
and the counter would start at 0 again. Beside it is the ledger, see ledger.py.

Guarantees
- A change names the versions of the value and the ledger that it saw, so it replaces what it has read or nothing.
- A change whose answer was lost is looked for in the ledger, after a `sync`, before it is tried again. So no change is
  made twice. If nobody can tell whether it was made, the error has `outcome_unknown`.
- A change with a guard is made only while the hold lasts: see znodes/guarded.py.

Threads: any thread calls; a call blocks at most for its timeout. The threads of one client take turns at a counter, so
they do not contend with each other.
"""

from __future__ import annotations

import itertools
import random
import re
import secrets
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from zkdiscovery.core import Core, Feature
from zkdiscovery.errors import (
    CounterOverflow,
    NodeChanged,
    NodeExists,
    NodeMissing,
    OperationTimeout,
    UndecodableNode,
    ZkDiscoveryError,
)
from zkdiscovery.locks.ledger import Ledger, Mark, decode, encode, ledger_path, was_made, with_mark
from zkdiscovery.session import (
    NO_NODE,
    Create,
    GetData,
    Node,
    Session,
    SetData,
    Sync,
    Write,
    bulk_read,
    why_unread,
)
from zkdiscovery.validation import deadline_after
from zkdiscovery.znodes import BaseHold, execute_writes, make_container, parent_of

LEAST, LARGEST = -(2**63), 2**63 - 1

PAUSES = (0.002, 0.1)  # seconds: after the first conflict at most, and after any

_NUMBER = re.compile(rb"[+-]?[0-9]{1,19}")


class Counters(Feature):
    """The counters of one client. It holds nothing, so it works until the client closes."""

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        self._client = secrets.token_hex(8)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._turns: weakref.WeakValueDictionary[str, _Turn] = weakref.WeakValueDictionary()

    def value(self, path: str, timeout: float) -> int:
        """Return the value after all changes that were made before; 0 if there is no counter yet.

        Raises:
            UndecodableNode: what the node holds is no number.
            NotConnected, OperationTimeout, AccessDenied: not answered within `timeout` seconds, or refused.
        """
        session = self.core.session

        def once(deadline: float, generation: int) -> int:
            session.call(Sync(path), deadline=deadline, generation=generation)
            try:
                node: Node | None = session.call(GetData(path), deadline=deadline, generation=generation)
            except NodeMissing:
                node = None
            return _value(path, node)

        return session.retry(once, timeout)

    def change(
        self, path: str, title: str, compute: Callable[[int], int | None], guard: BaseHold | None, timeout: float
    ) -> int | None:
        """Replace the value by what `compute` makes of it.

        Args:
            path: of the counter.
            title: names it, in messages.
            compute: returns the new value; None: change nothing. It may be called again with another value.
            guard: change it only while this hold lasts; None: in any case.
            timeout: seconds.

        Returns:
            the new value; None if nothing was changed.

        Raises:
            HoldLost: the hold is over, and nothing was changed.
            CounterOverflow: the new value does not fit into 64 bits; nothing was changed.
            UndecodableNode: what the node holds is no number.
            NotConnected, OperationTimeout, AccessDenied: not done within `timeout` seconds, or refused.
        """
        end = deadline_after(timeout)
        with self._turn(path, title, end):
            change = _Change(self.core.session, path, title, compute, guard, Mark(self._client, next(self._numbers)))
            try:
                return self.core.session.retry(change.once, max(0.0, end - time.monotonic()))
            except ZkDiscoveryError as error:
                if change.in_doubt and not error.outcome_unknown:
                    raise change.doubtful(error) from error
                raise

    @contextmanager
    def _turn(self, path: str, title: str, end: float) -> Iterator[None]:
        with self._lock:
            turn = self._turns.setdefault(path, _Turn())
        if not turn.lock.acquire(timeout=max(0.0, end - time.monotonic())):
            raise OperationTimeout(f"{title} was not changed in time: other threads were changing it", path=path)
        try:
            yield
        finally:
            turn.lock.release()


class _Turn:
    """Held by the thread that changes a counter."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


class _Seen(NamedTuple):
    """A counter as it was read. The nodes are None where there are none."""

    value: int
    ledger: Ledger
    value_node: Node | None
    ledger_node: Node | None


class _Tried(NamedTuple):
    """A change that may have been made.

    Attributes:
        value: the new value.
        before: the ledger that it was to replace.
    """

    value: int
    before: Ledger


class _Change:
    """One change of one counter.

    Attributes:
        in_doubt: True while nobody knows whether it was made.
    """

    def __init__(
        self,
        session: Session,
        path: str,
        title: str,
        compute: Callable[[int], int | None],
        guard: BaseHold | None,
        mark: Mark,
    ) -> None:
        self._session = session
        self._path = path
        self._title = title
        self._compute = compute
        self._guard = guard
        self._mark = mark
        self._tried: _Tried | None = None
        self.in_doubt = False

    def doubtful(self, error: ZkDiscoveryError) -> ZkDiscoveryError:
        """Make an error that tells that the change may have been made."""
        return type(error)(
            f"{error}; the change of {self._title} may have been made",
            path=error.path, server=error.server, outcome_unknown=True,
        )  # fmt: skip

    def once(self, deadline: float, generation: int) -> int | None:
        """Make the change on one connection."""
        session, path = self._session, self._path
        for tries in itertools.count():
            seen = _read(session, path, generation, deadline)
            if self._tried is not None and self._find(self._tried, seen):
                return self._tried.value
            value = self._compute(seen.value)
            if value is None:
                return None
            check_range(self._title, path, value)
            if self._replace(seen, value, generation, deadline):
                return value
            first, longest = PAUSES
            left = deadline - time.monotonic() - longest  # what is shorter is no time for another try
            if left <= 0:
                break
            session.closing.wait(min(left, random.uniform(0.0, min(longest, first * 2.0 ** min(tries, 10)))))
        raise OperationTimeout(f"{self._title} was not changed in time: others changed it at each try", path=path)

    def _replace(self, seen: _Seen, value: int, generation: int, deadline: float) -> bool:
        """Replace what was seen. False if another client was faster."""
        session, path = self._session, self._path
        writes = _writes(path, seen, value, self._mark, session)
        try:
            execute_writes(session, writes, guard=self._guard, generation=generation, deadline=deadline)
        except (NodeChanged, NodeExists):
            return False
        except NodeMissing:
            if seen.value_node is None:
                make_container(session, parent_of(path), generation=generation, deadline=deadline)
            return False
        except ZkDiscoveryError as error:
            if error.outcome_unknown:
                self._tried, self.in_doubt = _Tried(value, seen.ledger), True
            raise
        return True

    def _find(self, tried: _Tried, seen: _Seen) -> bool:
        """Tell whether an earlier try has made the change.

        A try that was not executed by now never is: ZooKeeper executes no request of a connection after it has
        answered a later one of the same client.
        """
        made = was_made(self._mark, tried.before, seen.ledger)
        if made is None:
            raise OperationTimeout(
                f"the answer to a change of {self._title} was lost, and so many other clients have changed it since"
                " that nobody can tell whether the change was made", path=self._path, outcome_unknown=True,
            )  # fmt: skip
        self.in_doubt = False
        return made


def check_range(title: str, path: str, value: int) -> None:
    """Raise CounterOverflow if a new value does not fit into 64 bits."""
    if not LEAST <= value <= LARGEST:
        raise CounterOverflow(f"{title} was not changed, because {value} is beyond 64 bits", path=path)


def _read(session: Session, path: str, generation: int, deadline: float) -> _Seen:
    """Read a counter after all that was written before, in one round trip."""
    request = Sync(path)
    synced = session.submit(request, deadline=deadline, generation=generation)
    nodes: list[Node | None] = []
    for where, found in bulk_read(session, [path, ledger_path(path)], generation=generation, deadline=deadline):
        if not isinstance(found, Node) and found != NO_NODE:
            raise why_unread(where, found, session.server)
        nodes.append(found if isinstance(found, Node) else None)
    session.result(synced, request, deadline)
    value_node, ledger_node = nodes
    ledger: Ledger = () if ledger_node is None else decode(ledger_path(path), ledger_node.data)
    return _Seen(_value(path, value_node), ledger, value_node, ledger_node)


def _value(path: str, node: Node | None) -> int:
    if node is None or not node.data:  # kazoo makes an empty node first
        return 0
    value = int(node.data) if _NUMBER.fullmatch(node.data) else None
    if value is None or not LEAST <= value <= LARGEST:
        raise UndecodableNode(
            f"{path} holds no counter, which is a whole number in decimal digits, of at most 64 bits:"
            f" {node.data[:40]!r}", path=path,
        )  # fmt: skip
    return value


def _writes(path: str, seen: _Seen, value: int, mark: Mark, session: Session) -> list[Write]:
    acl = session.parent_acl
    nodes = (
        (path, str(value).encode(), seen.value_node),
        (ledger_path(path), encode(with_mark(seen.ledger, mark)), seen.ledger_node),
    )
    writes: list[Write] = []
    for where, data, node in nodes:
        if node is None:
            writes.append(Create(where, data, acl))
        else:
            writes.extend(overwrite(where, data, node.stat.version))
    return writes


def overwrite(path: str, data: bytes, version: int) -> Sequence[SetData]:
    """Return the writes that replace one version of a node.

    Versions have 32 bits: 2 ** 31 - 1 is followed by - 2 ** 31. In a request the version - 1 stands for any, so no
    write could name it. Two writes in one transaction go past it.
    """
    writes = [SetData(path, data, version)]
    return writes if version != -2 else [*writes, SetData(path, data)]
