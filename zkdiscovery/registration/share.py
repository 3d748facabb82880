"""One registration that several processes share, as one of them keeps it.

Threads: the worker of owned nodes runs it, one look after the other. Events, the end of a process and changes of what
is wanted make it due, on any thread.

Guarantees
- Each look begins with the group, and all that is written into the instance is bound to the version seen then. Whoever
  was quicker makes the transaction fail, and the sharer looks again.
- A lost answer is no special case: the next look tells whether the instance is ours.
- A reconnect within the session reads, and writes nothing.
- Replacing one sharer by another one is logged at INFO at most.
"""

from __future__ import annotations

import logging
import random
import secrets
import time
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Protocol

from zkdiscovery.errors import NodeChanged, NodeExists, NodeMissing, RegistrationConflict, ZkDiscoveryError
from zkdiscovery.registration import takeover
from zkdiscovery.registration.process import can_tell, has_ended, this_process
from zkdiscovery.registration.shared_node import SharedNode
from zkdiscovery.registration.takeover import Patience, Seen, Sharer, Standby, Step, Wish, decode_sharer, holder
from zkdiscovery.session import (
    BROKEN,
    NO_NODE,
    AccessEntry,
    Create,
    Delete,
    EventKind,
    GetChildren,
    GetData,
    Multi,
    Node,
    Request,
    Session,
    State,
    Sync,
    TreeWatch,
    bulk_read,
)
from zkdiscovery.threads import Exits, Worker
from zkdiscovery.znodes import OwnedState, Paths, make_container, name_of, parent_of

log = logging.getLogger("zkdiscovery.registration")

ROUNDS = 10  # looks and writes in one run
AGAIN = 0.05  # seconds until the next run if others were quicker each time
BACKOFF = (0.1, 10.0)  # seconds: first and longest delay after a refusal
_READ, _WRITE, _CREATE = 1, 2, 4  # of ZooKeeper's permissions
_SURPRISES = (NodeMissing, NodeExists, NodeChanged)


class Sharers(Protocol):
    """The shares of a client, as one of them uses it."""

    session: Session
    worker: Worker
    paths: Paths
    exits: Exits
    session_ids: set[int]

    def forget(self, node: SharedNode) -> None:
        """Its registration is over."""


