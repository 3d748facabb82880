"""Follows the documents of one configuration on the connections of one client.

Threads: events arrive on the connection thread, and only make a read due. Everything else runs on the worker of the
feature `Configs`, one task at a time, so no read overtakes another.

Guarantees
- On each connection it watches first, then lets the server catch up, then reads. So it misses nothing, and never goes
  back to what is older than what anybody has seen before.
- What it delivers was in ZooKeeper at one moment: see fetching.py.
- A read that fails changes nothing. It is done again, after `RETRY_DELAYS`.
- A change costs two requests, and at most one for each piece that changed. Changes that come during a read are read
  together. The status is written once for all changes within `STATUS_DELAY`, and only if it differs.
"""

from __future__ import annotations

import logging
import random
import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from zkdiscovery.config.fetching import Fetched, Fetcher
from zkdiscovery.config.layout import Layout
from zkdiscovery.config.pointer import Pointer
from zkdiscovery.core import Core
from zkdiscovery.errors import ZkDiscoveryError
from zkdiscovery.session import BROKEN, EventKind, ReadLimits, State, StateChange, Sync
from zkdiscovery.threads import Worker
from zkdiscovery.znodes import OwnedNode

log = logging.getLogger("zkdiscovery.config")

RETRY_DELAYS = (0.5, 10.0)  # seconds after the first read that failed on a standing connection, and at most
ONE_TRANSACTION = 0.005  # seconds between the events of one transaction, at most, unless a thread is starved
STATUS_DELAY = 0.2  # seconds in which changes of the status are written together


class Target(Protocol):
    """What takes the documents. All methods are called on the worker."""

    def take(self, documents: Sequence[Fetched], generation: int) -> None:
        """Take what ZooKeeper holds, in the order of the layers, and on which connection it was read."""

    def status(self) -> bytes:
        """What to write into the status of the reader."""

    def note_failure(self) -> None:
        """Note that `error` has changed."""


class Follower:
    """Reads the documents of one configuration, and keeps its status.

    Args:
        core: of the client.
        worker: reads.
        layouts: of the documents, the lowest layer first.
        choose: returns the revision that counts.
        title: names the configuration, in messages.
        target: returns what takes the documents; None: nobody refers to it any more.

    Attributes:
        error: why the last read failed; None: it did not.
    """

    def __init__(
        self,
        core: Core,
        worker: Worker,
        layouts: Sequence[Layout],
        choose: Callable[[Pointer], int],
        title: str,
        target: Callable[[], Target | None],
    ) -> None:
        session = core.session
        self._core = core
        self._session = session
        self._worker = worker
        self._title = title
        self._target = target
        self._root = layouts[0].root
        self._fetcher = Fetcher(session, layouts, choose)
        self._status_path = f"{core.paths.config_readers()}/{secrets.token_hex(8)}"
        self._closed = False
        self.error: ZkDiscoveryError | None = None
        # Used by the worker only:
        self._armed = 0  # number of the connection on which the watches are set
        self._failures = 0  # in a row
        self._node: OwnedNode | None = None
        worker.start()  # before anything listens
        self._watches = [session.watches.add(layout.pointer, self._on_event) for layout in layouts]
        session.listen(self._on_state)
        self._due()

    def is_fresh(self, generation: int) -> bool:
        """Return True if this is the present connection, so that every change since is heard of."""
        session = self._session
        live = session.state is State.CONNECTED and not self._closed
        return live and generation == session.generation and self.error is None

    def close(self) -> None:
        """Stop; the status goes. Never blocks."""
        self._closed = True
        self._session.unlisten(self._on_state)
        for task in (self._read, self._report):
            self._worker.cancel((self, task.__name__))
        for watch in self._watches:
            watch.close()
        self._release_if_closed()

    def _release_if_closed(self) -> None:
        """Let the status go, whichever of `close` and `_report` comes last."""
        if self._closed and (node := self._node) is not None:
            node.release()

    def _on_state(self, change: StateChange) -> None:
        if change.state is State.CONNECTED:
            self._due()

    def _on_event(self, _kind: EventKind, _path: str) -> None:
        # A read that begins between the events of a transaction sees all of it, and would be repeated for nothing.
        self._due(ONE_TRANSACTION if len(self._watches) > 1 else 0.0)

    def _due(self, delay: float = 0.0) -> None:
        self._worker.schedule((self, self._read.__name__), self._read, delay)

    # -- the worker --

    def _read(self) -> None:
        target, session = self._target(), self._session
        generation = session.generation
        if target is None:
            self.close()
        if self._closed or target is None or session.state is not State.CONNECTED:  # the next connection makes it due
            return
        try:
            documents = self._fetch(generation)
        except (ZkDiscoveryError, TimeoutError) as error:
            self._failed(error, target)
            return
        self._armed = generation
        self._failures, self.error = 0, None
        target.take(documents, generation)
        self._worker.schedule((self, self._report.__name__), self._report, STATUS_DELAY)

    def _fetch(self, generation: int) -> list[Fetched]:
        session = self._session
        patience = session.settings.operation_timeout
        deadline = time.monotonic() + patience
        answers: list[Future[Any]] = []
        if generation != self._armed:  # requests are answered in order, so nothing is waited for before the read
            answers = session.watches.arm(self._watches, generation=generation, deadline=deadline)
            answers.append(session.submit(Sync(self._root), deadline=deadline, generation=generation))
        documents = self._fetcher.fetch(ReadLimits(generation, deadline, patience))
        for answer in answers:
            answer.result(patience)
        return documents

    def _failed(self, error: Exception, target: Target) -> None:
        """Try again later. An end of the connection is no failure: the next one makes a read due."""
        self._failures += 1
        first, longest = RETRY_DELAYS
        pause = min(longest, first * 2.0 ** min(self._failures - 1, 10)) * random.uniform(0.75, 1.25)
        if isinstance(error, ZkDiscoveryError) and not isinstance(error, BROKEN):
            if str(error) != str(self.error):
                log.warning("%s can't be read, trying again: %s", self._title, error)
            self.error = error
            target.note_failure()
        self._due(pause)

    def _report(self) -> None:
        """Write the status, unless it stands there already."""
        target = self._target()
        if target is None or self._closed:
            return
        data = target.status()
        if self._node is not None:
            self._node.write(data)
        else:
            self._node = self._core.nodes.own(self._status_path, data, acl=self._session.parent_acl)
            self._release_if_closed()
