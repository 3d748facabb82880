"""The part of a configuration that the sync and the async one share: the value, its sources, the steps of waiting.

Threads: the worker of the feature `Configs` takes documents. Any thread reads; what is in force is one attribute that
is replaced in one assignment, so reading needs no lock.
"""

from __future__ import annotations

import copy
import logging
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Generic, NamedTuple, Self, TypeVar

from zkdiscovery.config.change import ConfigChange, ConfigRejection, ConfigSource, changed, unless_empty
from zkdiscovery.config.configs import Configs, Following
from zkdiscovery.config.documents import Document
from zkdiscovery.config.fallback import Fallback
from zkdiscovery.config.fetching import Fetched
from zkdiscovery.config.merging import ABSENT, differences, lookup, merge
from zkdiscovery.config.statuses import encode_status
from zkdiscovery.core import Core, CoreSlot
from zkdiscovery.errors import ClientClosed, InvalidDocument, NotConnected, ZkDiscoveryError
from zkdiscovery.threads import Monitor, Steps, Subscribers, Subscription, Until
from zkdiscovery.validation import check_function, deadline_after

M = TypeVar("M")

log = logging.getLogger("zkdiscovery.config")

GRACE = 0.5  # seconds that a start waits for ZooKeeper although there is a value from the fallback file


class ConfigOptions(NamedTuple):
    """What a configuration is made of.

    Attributes:
        name: of the configuration.
        layers: the names of its documents, the lowest first.
        validate: makes the value of a document; raises InvalidDocument.
        open: returns the content of a document, with `Encrypted` where it is encrypted; raises InvalidDocument.
        reader: what it calls itself.
        group: the id by which it belongs to a percentage of the readers.
        fallback: its file.
    """

    name: str
    layers: tuple[str, ...]
    validate: Callable[[Document], Any]
    open: Callable[[Fetched], Document]
    reader: str
    group: str
    fallback: Fallback | None


class _Reading(NamedTuple):
    """What is in force.

    Attributes:
        value: of the model.
        merged: all layers on top of each other.
        documents: the layers.
    """

    value: Any
    merged: Document
    documents: tuple[Fetched, ...]


