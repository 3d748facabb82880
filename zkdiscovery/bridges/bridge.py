"""A bridge: makes what another system knows visible as instances in ZooKeeper.

The loop subscribes, lists, and reconciles. An event only wakes it: what is true is what the next list says. Events that
come meanwhile are merged. Every fault, of the source or of ZooKeeper, ends in a new list, after a back-off with jitter.

Threads: `run` runs on the caller's thread, and makes all calls of the source. The source's threads, the loader's worker
and the election's thread only wake it.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from contextlib import suppress

from zkdiscovery.bridges.following import Following
from zkdiscovery.bridges.source import Source, SourceRefused, SourceUnavailable
from zkdiscovery.client import Client
from zkdiscovery.errors import ClientClosed, HoldLost, InvalidSettings, ZkDiscoveryError
from zkdiscovery.session import BROKEN, StateChange

log = logging.getLogger("zkdiscovery.bridges")

BACKOFF = (0.2, 2.0)  # seconds after the first fault of a source, and at most
REFUSED_BACKOFF = 10.0  # seconds after a refusal, at least: somebody has to act
ZOOKEEPER_BACKOFF = 1.0  # seconds after a fault of ZooKeeper
MERGE = 0.1  # seconds between two turns of the loop
STEP_ASIDE = 15.0  # seconds for which a source is away from the leader before another bridge may try
CLOSE_TIMEOUT = 5.0  # seconds


class Bridge:
    """Follows one source. `run` it, and `close` it from anywhere.

    Args:
        client: the connection to ZooKeeper; it stays the caller's.
        source: what to follow; the bridge closes it.
    """

    def __init__(self, client: Client, source: Source) -> None:
        self._client = client
        self._source = source
        self._ready = threading.Condition()
        self._closing = threading.Event()
        self._source_changed = False
        self._others_changed = False
        self._subscribed = False
        self._following: Following | None = None
        self._identified = False
        self._listed = 0.0  # monotonic seconds
        self._failures = 0
        self._away_since: tuple[float, float] | None = None  # in seconds since the epoch, and monotonic
        self._reason = ""
        self._refusal = ""  # of ZooKeeper, as it was logged last
        self._ended = threading.Event()
        self._ended.set()

    @property
    def name(self) -> str | None:
        """The name of the source; None until the source has answered."""
        return None if self._following is None else self._following.name

    def run(self) -> None:
        """Follow the source until `close`.

        Raises:
            ClientClosed: the client was closed.
            InvalidSettings: the client's codec can't mark what a bridge writes.
        """
        self._ended.clear()
        session = self._client.slot.current().session
        session.listen(self._on_state)
        try:
            self._run()
        finally:
            session.unlisten(self._on_state)
            self._leave()
            self._ended.set()

    def close(self, timeout: float = CLOSE_TIMEOUT) -> None:
        """Follow the source no more, and wait for the end of `run`. What was imported stays in ZooKeeper.

        It stays until somebody takes it over or, in the case of a single engine, until the session is over.
        """
        with self._ready:
            self._closing.set()
            self._ready.notify_all()
        self._source.close()
        self._ended.wait(timeout)

    # -- what wakes it (any thread) --

    def _on_source(self) -> None:
        with self._ready:
            self._source_changed = True
            self._ready.notify_all()

    def _on_change(self) -> None:
        with self._ready:
            self._others_changed = True
            self._ready.notify_all()

    def _on_state(self, _change: StateChange) -> None:
        self._on_change()

    def _wait(self, seconds: float, *, for_others: bool) -> bool:
        """Wait for an event, at least for `MERGE` seconds. Return True if the source has told of one."""
        with self._ready:
            self._ready.wait_for(self._closing.is_set, MERGE)
            self._ready.wait_for(
                lambda: self._closing.is_set() or self._source_changed or (for_others and self._others_changed),
                max(0.0, seconds - MERGE),
            )
            changed, self._source_changed, self._others_changed = self._source_changed, False, False
            return changed

    # -- the loop --

    def _run(self) -> None:
        due = True
        while not self._closing.is_set():
            calm = True
            try:
                wait = self._turn(due=due)
                due = False
            except (SourceUnavailable, SourceRefused) as error:
                wait, calm = self._on_source_fault(error), False
            except (ClientClosed, InvalidSettings):
                if self._closing.is_set():
                    return
                raise
            except HoldLost as error:
                log.debug("the bridge of %s leads no more: %s", self._source.where, error)
                wait = ZOOKEEPER_BACKOFF
            except (ZkDiscoveryError, TimeoutError) as error:
                self._note_zookeeper_fault(error)
                wait = ZOOKEEPER_BACKOFF
            except Exception:  # a defect of a source must not end the bridge
                log.exception("the bridge of %s failed, trying again", self._source.where)
                wait, calm = self._on_source_fault(None), False
            due = self._wait(wait, for_others=calm) or due or not calm

    def _turn(self, *, due: bool) -> float:
        """Take one turn. Return the seconds until the next one, if nothing happens."""
        following = self._identify()
        if not following.prepare():
            return self._source.relist
        if due or following.listing_due or time.monotonic() - self._listed >= self._source.relist:
            following.ask()
            self._listed = time.monotonic()
            self._note_back()
        following.reconcile()
        if following.listing_due:
            return MERGE
        left = self._listed + self._source.relist * random.uniform(0.9, 1.1) - time.monotonic()
        return max(0.0, min(left, following.retry_delay))

    def _identify(self) -> Following:
        """Find out what the source is, after each fault anew, and subscribe to it."""
        if self._following is None or not self._identified:
            identity = self._source.identity()
            if self._following is not None and self._following.identity != identity:
                log.warning("behind %s is another source than %s now", self._source.where, self._following.name)
                self._following.retire()
                self._leave()
            if self._following is None:
                self._following = Following(self._client, self._source, identity, self._on_change)
                log.info("following %s at %s", self._following.name, self._source.where)
            self._identified = True
        if not self._subscribed:
            self._source.subscribe(self._on_source)
            self._subscribed = True
        return self._following

    def _leave(self) -> None:
        following, self._following = self._following, None
        if following is not None:
            with suppress(ZkDiscoveryError):
                following.close(CLOSE_TIMEOUT)

    # -- faults of the source --

    def _on_source_fault(self, error: ZkDiscoveryError | None) -> float:
        """Say that the source is away. Return the seconds until the next try."""
        self._identified = False
        if self._closing.is_set():
            return 0.0
        if self._away_since is None:
            self._away_since = time.time(), time.monotonic()
        reason = "the bridge failed; its log says why" if error is None else str(error)
        if reason != self._reason:
            level = logging.ERROR if isinstance(error, SourceRefused) else logging.WARNING
            log.log(level, "can't follow %s, trying again: %s", self._source.where, reason)
            self._reason = reason
        if self._following is not None:
            try:
                self._following.tell_away(self._away_since[0], reason)
                if time.monotonic() - self._away_since[1] >= STEP_ASIDE:
                    self._following.step_aside()
                    self._away_since = None
            except ZkDiscoveryError as failure:  # the next try says it
                log.debug("can't say that %s is away: %s", self._source.where, failure)
        first, longest = BACKOFF
        delay = min(longest, first * 2.0 ** min(self._failures, 10))
        self._failures += 1
        if isinstance(error, SourceRefused):
            delay = max(delay, REFUSED_BACKOFF)
        return delay * random.uniform(0.5, 1.0)

    def _note_zookeeper_fault(self, error: Exception) -> None:
        """Log a refusal once; what is wrong with the connection, the session logs."""
        level = logging.DEBUG if isinstance(error, (*BROKEN, TimeoutError)) else logging.WARNING
        if str(error) != self._refusal:
            log.log(level, "can't write what %s has, trying again: %s", self._source.where, error)
        self._refusal = str(error)

    def _note_back(self) -> None:
        since, self._away_since = self._away_since, None
        self._failures, self._reason = 0, ""
        if since is not None:
            log.info("%s is back after %.1f s", self._source.where, time.monotonic() - since[1])
