"""Staged rollouts: a revision for a growing share of the readers, driven by whoever holds the rollout's lock.

The pointer has all of it: the candidate, the share, and the plan. So nothing depends on the process that began: if it
ends, any other one takes the lock and goes on with the plan. Each move of the pointer is guarded by the lock.

Guarantees
- A stage lasts for at least its time. Only time in which the driver saw ZooKeeper counts: an outage, a pause of the
  process or another driver never shortens it.
- A rollout ends for all readers: with the candidate, or with the revision of before.
- An edit or a rollback of the document ends it, too.

Threads: one at a time calls `Driver.step`, which blocks for some seconds at most.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time

from zkdiscovery.config.layout import Layout, layout_of
from zkdiscovery.config.plans import ConfigRollout, HaltWhen, Plan, rollout_of, stopped_pointer
from zkdiscovery.config.pointer import Pointer, StoredPointer, encode_pointer, read_pointers
from zkdiscovery.config.stores import ConfigStores, missing
from zkdiscovery.core import Core, CoreSlot
from zkdiscovery.errors import (
    HoldLost,
    LockTimeout,
    NodeChanged,
    NodeMissing,
    NotConnected,
    OperationTimeout,
    RolloutStopped,
    SessionExpired,
)
from zkdiscovery.locks import Kind, Lock
from zkdiscovery.session import Exists, SetData, Sync
from zkdiscovery.validation import deadline_after
from zkdiscovery.znodes import Hold, execute_writes

log = logging.getLogger("zkdiscovery.config")

LOOK = 1.0  # seconds between two looks at the readers
PATIENCE = 5.0  # seconds that one step waits for the lock, and for ZooKeeper

_AWAY = (NotConnected, OperationTimeout, SessionExpired)


class _MovedMeanwhile(Exception):  # noqa: N818 - no error: the step begins anew
    """Somebody else has moved the pointer that was read."""


class Driver:
    """Drives a rollout, or waits until whoever does ends or is gone.

    Args:
        slot: of the client.
        name: of the document.
        revision: what to roll out; None: what is being rolled out already.
        plan: for a new rollout. One that is under way keeps its own.
        halt_when: stop if it returns something true, or raises.
    """

    def __init__(self, slot: CoreSlot, name: str, revision: int | None, plan: Plan, halt_when: HaltWhen | None) -> None:
        core = slot.current()
        self._slot = slot
        self._layout = layout_of(core.paths, name)
        self._revision = revision
        self._plan = plan
        self._halt_when = halt_when
        root = self._layout.root
        self._lock = Lock(
            f"the rollout of {self._layout.title}", lambda _: f"{root}/rollout", Kind.LOCK, "curator", slot
        )
        self._closing = threading.Lock()
        self._closed = False
        self._hold: Hold | None = None
        self._first: int | None = None  # version of the pointer at the first look; -1: there was none
        self._seen = False  # the rollout has been under way
        self._stage: tuple[Pointer, float, float] | None = None  # what was seen last; seconds that it lasted; when

    def step(self) -> float | None:
        """Do what is due; return seconds until the next step, or None if the revision is in force for all.

        Raises:
            RolloutStopped: all readers have the revision of before; says why.
            NodeChanged: another rollout is under way.
            NodeMissing: there is no such revision, or no rollout to go on with.
            UndecodableNode: what is stored is no pointer.
            AccessDenied, ClientClosed: as any operation.
        """
        try:
            if self._first is None:
                stored = self._read()
                self._first = -1 if stored is None else stored.stat.version
            return self._drive(self._hold or self._take())
        except HoldLost:
            self._release()
            return 0.0
        except _MovedMeanwhile:
            return 0.0
        except LockTimeout:  # another driver has it; it may have ended the rollout
            return self._watch()
        except _AWAY:
            self._stage = self._stage and (*self._stage[:2], time.monotonic())
            return LOOK

    def close(self) -> None:
        """Let another driver go on. Any thread may call it, during a step, too; it never blocks."""
        with self._closing:
            self._closed = True
        self._release()

    def _take(self) -> Hold:
        """Wait for the lock. Raises LockTimeout."""
        hold = self._lock.acquire(PATIENCE)
        with self._closing:
            if not self._closed:
                self._hold = hold
                return hold
        hold.release()
        raise LockTimeout("nobody waits for it any more")

    def _release(self) -> None:
        hold, self._hold = self._hold, None
        if hold is not None:
            hold.release()

    def _watch(self) -> float | None:
        stored = self._read()
        return None if self._is_over(stored) else 0.0

    def _drive(self, hold: Hold) -> float | None:
        stored = self._read()
        if stored is None:
            raise missing(self._layout, None)
        pointer = stored.pointer
        if pointer.candidate is None and not self._seen and self._revision not in {None, pointer.stable}:
            self._require_not_stopped(stored)
            self._begin(stored, hold)
            return 0.0
        if self._is_over(stored):
            return None
        plan = Plan.parse(pointer.plan)
        self._revision, self._seen = pointer.candidate, True
        self._halt(stored, hold)
        left = plan.bake - self._lasted(pointer)
        if left > 0:
            return min(left, LOOK)
        later = [percent for percent in plan.percent if percent > pointer.percent]
        if later:
            self._move(stored, pointer._replace(percent=later[0]), hold)
            log.info("revision %d of %s is for %g %% of the readers", self._revision, self._layout.title, later[0])
            return 0.0
        self._move(stored, Pointer(stable=self._revision or 0, last=pointer.last), hold)
        log.info("revision %d of %s is in force for all readers", self._revision, self._layout.title)
        return None

    def _is_over(self, stored: StoredPointer | None) -> bool:
        """Return whether the revision is in force for all. Raises if it never will be."""
        pointer = Pointer(0) if stored is None else stored.pointer
        if pointer.candidate is not None and self._revision in {None, pointer.candidate}:
            return False
        if self._revision is None:
            raise no_rollout(self._layout)
        if pointer.stable == self._revision:
            return True
        if pointer.candidate is not None:
            raise NodeChanged(
                f"revision {pointer.candidate} of {self._layout.title} is being rolled out: let that end, or stop it",
                path=self._layout.pointer,
            )
        if not self._seen:  # nobody has begun yet
            return False
        plan = None if pointer.plan is None else Plan.parse(pointer.plan)
        why = "another revision was stored" if plan is None or plan.stopped is None else plan.stopped
        raise self._stopped(pointer.stable, why)

    def _require_not_stopped(self, stored: StoredPointer) -> None:
        """Refuse to begin again what another driver began and stopped while this one waited for the lock."""
        found = rollout_of(self._layout, stored)
        if found is not None and found.revision == self._revision and stored.stat.version != self._first:
            raise self._stopped(found.stable, found.stopped or "")

    def _begin(self, stored: StoredPointer, hold: Hold) -> None:
        revision = self._revision or 0
        if revision < stored.pointer.stable:
            raise NodeChanged(
                f"{self._layout.title} is at revision {stored.pointer.stable}, which is newer than {revision};"
                " rollback() makes a new revision of an old one", path=self._layout.pointer,
            )  # fmt: skip
        path, session = self._layout.revision(revision), self._slot.current().session
        try:
            session.call(Exists(path), deadline=deadline_after(PATIENCE))
        except NodeMissing:
            raise missing(self._layout, revision) from None
        salt = secrets.token_hex(8)
        pointer = stored.pointer._replace(
            candidate=revision, percent=self._plan.percent[0], salt=salt, plan=self._plan.stored()
        )
        self._move(stored, pointer, hold)
        log.info("revision %d of %s is for %g %% of the readers", revision, self._layout.title, pointer.percent)

    def _halt(self, stored: StoredPointer, hold: Hold) -> None:
        """Stop if a reader refuses the revision, or if the user wants it."""
        readers = self._slot.current().feature(ConfigStores).readers(self._layout.name, PATIENCE)
        rollout = rollout_of(self._layout, stored, readers)
        if rollout is None:
            return
        why = ""
        error: Exception | None = None
        if rollout.refusing:
            reader = rollout.refusing[0]
            why = f"the reader {reader.id!r} refuses it: {reader.reason}"
        elif self._halt_when is not None:
            try:
                halts = self._halt_when(rollout)
            except Exception as raised:  # noqa: BLE001 - the cause of what is raised below
                error, why = raised, f"halt_when raised {type(raised).__name__}"
            else:
                why = "" if not halts else halts if isinstance(halts, str) else "halt_when said so"
        if why:
            self._move(stored, stopped_pointer(stored.pointer, why), hold)
            raise self._stopped(stored.pointer.stable, why) from error

    def _lasted(self, pointer: Pointer) -> float:
        """Return the seconds for which the pointer was seen as it is. What nobody saw does not count."""
        now = time.monotonic()
        if self._stage is None or self._stage[0] != pointer:
            lasted = 0.0
        else:
            _, lasted, before = self._stage
            lasted += min(now - before, 2 * LOOK)
        self._stage = pointer, lasted, now
        return lasted

    def _stopped(self, stable: int, why: str) -> RolloutStopped:
        log.warning("the rollout of revision %s of %s was stopped: %s", self._revision, self._layout.title, why)
        return RolloutStopped(
            f"the rollout of revision {self._revision} of {self._layout.title} was stopped, and revision {stable} is in"
            f" force for all readers: {why}", path=self._layout.pointer,
        )  # fmt: skip

    def _read(self) -> StoredPointer | None:
        return _read(self._slot.current(), self._layout, PATIENCE)

    def _move(self, stored: StoredPointer, pointer: Pointer, hold: Hold) -> None:
        """Move the pointer if nobody else has, and while the lock is held. What was lost is found by the next step."""
        try:
            _move(self._slot.current(), self._layout, stored, pointer, hold)
        except NodeChanged:
            raise _MovedMeanwhile from None


def no_rollout(layout: Layout) -> NodeMissing:
    """Make the error for a rollout that is not there."""
    return NodeMissing(f"no rollout of {layout.title} is under way", path=layout.pointer)


def read_rollout(core: Core, name: str, timeout: float) -> ConfigRollout | None:
    """Return the rollout of a document; None: there is none."""
    layout, end = layout_of(core.paths, name), deadline_after(timeout)
    stored = _read(core, layout, timeout)
    readers = core.feature(ConfigStores).readers(name, max(0.0, end - time.monotonic()))
    return rollout_of(layout, stored, readers)


def stop_rollout(core: Core, name: str, why: str, timeout: float) -> int:
    """Let all readers have the stable revision again; return its number. Raises NodeMissing."""
    layout, end = layout_of(core.paths, name), deadline_after(timeout)
    while True:
        stored = _read(core, layout, max(0.0, end - time.monotonic()))
        if stored is None or stored.pointer.candidate is None:
            raise no_rollout(layout)
        try:
            _move(core, layout, stored, stopped_pointer(stored.pointer, why), None)
        except NodeChanged:  # its driver moved it in this moment
            continue
        return stored.pointer.stable


def _read(core: Core, layout: Layout, timeout: float) -> StoredPointer | None:
    """Read a pointer after all that was written before."""

    def once(deadline: float, generation: int) -> StoredPointer | None:
        core.session.call(Sync(layout.root), deadline=deadline, generation=generation)
        return read_pointers(core.session, [layout], generation, deadline)[0]

    return core.session.retry(once, timeout)


def _move(core: Core, layout: Layout, stored: StoredPointer, pointer: Pointer, hold: Hold | None) -> None:
    """Store a pointer in place of the one that was read.

    Raises:
        NodeChanged: somebody else has moved it.
        HoldLost: the hold is over.
        ZkDiscoveryError: as `Session.call`.
    """
    session = core.session
    write = SetData(layout.pointer, encode_pointer(pointer), stored.stat.version)
    execute_writes(session, [write], guard=hold, generation=session.generation, deadline=deadline_after(PATIENCE))
