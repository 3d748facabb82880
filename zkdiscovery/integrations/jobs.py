"""Parts that schedulers of jobs share: a duty that only the leader has, and the record of runs that leaders have begun.

Guarantees
- A run is recorded in ZooKeeper before it begins, by a write that fails once a later term has taken the record over.
- The next leader learns from the record which runs were begun. It repeats none of them, and knows which ones are due.

Threads: a duty campaigns on the thread of its election, which calls `prepare`. Jobs begin on any thread.
"""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple, TypeVar

from zkdiscovery.client import Client
from zkdiscovery.core import Feature, Phase
from zkdiscovery.election import Election, Term
from zkdiscovery.errors import LeadershipLost, NodeChanged, NodeExists, NodeMissing, OperationTimeout
from zkdiscovery.session import Create, GetData, SetData, Sync
from zkdiscovery.validation import check_name
from zkdiscovery.znodes import parent_of
from zkdiscovery.znodes.parents import make_container

T = TypeVar("T")

log = logging.getLogger("zkdiscovery.integrations.jobs")

AHEAD = 10.0  # seconds; clocks that differ by less are no news
MAX_NAMES = 1000  # in a record, the latest: a node has 1 MB at most, and each run writes all of it
WRITE_TIMEOUT = 5.0  # seconds for one write of the record; less if the term ends before

_current: ContextVar[Term] = ContextVar("the term of a job")


def current_term() -> Term:
    """Return the term under which the running job began: its `fence`, `check()`, `lost` and `remaining`.

    Raises:
        LookupError: no job of a leader's scheduler runs here.
    """
    try:
        return _current.get()
    except LookupError:
        raise LookupError(
            "no job of a leader's scheduler runs here; current_term() works in the function of the job, and in what it"
            " calls on the same thread or task"
        ) from None


@contextmanager
def running_under(term: Term) -> Iterator[None]:
    """Let `current_term()` return `term` in the block."""
    token = _current.set(term)
    try:
        yield
    finally:
        _current.reset(token)


class Records(Feature):
    """Reads and writes the records of one client, until it closes: `<namespace>/jobs/<election>`."""

    phase = Phase.VIEWS

    def read(self, election: str, timeout: float) -> tuple[int | None, bytes]:
        """Return the version and the data of a record, after all that was written before; None if there is none.

        Raises:
            ZkDiscoveryError: as `Session.read`.
        """
        session, path = self.core.session, self.core.paths.jobs(election)
        session.read(Sync(path), timeout=timeout)
        try:
            node = session.read(GetData(path), timeout=timeout)
        except NodeMissing:
            return None, b""
        return node.stat.version, node.data

    def write(self, election: str, data: bytes, version: int | None, timeout: float) -> int | None:
        """Replace a version of a record; None is no record. Return the new version.

        Return None if there is another version by now, maybe by this very write, whose answer was lost.

        Raises:
            ZkDiscoveryError: as `Session.retry` and `Session.call`.
        """
        session, path = self.core.session, self.core.paths.jobs(election)

        def once(deadline: float, generation: int) -> int:
            request: Create | SetData
            if version is None:
                make_container(session, parent_of(path), generation=generation, deadline=deadline)
                request = Create(path, data, session.leaf_acl)
            else:
                request = SetData(path, data, version)
            written: int = session.call(request, deadline=deadline, generation=generation).version
            return written

        try:
            return session.retry(once, timeout)
        except (NodeChanged, NodeExists, NodeMissing):
            return None


class _Known(NamedTuple):
    """A record as it was read or written last. `version` is None while there is no node."""

    version: int | None
    fence: int
    runs: Mapping[str, float]