class Share:
    """Keeps the part of this process in one shared registration."""

    def __init__(self, sharers: Sharers, node: SharedNode) -> None:
        self.node = node
        self._sharers = sharers
        self._session = sharers.session
        self._owner = node.owner
        self._name = f"{this_process().pid}-{secrets.token_hex(8)}"
        self._events = 0  # of standbys
        self._holder = ""  # name of the holder's standby; written by the worker
        # Used by the worker only:
        self._group = ""
        self._standbys: dict[str, Standby] | None = None  # as they were when so many events had come
        self._events_then = 0
        self._watches: list[TreeWatch] = []
        self._generation = 0  # of the connection that has the watches
        self._knows = False
        self._before: bytes | None = None  # what our node held
        self._sent: bytes | None = None
        self._uncertain = False
        self._failures = 0
        self._patience: Patience | None = None
        self._patience_ends = 0.0  # monotonic seconds

    # -- what makes it due --

    def due(self, delay: float = 0.0) -> None:
        """Look. Never blocks."""
        self._sharers.worker.schedule(self, self._run, delay)

    def _on_event(self, kind: EventKind, path: str) -> None:
        if path == self.node.path:
            self.due()
        elif path == self._group:
            if kind is EventKind.DELETED:
                self.due()
        elif parent_of(path) == self._group:
            self._events += 1  # the connection thread alone does this
            # As a rule it does not concern us that others come and go.
            settled = self.node.stands and not self.node.leaving
            if not settled or name_of(path) in {self._name, self._holder}:
                self.due()

    # -- the worker --

    def _run(self) -> None:
        node, session = self.node, self._session
        if node.state is OwnedState.RELEASED or (node.state is OwnedState.CONFLICT and node.desired.exists):
            return
        generation, session_id, state = session.generation, session.session_id, session.state
        if state is not State.CONNECTED or not session_id:
            # All that is ours goes with the session. The next connection makes it due again.
            if not node.desired.exists and (state is State.EXPIRED or self._surely_absent):
                self._finish()
            return
        self._sharers.session_ids.add(session_id)
        try:
            if self._find_place():
                self._renew(session_id)
                self._reconcile(generation, session_id)
        except BROKEN as error:
            log.debug("the shared registration %s: %s", node.path, error)
            if session.state is State.CONNECTED:
                self.due(AGAIN)
        except TimeoutError:
            self.due(AGAIN)
        except ZkDiscoveryError as error:
            self._refuse(error)
        else:
            self._failures = 0

    @property
    def _surely_absent(self) -> bool:
        return self.node.state is not OwnedState.HELD and not self._uncertain

    def _find_place(self) -> bool:
        node = self.node
        if node.find_place is not None and node.desired.exists:
            if not node.find_place():
                return False
            node.find_place = None
        if not self._watches:
            service, instance_id = name_of(parent_of(node.path)), name_of(node.path)
            if node.find_place is not None:  # not wanted any more, and its place was never known
                self._finish()
                return False
            self._group = self._sharers.paths.share(service, instance_id)
            self._watches = [self._session.watches.add(path, self._on_event) for path in (node.path, self._group)]
        return True

    def _renew(self, session_id: int) -> None:
        """Trust what is known from another session less."""
        node = self.node
        if node.looked_in != session_id:
            node.looked_in = session_id
            self._uncertain, self._before = False, None
            if node.stands:
                node.record(OwnedState.PENDING, None)

    def _reconcile(self, generation: int, session_id: int) -> None:
        deadline = time.monotonic() + self._session.settings.operation_timeout
        for _ in range(ROUNDS):
            seen = self._look(generation, deadline)
            if seen.group is None and not self.node.leaving:
                self._make_parents(generation, deadline)
                continue
            self._learn(seen, session_id)
            over = self._patience if time.monotonic() >= self._patience_ends else None
            wish = self._wish(session_id, over)
            step = takeover.decide(wish, seen)
            if not step.writes:
                self._conclude(step, seen, over, deadline)
                return
            self._write(step, wish, generation, deadline)
        self.due(AGAIN * random.uniform(0.5, 1.5))

    # -- looking --

    def _look(self, generation: int, deadline: float) -> Seen:
        """Read the group, the instance and the standbys. Watches are set before."""
        session, node = self._session, self.node
        options: Any = {"generation": generation, "deadline": deadline}
        armed = []
        if self._generation != generation:
            armed = session.watches.arm(self._watches, **options)
            self._standbys = None
            if self._patience is Patience.RIVAL:  # an ensemble that comes back counts the time of dead sessions anew
                self._patience = None
        if self._uncertain:
            armed.append(session.submit(Sync(node.path), **options))
        events = self._events
        if events != self._events_then:
            self._standbys = None
        # All of it is sent at once, because the server answers in order: the group first.
        requests: list[Request] = [GetData(self._group), GetData(node.path)]
        if self._standbys is None:
            requests.append(GetChildren(self._group))
        sent = [(request, session.submit(request, **options)) for request in requests]
        group, instance, *names = [self._answer(request, future, deadline) for request, future in sent]
        for future in armed:
            future.result(max(0.0, deadline - time.monotonic()))
        self._generation = generation
        if self._standbys is None:
            self._standbys = self._read_standbys(names[0] or (), options)
            self._events_then = events
        return Seen(None if group is None else group.stat, instance, self._standbys)

    def _answer(self, request: Request, future: Future[Any], deadline: float) -> Any:
        """Return what is on a path; None: nothing."""
        try:
            return self._session.result(future, request, deadline)
        except NodeMissing:
            return None

    def _read_standbys(self, names: Iterable[str], options: Any) -> dict[str, Standby]:
        found = {}
        for path, answer in bulk_read(self._session, [f"{self._group}/{name}" for name in names], **options):
            if isinstance(answer, Node):
                found[name_of(path)] = Standby(decode_sharer(answer.data), answer.stat.ephemeral_owner)
            elif answer != NO_NODE:  # we may not read it
                found[name_of(path)] = Standby(None, 0)
        return found

    def _learn(self, seen: Seen, session_id: int) -> None:
        """Adopt what others wrote into the instance, or what its holder keeps in it."""
        node, found = self.node, seen.node
        wrote, self._uncertain = self._uncertain, False
        before, self._before = self._before, None
        owner = None if found is None else found.stat.ephemeral_owner
        self._holder = next((name for name, its in seen.standbys.items() if its.session == owner), "")
        if found is None:
            if before is not None and not node.leaving:
                log.warning("%s: deleted from outside", node.path)
            return
        if owner == session_id:
            self._before, self._knows = found.data, True
            by_us = wrote and found.data == self._sent
            if not by_us and found.data != before:
                node.take_foreign_write(found.data)
            return
        standby = holder(seen)
        if standby is not None and standby.sharer is not None and standby.sharer.is_mate_of(self._sharer):
            self._knows = True
            if not node.leaving:
                self._owner.adopt(found.data)

    # -- acting --

    @property
    def _sharer(self) -> Sharer:
        return Sharer(this_process(), *self._owner.sharer, leaving=self.node.leaving)

    @property
    def _acl(self) -> tuple[AccessEntry, ...]:
        return tuple(self.node.acl or self._session.leaf_acl)

    def _wish(self, session_id: int, over: Patience | None) -> Wish:
        desired = self.node.desired  # before `leaving`, which is set first
        last = desired.data if desired.exists else desired.final_data
        return Wish(
            path=self.node.path,
            group=self._group,
            name=self._name,
            sharer=self._sharer,
            knows=self._knows,
            session=session_id,
            sessions=self._sharers.session_ids,
            data=last if last is not None else self._before or b"",
            gone=not desired.exists,
            force=self.node.may_replace,
            acl=self._acl,
            over=over,
        )

    def _write(self, step: Step, wish: Wish, generation: int, deadline: float) -> None:
        """Write what was decided; whatever comes of it, look again."""
        request = Multi(step.writes)
        self._sent = wish.data
        try:
            self._session.call(request, generation=generation, deadline=deadline)
        except _SURPRISES as error:
            log.debug("another one was quicker at %s: %s", self.node.path, error)
            self._standbys = None
            if isinstance(error, NodeMissing):
                self._make_parents(generation, deadline)
        except BROKEN as error:
            self._uncertain = self._uncertain or error.outcome_unknown
            raise
        else:
            self._uncertain = True
            if any(isinstance(write, Create) and write.path == self.node.path for write in step.writes):
                log.info("this process holds %s now", self.node.path)

    def _make_parents(self, generation: int, deadline: float) -> None:
        # Whoever may write the instance may stand by.
        rights = self._acl
        group = [
            entry._replace(permissions=entry.permissions | _READ | _CREATE) if entry.permissions & _WRITE else entry
            for entry in rights
        ]
        make_container(self._session, self._group, generation=generation, deadline=deadline, acl=group)
        make_container(self._session, parent_of(self.node.path), generation=generation, deadline=deadline)

    def _conclude(self, step: Step, seen: Seen, over: Patience | None, deadline: float) -> None:
        """Record what was found, and see to it that a change will be noticed."""
        node = self.node
        if step.state is OwnedState.RELEASED:
            self._finish()
            return
        rival, wait = step.rival, step.wait
        if step.state is OwnedState.WAITING and not rival and seen.node is not None and node.foreign_machine:
            rival = node.foreign_machine(seen.node.data) or ""
            wait = Patience.RIVAL if rival else None
        if wait is not None and wait is over:  # only a rival: the others are not waited for any more
            self._conflict(rival, seen, deadline)
            return
        if step.state in {OwnedState.HELD, OwnedState.STANDBY}:
            node.may_replace = False
        node.record(step.state, seen.node)
        self._follow(step)
        self._wait(wait)

    def _follow(self, step: Step) -> None:
        processes = [process for process in step.follow if can_tell(process)]
        self._sharers.exits.follow(self, [process.pid for process in processes], self.due)
        if any(has_ended(process) for process in processes):  # between the look and the watch
            self.due()

    def _wait(self, wait: Patience | None) -> None:
        if wait is None:
            if not self.node.leaving:
                self._patience = None
            return
        if wait is not self._patience:
            limits = {Patience.MATE: takeover.HANDOVER, Patience.FIRST: takeover.YIELD}
            # As for the default ids of other machines: a session ends up to one and a half ticks after T.
            self._patience = wait
            self._patience_ends = time.monotonic() + limits.get(wait, 2 * self._session.timeout)
        self._sharers.worker.schedule((self, "patience"), self._run, self._patience_ends - time.monotonic())

    def _conflict(self, rival: str, seen: Seen, deadline: float) -> None:
        node = self.node
        with suppress(NodeMissing):  # nobody waits for one that stands back
            path = f"{self._group}/{self._name}"
            self._session.call(Delete(path), deadline=deadline, generation=self._generation)
        cause = f"belongs to another owner ({rival}); stop one of the two, or take it with reclaim()"
        log.error("%s: %s", node.path, cause)
        self._patience = None
        node.record(OwnedState.CONFLICT, seen.node, RegistrationConflict(f"{node.path} {cause}", path=node.path))

    def _refuse(self, error: ZkDiscoveryError) -> None:
        node = self.node
        if str(node.error) != str(error):
            log.warning("%s can't be kept as wanted, trying again: %s", node.path, error)
        first, longest = BACKOFF
        self.due(min(longest, first * 2.0 ** min(self._failures, 10)) * random.uniform(0.75, 1.25))
        self._failures += 1
        node.record(node.state, node.known, error)

    def _finish(self) -> None:
        """Forget it: nothing of it is in ZooKeeper, or its session ends."""
        for watch in self._watches:
            watch.close()
        self._watches = []
        self._sharers.exits.follow(self, (), self.due)
        self._sharers.forget(self.node)
        self.node.record(OwnedState.RELEASED, None)
