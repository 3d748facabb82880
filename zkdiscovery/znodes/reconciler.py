"""Reconciles owned nodes: ephemerals that come back after every outage, or say why they can't.

A run of the reconciler looks, acts and looks again, for all nodes that are due, until ZooKeeper agrees with all desired
states. `owned_nodes.py` starts a run on the worker for each change of a desired state, event and connection. The
reconciler looks at the result of each write in any case, so a lost answer is no special case. It passes on an answer
that did arrive before it looks, because what the answer says was committed.

Guarantees
- On a new epoch each node is created again, independently of the others: many go in one transaction, which is taken
  apart if one of them is refused.
- A node with our own session as owner is ours, whoever got the answer to its creation.
- On the first creation a foreign owner is replaced, waited for or refused. On a re-creation only a node of one of our
  own earlier sessions is replaced; any other owner is waited for again or means CONFLICT, which is final until
  `reclaim()`: two live processes never fight over a path.
- A node that somebody deleted is restored; the data wanted last is the data restored.
- A release while a creation is under way ends with no node.
- A reconnect within the session reads the nodes once and writes nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from zkdiscovery.errors import NodeMissing, OperationTimeout, RegistrationConflict, ZkDiscoveryError
from zkdiscovery.session import (
    BROKEN,
    NO_NODE,
    Create,
    Delete,
    Digest,
    Node,
    Session,
    Stat,
    Sync,
    TreeWatch,
    Write,
    bulk_read,
    why_unread,
)
from zkdiscovery.znodes.owned import OwnedNode, OwnedState
from zkdiscovery.znodes.parents import make_container
from zkdiscovery.znodes.paths import parent_of
from zkdiscovery.znodes.transactions import SURPRISES, Outcome, transact
from zkdiscovery.znodes.writes import writes_to_delete, writes_to_hold

log = logging.getLogger("zkdiscovery.znodes")

ROUNDS = 5  # looks and acts in one run: parents made, successors met
ROUNDS_TOGETHER = 3  # of these, how many use large transactions, which a node that always surprises would fail

_UNKNOWN = 0  # no transaction has this id


@dataclass(slots=True, eq=False)
class Tracked:
    """The reconciler's knowledge of a node. Only the worker uses it.

    Attributes:
        node: the node.
        watch: on its path; None until its path is known.
        generation: number of the connection that has the watch.
        session_id: the session in which `node.known` was learnt.
        sent: the data that we wrote last, whether or not it arrived.
        uncertain: True if we wrote, and have not seen what came of it.
        failures: refusals in a row.
        patience_ends: in monotonic seconds; until then the owner on another machine may turn out to be dead.
    """

    node: OwnedNode
    watch: TreeWatch | None = None
    generation: int = 0
    session_id: int = 0
    sent: bytes | None = None
    uncertain: bool = False
    failures: int = 0
    patience_ends: float | None = None

    @property
    def surely_absent(self) -> bool:
        """True if nothing of ours can be on its path."""
        return self.node.state is not OwnedState.HELD and not self.uncertain


class Owner(Protocol):
    """The owned nodes of a session, as the reconciler uses them; see OwnedNodes."""

    session: Session
    session_ids: set[int]

    def make_due(self, *nodes: OwnedNode) -> None: ...

    def see_again(self, node: OwnedNode, delay: float) -> None: ...

    def watch(self, tracked: Tracked) -> None: ...

    def finish(self, tracked: Tracked, reason: str | None = None) -> None: ...


class Reconciler:
    """One run of the worker, on one connection."""

    def __init__(self, owner: Owner, generation: int, session_id: int, due: Iterable[Tracked]) -> None:
        self._owner = owner
        self._session = owner.session
        self._generation = generation
        self._session_id = session_id
        # What is known of a new node before the first look if the server answers its creation without a stat.
        self._created = Stat(_UNKNOWN, _UNKNOWN, 0, 0, 0, 0, 0, session_id, 0, 0, _UNKNOWN)
        self.open = dict.fromkeys(due)  # what this run still sees to, in order
        self.refused: list[Tracked] = []  # what is to be tried again later
        self._changed_outside = Digest(log, logging.WARNING, "%s: %s from outside")
        self._replaced = Digest(log, logging.INFO, "replacing what stands at %s, of %s")
        self._conflicts = Digest(log, logging.ERROR, "%s: %s")
        self._refusals = Digest(log, logging.WARNING, "%s can't be kept as wanted, trying again: %s")

    def log(self) -> None:
        """Log what happened, once for each cause."""
        for digest in (self._changed_outside, self._replaced, self._conflicts, self._refusals):
            digest.tell()

    def run(self) -> None:
        """Make all nodes as they are wanted.

        Raises:
            NotConnected: the connection is of no use; the nodes that are open must be seen to again.
            OperationTimeout: the same.
            ZkDiscoveryError: the same, for any other reason.
        """
        for tracked in list(self.open):
            if self._find_place(tracked):
                self._renew(tracked)
        doubtful = [tracked for tracked in self.open if tracked.node.dirty or tracked.uncertain]
        # What was written on an earlier connection may not have reached this server.
        self._look(doubtful, sync=any(tracked.uncertain for tracked in doubtful))
        for number in range(ROUNDS):
            plan = self._plan()
            if not plan:
                break
            failed = self._conclude(plan, self._transact(plan, singly=number >= ROUNDS_TOGETHER))
            self._look([tracked for tracked in plan if tracked in self.open])
        else:
            self._give_way(failed)
        for tracked in self.open:
            tracked.failures = 0

    def _give_way(self, failed: Mapping[Tracked, ZkDiscoveryError]) -> None:
        """End a long run: put off the nodes that still fail, and make the others due again, after other tasks."""
        for tracked in self._plan():
            node = tracked.node
            if tracked in failed:
                message = (
                    f"{node.path} can't be made as wanted, because others write it at the same time: {failed[tracked]}"
                )
                self._refuse(tracked, OperationTimeout(message, path=node.path))
            else:
                self._owner.make_due(node)

    def put_off(self, some: Iterable[Tracked]) -> None:
        """See to these no more in this run."""
        for tracked in list(some):
            del self.open[tracked]
            tracked.node.dirty = True  # look first next time
            tracked.failures += 1
            self.refused.append(tracked)

    def _find_place(self, tracked: Tracked) -> bool:
        """Find out the path of a node. True if it is known, or the node is neither wanted nor there."""
        node, numbered = tracked.node, tracked.node.numbered
        if (node.find_place is None and numbered is None) or not (node.desired.exists or tracked.uncertain):
            return True
        try:
            if numbered is not None:
                numbered.create(node, self._generation, look=tracked.uncertain)
            elif node.find_place is not None and not node.find_place():
                del self.open[tracked]
                return False
        except ZkDiscoveryError as error:
            if numbered is not None and isinstance(error, BROKEN):
                tracked.uncertain = tracked.uncertain or error.outcome_unknown
                raise
            self._refuse(tracked, error)
            return False
        node.find_place = node.numbered = None
        tracked.session_id, tracked.uncertain = self._session_id, False
        self._owner.watch(tracked)
        return True

    def _renew(self, tracked: Tracked) -> None:
        """Trust what is known from another session or connection less."""
        node = tracked.node
        if tracked.session_id != self._session_id:
            tracked.session_id = self._session_id
            tracked.uncertain = False
            if node.state is OwnedState.HELD:
                if not node.restore:
                    self._close(tracked, "lost with its session")
                    return
                # Gone with its session, or a leftover that creation will meet.
                node.record(OwnedState.PENDING, None)
        if tracked.generation != self._generation and node.known is not None:
            node.dirty = True
            tracked.patience_ends = None  # an ensemble that comes back counts the time of dead sessions anew

    # -- looking --

    def _look(self, some: Iterable[Tracked], *, sync: bool = False) -> None:
        """Learn what is on the paths. The watch is set before the read."""
        some = [tracked for tracked in some if tracked.node.state is not OwnedState.CONFLICT]
        if not some:
            return
        session, generation = self._session, self._generation
        deadline = time.monotonic() + session.settings.operation_timeout
        unwatched = [tracked for tracked in some if tracked.generation != generation]
        watches = [tracked.watch for tracked in unwatched if tracked.watch is not None]
        # All of it is sent at once, because the server answers in order.
        sent = session.watches.arm(watches, generation=generation, deadline=deadline)
        if sync:
            sent.append(session.submit(Sync(some[0].node.path), deadline=deadline, generation=generation))
        for tracked in some:
            tracked.node.dirty = False
        paths = [tracked.node.path for tracked in some]
        # As a rule the nodes hold what we wrote.
        size = sum(len(tracked.sent or b"") for tracked in some) / len(some)
        seen = bulk_read(session, paths, generation=generation, deadline=deadline, size=size)
        for tracked, (path, found) in zip(some, seen, strict=True):
            if isinstance(found, Node):
                self._learn(tracked, found)
            elif found == NO_NODE:
                self._learn(tracked, None)
            else:
                self._refuse(tracked, why_unread(path, found, session.server))
        for future in sent:
            future.result(max(0.0, deadline - time.monotonic()))
        for tracked in unwatched:
            tracked.generation = generation

    def _learn(self, tracked: Tracked, found: Node | None) -> None:
        node = tracked.node
        before = node.ours
        wrote, tracked.uncertain = tracked.uncertain, False
        if before is not None and (found is None or before.stat.czxid not in {_UNKNOWN, found.stat.czxid}):
            if not node.restore:
                self._close(tracked, "deleted from outside")
                return
            if node.desired.exists:
                self._changed_outside.add(node.path, "deleted" if found is None else "replaced")
        if found is None:
            node.record(OwnedState.PENDING, None)
        elif found.stat.ephemeral_owner == self._session_id:
            node.may_replace = False
            node.record(OwnedState.HELD, found)
            # The node may hold what we wrote long ago because somebody put it there.
            by_us = wrote and found.data == tracked.sent
            if not by_us and (before is None or found.data != before.data):
                node.take_foreign_write(found.data)
        else:
            self._on_foreign_owner(tracked, found)

    def _on_foreign_owner(self, tracked: Tracked, found: Node) -> None:
        """Decide what to do about a node on our path that is not of this session."""
        node = tracked.node
        owner = found.stat.ephemeral_owner
        ours = owner in self._owner.session_ids
        describe = node.foreign_machine
        elsewhere = describe(found.data) if node.may_replace and describe and not ours else None
        if not node.desired.exists:
            node.record(OwnedState.PENDING, found)  # it leaves, and ours is gone already
        elif ours or (node.may_replace and elsewhere is None):
            self._replaced.add(node.path, f"session 0x{owner:x}")
            node.record(OwnedState.PENDING, found)
        elif node.on_conflict == "wait" or (elsewhere is not None and self._is_patient(tracked)):
            node.record(OwnedState.WAITING, found)
        else:
            node.may_replace = False
            who = elsewhere or (f"session 0x{owner:x}" if owner else "a persistent node")
            shared = ', or register both with on_conflict="share"' if owner and elsewhere is None else ""
            cause = f"belongs to another owner ({who}); stop one of the two, or take it with reclaim(){shared}"
            conflict = RegistrationConflict(f"{node.path} {cause}", path=node.path)
            node.record(OwnedState.CONFLICT, found, conflict)
            self._conflicts.add(node.path, cause)

    def _is_patient(self, tracked: Tracked) -> bool:
        """Return True while the session of a dead owner may still end. Sees to the node again when that time is over.

        A session ends up to one and a half ticks after its timeout T, and T is two ticks or more: 2 T are enough.
        """
        now = time.monotonic()
        if tracked.patience_ends is None:
            tracked.patience_ends = now + 2 * self._session.timeout
        if (left := tracked.patience_ends - now) > 0:
            tracked.node.dirty = True  # no event says that the time is over
            self._owner.see_again(tracked.node, left)
            return True
        return False

    # -- acting --

    def _plan(self) -> dict[Tracked, list[Write]]:
        """Return the writes for each node."""
        plan = {}
        leaf_acl, session_ids = self._session.leaf_acl, self._owner.session_ids
        for tracked in list(self.open):
            node = tracked.node
            desired = node.desired
            if desired.data is not None:
                if writes := writes_to_hold(node, desired.data, leaf_acl, session_ids):
                    tracked.sent = desired.data
                    plan[tracked] = writes
            elif (ours := node.ours) is not None:
                plan[tracked] = writes_to_delete(node.path, ours, desired.final_data)
            else:
                self._close(tracked)
        return plan

    def _transact(self, plan: Mapping[Tracked, Sequence[Write]], *, singly: bool) -> Iterator[tuple[Tracked, Outcome]]:
        # All nodes that one transaction creates have its id: those whose id matters share no transaction.
        for restore in (False, True):
            part = {tracked: writes for tracked, writes in plan.items() if tracked.node.restore is restore}
            yield from transact(self._session, part, singly=singly or not restore, generation=self._generation)

    def _conclude(
        self, plan: Mapping[Tracked, Sequence[Write]], outcomes: Iterable[tuple[Tracked, Outcome]]
    ) -> dict[Tracked, ZkDiscoveryError]:
        """Record what was written, close what was deleted, make missing parents, set aside what is refused.

        Returns:
            the error for each node that failed.

        Raises:
            NotConnected: the connection is of no use.
            OperationTimeout: the same.
        """
        failed: dict[Tracked, ZkDiscoveryError] = {}
        broken: ZkDiscoveryError | None = None
        orphans: list[Tracked] = []
        for tracked, outcome in outcomes:
            writes = plan[tracked]
            if isinstance(outcome, list):
                if isinstance(writes[-1], Delete):
                    self._close(tracked)
                else:
                    self._on_written(tracked, outcome[-1])
                continue
            error = failed[tracked] = outcome
            if isinstance(error, BROKEN):
                tracked.uncertain = tracked.uncertain or error.outcome_unknown
                broken = error
            elif not isinstance(error, SURPRISES):
                self._refuse(tracked, error)
            elif isinstance(error, NodeMissing) and isinstance(writes[-1], Create):
                orphans.append(tracked)
        if broken is not None:
            raise broken
        self._make_parents(orphans)
        return failed

    def _on_written(self, tracked: Tracked, stat: Stat | None) -> None:
        """Record that we wrote a node. Others may have written it since: the look that follows tells."""
        node = tracked.node
        tracked.uncertain = True
        # It was held: an owner that has replaced it since is not replaced in turn, nor are owners that start now.
        node.may_replace = False
        if node.restore and tracked.sent is not None:
            node.record(OwnedState.HELD, Node(tracked.sent, stat or self._created))

    def _make_parents(self, orphans: Sequence[Tracked]) -> None:
        """Make the parents of these, which nobody made before, or ZooKeeper reaped while they were empty."""
        deadline = time.monotonic() + self._session.settings.operation_timeout
        for parent in {parent_of(tracked.node.path) for tracked in orphans}:
            try:
                make_container(self._session, parent, generation=self._generation, deadline=deadline)
            except BROKEN:
                raise
            except ZkDiscoveryError as error:
                for tracked in orphans:
                    if parent_of(tracked.node.path) == parent:
                        self._refuse(tracked, error)

    def _close(self, tracked: Tracked, reason: str | None = None) -> None:
        del self.open[tracked]
        self._owner.finish(tracked, reason)

    def _refuse(self, tracked: Tracked, error: ZkDiscoveryError) -> None:
        """Put off a node that ZooKeeper refuses; the others go on."""
        node = tracked.node
        if str(node.error) != str(error):
            self._refusals.add(node.path, str(error))
        self.put_off([tracked])
        node.record(node.state, node.known, error)