class BaseConfig(Generic[M]):
    """A live configuration. `value` reads memory: it never waits for ZooKeeper or for a lock."""

    def __init__(self, options: ConfigOptions, slot: CoreSlot) -> None:
        self.name = options.name
        self._options = options
        self._title = f"the configuration {options.name!r}"
        self._slot = slot
        # Without a reference to this object, so that one that nobody refers to any more is gone.
        this = weakref.WeakMethod(self.update_hold)

        def update_hold() -> None:
            if (method := this()) is not None:
                method()

        self._subscribers: Subscribers[ConfigChange[M]] = Subscribers(
            slot.dispatcher, ConfigChange.then, on_first=update_hold, on_last=update_hold
        )
        self._mailboxes: dict[int, list[ConfigChange[M]]] = {}  # one for each loop over changes(), of one change
        self._changed = Monitor()
        self._reviving = threading.Lock()
        self._closed = False
        self._reading: _Reading | None = None
        self._rejected: ConfigRejection | None = None
        self._generation = 0  # number of the connection on which it was read last
        self._configs: Configs | None = None
        self._following: Following | None = None  # None until `revive`, and again in a forked child
        if options.fallback is not None and (saved := options.fallback.load(options.layers)) is not None:
            self._start_from(saved)

    # -- reading --

    @property
    def value(self) -> M:
        """The value in force: the last one that the model has accepted.

        Raises:
            InvalidDocument: there is none yet, because the model refuses what is stored.
            NotConnected: there is none yet; `wait_ready` waits for it.
        """
        self._follow()
        reading = self._reading
        if reading is None:
            raise self._nothing()
        return reading.value  # type: ignore[no-any-return]  # as the model says

    @property
    def revisions(self) -> Mapping[str, int]:
        """The revision of each document from which the value was made; 0: there is no such document."""
        self._follow()
        return _revisions(() if self._reading is None else self._reading.documents)

    @property
    def rejected(self) -> ConfigRejection | None:
        """The revisions that are stored, but that the model refuses, and why; None: the newest are in force."""
        self._follow()
        return self._rejected

    @property
    def stale(self) -> bool:
        """True if ZooKeeper can't be asked at the moment, so there may be newer revisions."""
        following = self._follow()
        return self._reading is None or following is None or not following.is_fresh(self._generation)

    def source(self, key: str) -> ConfigSource | None:
        """Return where a value comes from; None if no document has the key, as for a default of the model.

        Of a mapping, it is the last document that has a part in it.

        Args:
            key: with dots between the levels.
        """
        self._follow()
        reading = self._reading
        if reading is None or lookup(reading.merged, key) is ABSENT:
            return None
        for fetched in reversed(reading.documents):
            if lookup(fetched.document, key) is not ABSENT:
                return ConfigSource(fetched.name, fetched.number)
        return None

    # -- the steps of waiting --

    def _loading(self, timeout: float | None) -> Steps[Self]:
        end = deadline_after(timeout)
        following = self._follow()
        session = self._slot.current().session if following is not None else None

        def settled() -> bool:
            return self._closed or not self.stale or (self._reading is None and self._rejected is not None)

        def hopeless() -> bool:
            return session is not None and session.fatal_error is not None

        also = None if session is None else session.changed
        patience = end if self._reading is None else min(end, time.monotonic() + GRACE)
        yield Until(lambda: settled() or hopeless(), patience, self._changed, also)
        with self._changed:
            if self._closed:
                raise self._was_closed()
            if self._reading is not None:
                return self
        if session is not None and (error := session.fatal_error) is not None:
            raise copy.copy(error)  # each raising of one and the same would lengthen its traceback
        raise self._nothing()

    @contextmanager
    def _mailbox(self) -> Iterator[list[ConfigChange[M]]]:
        """A list that holds the changes which nobody has taken, merged into one."""
        self._follow()
        with self._changed:
            waiting = self._known()
            self._mailboxes[id(waiting)] = waiting
        try:
            yield waiting
        finally:
            self._mailboxes.pop(id(waiting), None)  # without a lock, because the garbage collector may run this

    def _changing(self, waiting: list[ConfigChange[M]], timeout: float | None) -> Steps[ConfigChange[M] | None]:
        """Wait for the next change. None: it is closed, or the time is over."""
        self._follow()  # the body of the loop may have forked
        yield Until(lambda: waiting or self._closed, deadline_after(timeout), self._changed)
        with self._changed:
            return waiting.pop() if waiting else None

    def _subscribe(self, fn: Callable[[ConfigChange[M]], object]) -> Subscription[ConfigChange[M]]:
        check_function(fn, "a callback")
        self._follow()
        with self._changed:
            if self._closed:
                raise self._was_closed()
            return self._subscribers.subscribe(unless_empty(fn), *self._known())

    # -- the worker --

    def take(self, documents: Sequence[Fetched], generation: int) -> None:
        """Take what ZooKeeper holds: put it in force, unless the model refuses it."""
        known = self._reading
        rejected: ConfigRejection | None = None
        reading = known
        try:
            merged = merge(map(self._options.open, documents))
            same = known is not None and not differences(known.merged, merged)
            value = known.value if known is not None and same else self._options.validate(merged)
            reading = _Reading(value, merged, tuple(documents))
        except InvalidDocument as error:
            rejected = ConfigRejection(_revisions(documents), str(error))
            if rejected != self._rejected:
                log.warning("%s keeps its value, because %s refused: %s", self._title, _named(documents), error)
        with self._changed:
            if self._closed:
                return
            self._reading, self._rejected, self._generation = reading, rejected, generation
            if reading is not None and reading is not known:
                self._tell(known, reading)
            self._changed.notify_all()
        if reading is not None and reading is not known and self._options.fallback is not None:
            self._options.fallback.save(reading.documents)

    def _tell(self, known: _Reading | None, reading: _Reading) -> None:
        """Tell of a change. The caller holds the lock, so that nobody is told twice and nobody misses one."""
        change: ConfigChange[M] = changed(
            None if known is None else known.value, reading.value, {} if known is None else known.merged, reading.merged
        )
        if change.empty:
            return
        for mailbox in list(self._mailboxes.values()):
            merged = mailbox[0].then(change) if mailbox else change
            mailbox[:] = [] if merged.empty else [merged]
        self._subscribers.offer(change)

    def status(self) -> bytes:
        """Return what it says of itself (worker)."""
        documents = () if self._reading is None else self._reading.documents
        return encode_status(self._options.reader, self.name, _revisions(documents), self._rejected)

    def note_failure(self) -> None:
        """Let those who wait look again (worker)."""
        with self._changed:
            self._changed.notify_all()

    def _start_from(self, saved: Sequence[Fetched]) -> None:
        try:
            merged = merge(map(self._options.open, saved))
            self._reading = _Reading(self._options.validate(merged), merged, tuple(saved))
        except InvalidDocument as error:
            log.warning("the fallback file of %s is not used, because the model refuses it: %s", self._title, error)

    # -- life --

    def revive(self, core: Core) -> None:
        """Follow the documents with this core, unless it does already or is closed.

        Raises:
            NoThreadAvailable: the system has no thread to give; the next use tries again.
        """
        with self._reviving:
            if self._following is None and not self._closed:
                group = self._options.group
                self._configs = core.feature(Configs)
                self._following = self._configs.follow(
                    self._options.layers, lambda pointer: pointer.chosen(group), self._title, self
                )
        self.update_hold()
        self._leave_if_closed()

    def update_hold(self) -> None:
        """Keep this object alive while it has subscriptions."""
        if (configs := self._configs) is not None:
            configs.hold(self, lambda: bool(self._subscribers) and not self._closed)

    def stop_following(self) -> None:
        """Stop following; the last value stays readable, as stale. Never blocks; idempotent."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
        self._subscribers.close()
        self._leave_if_closed()

    def forked(self) -> None:
        """In a forked child: the value as it was, stale; a connection of the child's own at the first use."""
        self._changed = Monitor()
        self._reviving = threading.Lock()
        self._generation, self._configs, self._following = 0, None, None

    def __repr__(self) -> str:
        following = self._following
        live = following is not None and following.is_fresh(self._generation)
        state = "closed" if self._closed else "empty" if self._reading is None else "live" if live else "stale"
        return f"<{type(self).__name__} {self.name!r} {state}>"

    def __reduce__(self) -> str:
        raise TypeError("a configuration holds a connection and can't be pickled; call config() in the other process")

    def _follow(self) -> Following | None:
        """Follow with a forked child's own client at the first use. None: closed before that."""
        if self._following is None and not self._closed:
            try:
                self.revive(self._slot.current())
            except ClientClosed:
                self.stop_following()
        return self._following

    def _leave_if_closed(self) -> None:
        if self._closed and (following := self._following) is not None:
            following.close()

    def _known(self) -> list[ConfigChange[M]]:
        """Return the value as the first change, if there is one. The caller holds the lock."""
        reading = self._reading
        return [] if reading is None else [changed(None, reading.value, {}, reading.merged)]

    def _nothing(self) -> ZkDiscoveryError:
        rejected, following = self._rejected, self._following
        if rejected is not None:
            return InvalidDocument(f"{self._title} has no value, because its model refuses it: {rejected.reason}")
        if self._closed:
            return self._was_closed()
        why = "" if following is None else str(following.error or self._slot.current().session.status_message)
        return NotConnected(f"{self._title} has no value yet: {why or 'ZooKeeper has not answered yet'}")

    def _was_closed(self) -> ClientClosed:
        return ClientClosed(f"{self._title} was closed, or its client was; call config() again")


def _revisions(documents: Sequence[Fetched]) -> dict[str, int]:
    return {fetched.name: fetched.number for fetched in documents}


def _named(documents: Sequence[Fetched]) -> str:
    named = ", ".join(f"{fetched.name} {fetched.number}" for fetched in documents)
    return f"the revisions {named} are" if len(documents) > 1 else f"the revision {named} is"