class Record:
    """The latest run of each name that leaders of one election have begun, in seconds since the epoch.

    Each write names the version that it replaces, and the record holds the fence of the last term that took it over.
    So a leader that was paused until its term had ended records nothing once its successor has begun. Any thread may
    call.
    """

    def __init__(self, client: Client, election: str) -> None:
        self._client = client
        self._election = check_name(election, "the election name")
        self._known = _Known(None, 0, {})

    def take_over(self, term: Term) -> Mapping[str, float]:
        """Refuse the writes of earlier terms from now on; return the latest runs.

        Raises:
            LeadershipLost: a later term has taken the record over, or this one has ended.
            NotConnected: ZooKeeper can't be reached while the term lasts.
            OperationTimeout: no answer in time.
            AccessDenied: an ACL forbids it.
        """
        while True:
            term.check()
            known = self._known = self._read(term)
            self._check_fence(term, known)
            if self._write(term, known.version, known.runs):
                break
        ahead = max(known.runs.values(), default=0.0) - time.time()
        if ahead > AHEAD:
            log.warning(
                "a leader of the election %r has begun a run of %.0f s in the future, so its job pauses until then;"
                " check the clocks, or delete %s and let another process lead",
                self._election, ahead, self._client.slot.current().paths.jobs(self._election),
            )  # fmt: skip
        return known.runs

    def begin(self, term: Term, name: str, at: float) -> None:
        """Record the run of `name` that is due at `at`, and check the term. Call it right before the run.

        Nothing is written if a run of this name that is due as late as that is recorded already.

        Raises: as `take_over`.
        """
        term.check()
        while True:
            known = self._known
            self._check_fence(term, known)
            if known.runs.get(name, -math.inf) >= at:
                break
            runs = {**known.runs, name: at}
            if len(runs) > MAX_NAMES:
                del runs[min(runs, key=lambda name: runs[name])]
            if self._write(term, known.version, runs):
                break
            self._known = self._read(term)
        term.check()  # the write may have taken long

    def _check_fence(self, term: Term, known: _Known) -> None:
        if known.fence > term.fence:
            raise LeadershipLost(
                f"the term {term.fence} of {self._election!r} is over: the jobs are run by the term {known.fence}"
            )

    def _read(self, term: Term) -> _Known:
        records = self._client.feature(Records)
        version, data = _within(term, lambda timeout: records.read(self._election, timeout))
        if version is None:
            return _Known(None, 0, {})
        return _Known(version, *_decode(self._election, data))

    def _write(self, term: Term, version: int | None, runs: Mapping[str, float]) -> bool:
        """Replace the version that is known. False if there is another one by now."""
        data = json.dumps({"fence": term.fence, "runs": runs}, separators=(",", ":")).encode()
        records = self._client.feature(Records)
        written = _within(term, lambda timeout: records.write(self._election, data, version, timeout))
        if written is not None:
            self._known = _Known(written, term.fence, runs)
        return written is not None


def _within(term: Term, call: Callable[[float], T]) -> T:
    """Make a request while the term lasts.

    Raises:
        LeadershipLost: the term has ended meanwhile, so no time was left.
    """
    try:
        return call(min(WRITE_TIMEOUT, term.remaining))
    except OperationTimeout:
        term.check()
        raise


def _decode(election: str, data: bytes) -> tuple[int, dict[str, float]]:
    """Return the fence and the runs of a record. One that can't be read counts as none, because it is untrusted."""
    try:
        value = json.loads(data)
        runs = {name: float(at) for name, at in value["runs"].items() if math.isfinite(at)}
        return int(value["fence"]), runs
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        log.warning("the record of the jobs of the election %r can't be read and is replaced: %s", election, error)
        return 0, {}


class Duty:
    """A duty that only the leader of an election has: campaigns from `start` to `close`, again after each loss.

    A term whose jobs still run when it ends is followed by no other one of this process before they have ended. After
    `close`, and where the client drains, other candidates wait for them as well, within the limits of the election.

    Args:
        client: holds the term and the record.
        election: name of the election.
        prepare: is called with each term and the runs that are recorded, before jobs begin under that term.
    """

    def __init__(
        self,
        client: Client,
        election: str,
        prepare: Callable[[Term, Mapping[str, float]], object],
    ) -> None:
        self._client = client
        self._name = election
        self._prepare = prepare
        self._record = Record(client, election)
        self._election: Election | None = None
        self._idle = threading.Condition()
        self._running = 0  # jobs

    def start(self) -> None:
        """Begin to campaign. Never waits for ZooKeeper.

        Raises:
            InvalidSettings: the settings of the client can't be used.
            ClientClosed: the client was closed.
            NoThreadAvailable: the system has no thread to give.
        """
        self._election = self._client.election(self._name)
        self._election.start(self._lead)

    def close(self) -> None:
        """End the term, wait for its jobs and leave the election, within the limit of `Election.close`. Idempotent."""
        if self._election is not None:
            self._election.close()

    def begin(self, term: Term, name: str, at: float) -> None:
        """Record a run and check the term, as `Record.begin`."""
        self._record.begin(term, name, at)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Count what runs in the block as a job of the present term."""
        with self._idle:
            self._running += 1
        try:
            yield
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()

    def _lead(self, term: Term) -> None:
        """Work for one term (thread of the election)."""
        self._prepare(term, self._record.take_over(term))
        term.wait_lost(None)
        with self._idle:
            self._idle.wait_for(lambda: self._running == 0)
