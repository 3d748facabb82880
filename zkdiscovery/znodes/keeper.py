"""Keeps owned nodes: ephemerals that come back after every outage, or say why they can't.

One worker thread looks, acts and looks again, for all nodes that are due, until ZooKeeper agrees with all wishes. It
is called on each wish, event and connection. What came of a write is looked at in any case, so a lost answer is no
special case. An answer that did come is passed on before the look: what it says was committed.

Guarantees
- On a new epoch each node is created again, independently of the others: many go in one transaction, which is taken
  apart if one of them is refused.
- A node with our own session as owner is ours, whoever got the answer to its creation.
- On the first creation a foreign owner is replaced, waited for or refused. On a re-creation only a node of one of our
  own earlier sessions is replaced; any other owner is waited for again or means CONFLICT, which is final until
  `reclaim()`: two live processes never fight over a path.
- A node that somebody deleted is restored; the data wanted last is the data restored.
- Release while a creation is under way ends with no node.
- A reconnect within the session reads the nodes once and writes nothing.

Writes and deletions name the version that they saw, because ZooKeeper knows no other condition. A new node starts from
version 0. Between a replacement and the news of it, they could hit the successor's node. So a successor raises the
version of its node above that of the one replaced, in the transaction that creates it. What is left:
- A node with `MOST_RAISED` writes or more is followed by one with version 0, which would have to be written as often in
  that moment.
- A node that an operator deletes, or other software replaces, may be followed by one with version 0. Who leaves in that
  moment, and never wrote into their own, can delete it; its owner restores it, if it is one of ours.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from zkdiscovery.errors import NodeMissing, OperationTimeout, RegistrationConflict, ZkDiscoveryError
from zkdiscovery.session import (
    BROKEN,
    EPHEMERAL,
    NO_NODE,
    Create,
    Delete,
    Digest,
    EventKind,
    Node,
    Session,
    SetData,
    Stat,
    State,
    StateChange,
    Sync,
    Write,
    bulk_read,
    why_unread,
)
from zkdiscovery.threads import Worker
from zkdiscovery.znodes.owned import OwnedNode, OwnedState
from zkdiscovery.znodes.parents import make_container
from zkdiscovery.znodes.paths import parent_of
from zkdiscovery.znodes.transactions import SURPRISES, Outcome, transact

log = logging.getLogger("zkdiscovery.znodes")

ROUNDS = 5  # looks and acts in one run: parents made, successors met
ROUNDS_TOGETHER = 3  # of these, how many use large transactions, which a node that always surprises would fail
MOST_RAISED = 16  # writes that raise the version of a successor's node
BACKOFF = (0.1, 10.0)  # seconds: first and longest delay after a refusal

_UNKNOWN = 0  # no transaction has this id


class OwnedNodes:
    """All owned nodes of one session, and when the worker is to see to them."""

    def __init__(self, session: Session, worker: Worker) -> None:
        self._session = session
        self._worker = worker
        self._lock = threading.Lock()
        self._nodes: dict[OwnedNode, None] = {}  # in order: of one path, the one that leaves comes before its successor
        self._due: dict[OwnedNode, None] = {}
        # The worker's own:
        self._later: dict[OwnedNode, float] = {}  # monotonic seconds
        self._session_ids: set[int] = set()  # of our sessions so far
        session.listen(self._on_state)

    @property
    def fatal_error(self) -> ZkDiscoveryError | None:
        """Why nothing will get on, unless something changes at the servers."""
        return self._session.fatal_error

    @property
    def status_message(self) -> str:
        """Why nothing gets on, with the servers tried; "" while there is a connection."""
        return self._session.status_message

    def own(self, path: str, data: bytes, **options: Any) -> OwnedNode:
        """Want a node from now on. Never blocks. For `options` see OwnedNode."""
        node = self.prepare(path, data, **options)
        self.keep([node])
        return node

    def prepare(self, path: str, data: bytes, **options: Any) -> OwnedNode:
        """A node that is wanted from `keep` on; until then nothing of it is called. For `options` see OwnedNode."""
        return OwnedNode(self._call_for, path, data, session_id=lambda: self._session.session_id, **options)

    def keep(self, nodes: Iterable[OwnedNode]) -> None:
        """Want many nodes; they are created in as few transactions as fit. Never blocks.

        Raises:
            NoThreadAvailable: the system has no thread to give; none of them is wanted then.
        """
        nodes = list(nodes)
        self._worker.start()
        for node in nodes:
            if node._place is None:
                self._watch(node)
        with self._lock:
            self._nodes.update(dict.fromkeys(nodes))
        self._call_for(*nodes)

    def later(self, task: Callable[[], None], delay: float) -> None:
        """Run a short task on the worker in `delay` seconds, once."""
        self._worker.schedule(task, task, delay)

    # -- who calls --

    def _call_for(self, *nodes: OwnedNode) -> None:
        with self._lock:
            self._due.update(dict.fromkeys(nodes))
        self._worker.schedule(self, self._run)

    def _watch(self, node: OwnedNode) -> None:
        node._watch = self._session.watches.add(node.path, partial(self._on_event, node))

    def _on_state(self, change: StateChange) -> None:
        if change.state is State.CONNECTED:
            with self._lock:
                nodes = list(self._nodes)
            if nodes:
                self._call_for(*nodes)

    def _on_event(self, node: OwnedNode, _kind: EventKind, path: str) -> None:
        if path == node.path:
            node._dirty = True
            self._call_for(node)

    # -- the worker --

    def _run(self) -> None:
        session = self._session
        generation, session_id, state = session.generation, session.session_id, session.state
        with self._lock:
            # Those that were finished still have the events of their own end.
            due = [node for node in self._due if node in self._nodes]
            self._due.clear()
        if state is not State.CONNECTED or not session_id:
            # The others are due again on the next connection.
            for node in due:
                if not node._wish.there and (state is State.EXPIRED or _surely_absent(node)):
                    self._finish(node)
            return
        self._session_ids.add(session_id)
        run = _Run(self, generation, session_id, due)
        try:
            run.reconcile()
        except (ZkDiscoveryError, TimeoutError) as error:
            log.debug("seeing to %d owned nodes failed: %s", len(due), error)
            run.put_off(run.open)
        finally:
            run.tell()
        self._again(run.refused)

    def _finish(self, node: OwnedNode, reason: str | None = None) -> None:
        """It is gone, and not wanted any more."""
        with self._lock:
            self._nodes.pop(node, None)
        if node._watch is not None:
            node._watch.close()
        error = NodeMissing(f"{node.path} was {reason}", path=node.path) if reason and node._wish.there else None
        node._note(OwnedState.RELEASED, None, error)

    def _again(self, nodes: Sequence[OwnedNode]) -> None:
        """See to them later. What failed together is tried together."""
        now, jitter = time.monotonic(), random.uniform(0.75, 1.25)
        first, longest = BACKOFF
        for node in nodes:
            self._later[node] = now + min(longest, first * 2.0 ** min(node._failures - 1, 10)) * jitter
        self._wake()

    def _wake(self) -> None:
        now = time.monotonic()
        ripe = [node for node, due in self._later.items() if due <= now]
        for node in ripe:
            del self._later[node]
        if ripe:
            self._call_for(*ripe)
        if self._later:
            self._worker.schedule((self, "later"), self._wake, min(self._later.values()) - now)


def _surely_absent(node: OwnedNode) -> bool:
    """Nothing of ours can be on its path."""
    return node._state is not OwnedState.HELD and not node._uncertain


def _goodbye(ours: Node, path: str, last_words: bytes | None) -> list[Write]:
    version = ours.stat.version
    if last_words is None or last_words == ours.data:
        return [Delete(path, version)]
    return [SetData(path, last_words, version), Delete(path, version + 1)]


class _Run:
    """One run of the worker, on one connection."""

    def __init__(self, keeper: OwnedNodes, generation: int, session_id: int, due: Sequence[OwnedNode]) -> None:
        self._keeper = keeper
        self._session = keeper._session
        self._generation = generation
        self._session_id = session_id
        # What is known of a new node before the first look where the server answers to its creation without a stat.
        self._created = Stat(_UNKNOWN, _UNKNOWN, 0, 0, 0, 0, 0, session_id, 0, 0, _UNKNOWN)
        self.open = dict.fromkeys(due)  # what this run still sees to, in order
        self.refused: list[OwnedNode] = []  # what is to be tried again later
        self._meddled = Digest(log, logging.WARNING, "%s: %s from outside")
        self._replaced = Digest(log, logging.INFO, "replacing what stands at %s, of %s")
        self._foreign = Digest(log, logging.ERROR, "%s: %s")
        self._hindered = Digest(log, logging.WARNING, "%s can't be kept as wanted, trying again: %s")

    def tell(self) -> None:
        """Log what happened, once for each cause."""
        for digest in (self._meddled, self._replaced, self._foreign, self._hindered):
            digest.tell()

    def reconcile(self) -> None:
        """Make all as they are wanted.

        Raises:
            NotConnected, OperationTimeout, …: the connection is of no use; what is open is to be seen to again.
        """
        for node in list(self.open):
            if node._place is None or self._place(node, node._place):
                self._renew(node)
        doubtful = [node for node in self.open if node._dirty or node._uncertain]
        # What was written on an earlier connection may not have reached this server.
        self._look(doubtful, sync=any(node._uncertain for node in doubtful))
        for number in range(ROUNDS):
            plan = self._plan()
            if not plan:
                break
            failed = self._conclude(plan, self._transact(plan, singly=number >= ROUNDS_TOGETHER))
            self._look([node for node in plan if node in self.open])
        else:
            self._give_way(failed)
        for node in self.open:
            node._failures = 0

    def _give_way(self, failed: Mapping[OwnedNode, ZkDiscoveryError]) -> None:
        """Enough for one run: what still fails is put off, what is wanted anew has its turn after the others."""
        for node in self._plan():
            if node in failed:
                message = f"{node.path} can't be made as wanted, for others write it at the same time: {failed[node]}"
                self._refuse(node, OperationTimeout(message, path=node.path))
            else:
                self._keeper._call_for(node)

    def put_off(self, nodes: Iterable[OwnedNode]) -> None:
        """See to them no more in this run."""
        for node in list(nodes):
            del self.open[node]
            node._dirty = True  # look first next time
            node._failures += 1
            self.refused.append(node)

    def _place(self, node: OwnedNode, place: Callable[[], bool]) -> bool:
        """Find out where it shall stand. True if that is known, or it is not wanted any more."""
        if not node._wish.there:
            return True
        try:
            known = place()
        except ZkDiscoveryError as error:
            self._refuse(node, error)
            return False
        if not known:
            del self.open[node]
            return False
        node._place = None
        self._keeper._watch(node)
        return True

    def _renew(self, node: OwnedNode) -> None:
        """What is known from another session or connection is worth less now."""
        if node._session_id != self._session_id:
            node._session_id = self._session_id
            node._uncertain = False
            if node._state is OwnedState.HELD:
                if not node.restore:
                    self._close(node, "lost with its session")
                    return
                # Gone with its session, or a leftover that creation will meet.
                node._note(OwnedState.PENDING, None)
        if node._generation != self._generation and node._known is not None:
            node._dirty = True
            node._patience = None  # an ensemble that comes back begins anew to count the time of dead sessions

    # -- looking --

    def _look(self, nodes: Iterable[OwnedNode], *, sync: bool = False) -> None:
        """Learn what stands on the paths, watched from before the read on."""
        nodes = [node for node in nodes if node._state is not OwnedState.CONFLICT]
        if not nodes:
            return
        session, generation = self._session, self._generation
        deadline = time.monotonic() + session.settings.operation_timeout
        unwatched = [node for node in nodes if node._generation != generation]
        watches = [node._watch for node in unwatched if node._watch is not None]
        # All of it is sent at once, because the server answers in order.
        sent = session.watches.arm(watches, generation=generation, deadline=deadline)
        if sync:
            sent.append(session.submit(Sync(nodes[0].path), deadline=deadline, generation=generation))
        for node in nodes:
            node._dirty = False
        paths = [node.path for node in nodes]
        # What stands there is what we wrote, as a rule.
        size = sum(len(node._sent or b"") for node in nodes) / len(nodes)
        seen = bulk_read(session, paths, generation=generation, deadline=deadline, size=size)
        for node, (_, found) in zip(nodes, seen, strict=True):
            if isinstance(found, Node):
                self._learn(node, found)
            elif found == NO_NODE:
                self._learn(node, None)
            else:
                self._refuse(node, why_unread(node.path, found, session.server))
        for future in sent:
            future.result(max(0.0, deadline - time.monotonic()))
        for node in unwatched:
            node._generation = generation

    def _learn(self, node: OwnedNode, found: Node | None) -> None:
        before = node._ours
        wrote, node._uncertain = node._uncertain, False
        if before is not None and (found is None or before.stat.czxid not in {_UNKNOWN, found.stat.czxid}):
            if not node.restore:
                self._close(node, "deleted from outside")
                return
            if node._wish.there:
                self._meddled.add(node.path, "deleted" if found is None else "replaced")
        if found is None:
            node._note(OwnedState.PENDING, None)
        elif found.stat.ephemeral_owner == self._session_id:
            node._may_replace = False
            node._note(OwnedState.HELD, found)
            # What we wrote long ago may stand there again because somebody put it there.
            by_us = wrote and found.data == node._sent
            if not by_us and (before is None or found.data != before.data):
                node._adopt(found.data)
        else:
            self._meet(node, found)

    def _meet(self, node: OwnedNode, found: Node) -> None:
        """Something stands on our path that is not of this session."""
        owner = found.stat.ephemeral_owner
        ours = owner in self._keeper._session_ids
        stranger = node._stranger(found.data) if node._may_replace and node._stranger and not ours else None
        if not node._wish.there:
            node._note(OwnedState.PENDING, found)  # it leaves, and ours is gone already
        elif ours or (node._may_replace and stranger is None):
            self._replaced.add(node.path, f"session 0x{owner:x}")
            node._note(OwnedState.PENDING, found)
        elif node._on_conflict == "wait" or (stranger is not None and self._is_patient(node)):
            node._note(OwnedState.WAITING, found)
        else:
            node._may_replace = False
            who = stranger or (f"session 0x{owner:x}" if owner else "a persistent node")
            cause = f"belongs to another owner ({who}); stop one of the two, or take it with reclaim()"
            conflict = RegistrationConflict(f"{node.path} {cause}", path=node.path)
            node._note(OwnedState.CONFLICT, found, conflict)
            self._foreign.add(node.path, cause)

    def _is_patient(self, node: OwnedNode) -> bool:
        """Is there time left in which the session of a dead owner may end? Looks again when it is over.

        A session ends up to one and a half ticks after its timeout T, and T is two ticks or more: 2 T are enough.
        """
        now = time.monotonic()
        if node._patience is None:
            node._patience = now + 2 * self._session.timeout
            self._keeper._later[node] = node._patience
            self._keeper._wake()
        if now < node._patience:
            node._dirty = True  # no event says that the time is over
            return True
        return False

    # -- acting --

    def _plan(self) -> dict[OwnedNode, list[Write]]:
        """What is to be written for each node."""
        plan = {}
        for node in list(self.open):
            wish, ours = node._wish, node._ours
            if wish.data is not None:
                if writes := self._arrival(node, wish.data):
                    node._sent = wish.data
                    plan[node] = writes
            elif ours is not None:
                plan[node] = _goodbye(ours, node.path, wish.last_words)
            else:
                self._close(node)
        return plan

    def _arrival(self, node: OwnedNode, data: bytes) -> list[Write]:
        known, ours = node._known, node._ours
        if ours is not None:
            return [] if ours.data == data else [SetData(node.path, data, ours.stat.version)]
        if node._state is not OwnedState.PENDING:
            return []
        create = Create(node.path, data, node.acl or self._session.leaf_acl, EPHEMERAL)
        if known is None:
            return [create]
        version, owner = known.stat.version, known.stat.ephemeral_owner
        writes: list[Write] = [Delete(node.path, version), create]
        if owner and owner not in self._keeper._session_ids and version < MOST_RAISED:
            # Somebody may be leaving it just now. Nobody sees the empty data that the transaction begins with.
            writes[1] = replace(create, data=b"")
            writes += [SetData(node.path, b"", number) for number in range(version)]
            writes.append(SetData(node.path, data, version))
        return writes

    def _transact(
        self, plan: Mapping[OwnedNode, Sequence[Write]], *, singly: bool
    ) -> Iterator[tuple[OwnedNode, Outcome]]:
        # What one transaction creates has one transaction id: those whose id matters don't share.
        for restore in (False, True):
            part = {node: writes for node, writes in plan.items() if node.restore is restore}
            yield from transact(self._session, part, singly=singly or not restore, generation=self._generation)

    def _conclude(
        self, plan: Mapping[OwnedNode, Sequence[Write]], outcomes: Iterable[tuple[OwnedNode, Outcome]]
    ) -> dict[OwnedNode, ZkDiscoveryError]:
        """Note what stands now, close what said goodbye, make parents that are missing, set aside what is refused.

        Returns:
            the error for each node that failed.

        Raises:
            NotConnected, OperationTimeout, …: the connection is of no use.
        """
        failed: dict[OwnedNode, ZkDiscoveryError] = {}
        broken: ZkDiscoveryError | None = None
        orphans: list[OwnedNode] = []
        for node, outcome in outcomes:
            writes = plan[node]
            if isinstance(outcome, list):
                if isinstance(writes[-1], Delete):
                    self._close(node)
                else:
                    self._stands(node, outcome[-1])
                continue
            error = failed[node] = outcome
            if isinstance(error, BROKEN):
                node._uncertain = node._uncertain or error.outcome_unknown
                broken = error
            elif not isinstance(error, SURPRISES):
                self._refuse(node, error)
            elif isinstance(error, NodeMissing) and isinstance(writes[-1], Create):
                orphans.append(node)
        if broken is not None:
            raise broken
        self._make_parents(orphans)
        return failed

    def _stands(self, node: OwnedNode, stat: Stat | None) -> None:
        """It was written, and others may have written it since: the look that follows tells."""
        node._uncertain = True
        # It has stood: who has replaced it since is left alone, as those are who start at the same time.
        node._may_replace = False
        if node.restore and node._sent is not None:
            node._note(OwnedState.HELD, Node(node._sent, stat or self._created))

    def _make_parents(self, nodes: Sequence[OwnedNode]) -> None:
        """Never made, or reaped while they were empty."""
        deadline = time.monotonic() + self._session.settings.operation_timeout
        for parent in {parent_of(node.path) for node in nodes}:
            try:
                make_container(self._session, parent, generation=self._generation, deadline=deadline)
            except BROKEN:
                raise
            except ZkDiscoveryError as error:
                for node in nodes:
                    if parent_of(node.path) == parent:
                        self._refuse(node, error)

    def _close(self, node: OwnedNode, reason: str | None = None) -> None:
        del self.open[node]
        self._keeper._finish(node, reason)

    def _refuse(self, node: OwnedNode, error: ZkDiscoveryError) -> None:
        """ZooKeeper refuses this one; the others go on."""
        if str(node._error) != str(error):
            self._hindered.add(node.path, str(error))
        self.put_off([node])
        node._note(node._state, node._known, error)
