"""A party at a barrier: one node, from entering to leaving.

The node is an ephemeral, `<uuid>-of-<parties>-<number>`. Its data says who made it and, once the barrier has opened for
it, which group it belongs to. One transaction opens the barrier: it writes the group into the nodes of the first
parties that wait, and fails if one of them has gone or belongs to a group already. So a group never has fewer members
than it should, and each party reads and watches only its own node while it waits.

Each party that comes lists the nodes, and opens the barrier if enough parties wait. The last one of a group sees all
others, so nobody needs to watch who comes.

Whoever leaves deletes its node and waits for the first member that is left. The first member keeps its node until it is
alone. So the end of one node tells all who have left, and only the first member looks more often.

Threads: the worker of the owned nodes runs it; any thread may call the public methods.
"""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from collections.abc import Iterable

from zkdiscovery.core import Core
from zkdiscovery.errors import InvalidSettings, NodeMissing, ZkDiscoveryError
from zkdiscovery.locks.names import in_order
from zkdiscovery.session import (
    NO_NODE,
    EventKind,
    GetChildren,
    Multi,
    Node,
    SetData,
    State,
    StateChange,
    TreeWatch,
    bulk_read,
)
from zkdiscovery.threads import Monitor, Steps, Until
from zkdiscovery.validation import deadline_after
from zkdiscovery.znodes import NumberedNode, OwnedNode, OwnedState, name_of
from zkdiscovery.znodes.transactions import SURPRISES

log = logging.getLogger("zkdiscovery.locks")

RETRY_DELAY = 0.2  # seconds after a refusal on a standing connection

_NAME = re.compile(r"[0-9a-f]{32}-of-([0-9]{1,4})--?[0-9]{10}")


class Party:
    """A party at one barrier. Its node is wanted from the beginning.

    Args:
        core: of the client.
        title: names the barrier, in messages.
        parent: where the nodes of the barrier stand.
        parties: how many make a group.
        id: what this party calls itself.

    Attributes:
        title: names the barrier, in messages.
        changed: tells of each change.
        group: the group, once the barrier has opened for this party.
        over: True once its node is gone.
        lost: why its node is gone, if it has not left itself.
        alone: True once it leaves and no other member of its group is left.
        stopped: the client is drained or closed.
        refused: why it can never enter.
        seen: how many parties it saw last, itself included.
        error: why it does not get on; None if nothing is known to be wrong.
    """

    def __init__(self, core: Core, title: str, parent: str, parties: int, id: str) -> None:
        self.set_up(title)
        self._session = core.session
        self._worker = core.worker
        self._parent = parent
        self._parties = parties
        self._members: list[str] | None = None  # paths of the group, in order, once it leaves (worker)
        self._watch: TreeWatch | None = None  # on the member that it waits for (worker)
        token = uuid.uuid4().hex
        path = f"{parent}/{token}-of-{parties}-"
        self._numbered = NumberedNode(core.session, path, token)
        self.node: OwnedNode = core.nodes.prepare(
            path,
            _encode(id),
            on_state=self._on_node,
            on_foreign_write=self._on_written,
            restore=False,
            acl=core.session.parent_acl,  # because the others write it
            numbered=self._numbered,
        )
        core.worker.start()  # before anything listens
        core.session.listen(self._on_state)
        core.nodes.keep([self.node])

    def set_up(self, title: str) -> None:
        """Set what a party has that needs no ZooKeeper, too."""
        self.title = title
        self.changed = Monitor()
        self.group: str | None = None
        self.over = False
        self.lost: str | None = None
        self.alone = False
        self.stopped = False
        self.refused: InvalidSettings | None = None
        self.seen = 0
        self.error: ZkDiscoveryError | None = None
        self._leaves = False  # it waits for the end of the group
        self._stood = False  # its node was seen since
        self._released = False
        self._disowned = False  # it belongs to the parent process

    # -- any thread --

    @property
    def left(self) -> bool:
        """True once it has left, and all other members of its group have."""
        return self.alone and self.over

    def begin_leaving(self) -> None:
        """Leave once it is seen that the node still stands, and wait for the others. Never blocks."""
        with self.changed:
            self._leaves = True
        self._schedule()

    def release(self) -> None:
        """Leave, and wait for nobody. Never blocks; idempotent. Does nothing in a forked child."""
        if self._disowned:
            return
        with self.changed:
            self._leaves = False
        self._withdraw()
        self._worker.schedule((self, "end"), self._end_if_over)

    def leaving(self, timeout: float) -> Steps[None]:
        """In contact with ZooKeeper, wait until the node is out of it; without contact, return at once."""
        yield Until(
            lambda: self.over or self._session.state is not State.CONNECTED, deadline_after(timeout), self.changed
        )

    def stop(self, _reason: str) -> None:
        """Leave because the client closes; `closing` follows. Never blocks."""
        with self.changed:
            self.stopped = True
            self.changed.notify_all()
        self.release()

    def closing(self, deadline: float) -> Steps[None]:
        """Wait until the node is gone, until `deadline` (monotonic seconds)."""
        yield from self.leaving(max(0.0, deadline - time.monotonic()))

    def forked(self) -> None:
        """In a forked child: the node is the parent's."""
        self._disowned = True

    # -- what makes the worker run --

    def _on_state(self, change: StateChange) -> None:
        if change.state is State.CONNECTED:
            self._schedule()
        elif change.state is State.EXPIRED and self._numbered.tried and not (self._released or self._stood):
            # Not a new node in the next session: the barrier may have opened for this one.
            self.lost = "the session expired"
            self._withdraw()
        self._tell()

    def _on_node(self, node: OwnedNode) -> None:
        if node.state is OwnedState.RELEASED:
            with self.changed:
                self.over = True
                if not (self._released or self._stood):
                    self.lost = str(node.error or "its session ended")
                leaves = self._leaves and self.lost is None
                self.changed.notify_all()
            if not leaves:
                self._end()
        elif node.state is OwnedState.HELD:
            self._schedule()

    def _on_written(self, data: bytes) -> None:
        """Take the group that another party has written, or this one (worker)."""
        group = _group_of(data)
        if group is not None:
            self.node.write(data)  # so that it is not written over
            with self.changed:
                self.group = group
                self.changed.notify_all()

    def _on_member(self, kind: EventKind, _path: str) -> None:
        if kind is EventKind.DELETED:
            self._schedule()

    def _tell(self) -> None:
        with self.changed:
            self.changed.notify_all()

    def _schedule(self, delay: float = 0.0) -> None:
        self._worker.schedule((self, "look"), self._look, delay)

    # -- the worker --

    def _look(self) -> None:
        """Open the barrier if it can be opened; or see who of the group is left."""
        session = self._session
        generation = session.generation
        leaves = self._leaves
        waits = self.group is None and not self._released and self.node.state is OwnedState.HELD
        if session.state is not State.CONNECTED or not (leaves or waits):
            return  # a change of either will call again
        deadline = time.monotonic() + session.settings.operation_timeout
        try:
            if leaves:
                self._see_who_is_left(generation, deadline)
            else:
                self._try_to_open(generation, deadline)
        except SURPRISES:
            self._schedule()  # another one opened it, or has gone
        except (ZkDiscoveryError, TimeoutError) as error:
            log.debug("the party %s: %s", self.node.path, error)
            self.error = error if isinstance(error, ZkDiscoveryError) else None
            self._schedule(RETRY_DELAY)
        else:
            self.error = None

    def _list(self, generation: int, deadline: float) -> list[str]:
        """List the parties at the barrier, in order of arrival."""
        try:
            names = self._session.call(GetChildren(self._parent), deadline=deadline, generation=generation)
        except NodeMissing:  # ZooKeeper reaps a parent that is empty
            return []
        self._numbered.delete_others(self.node.path, names, generation, deadline)
        return in_order(name for name in names if _NAME.fullmatch(name))

    def _read(self, names: Iterable[str], generation: int, deadline: float) -> list[tuple[str, Node]]:
        paths = [f"{self._parent}/{name}" for name in names]
        found = bulk_read(self._session, paths, generation=generation, deadline=deadline)
        return [(path, node) for path, node in found if isinstance(node, Node)]

    def _try_to_open(self, generation: int, deadline: float) -> None:
        queue, own = self._list(generation, deadline), name_of(self.node.path)
        if own not in queue:
            return  # deleted from outside: the event will call
        ahead = (_parties_of(name) for name in queue[: queue.index(own)])
        other = next((parties for parties in ahead if parties != self._parties), None)
        if other is not None:
            with self.changed:
                self.refused = InvalidSettings(
                    f"{self.title} is used with {other} parties, and {self._parties} was given: give the same number"
                )
                self.changed.notify_all()
            return
        alike = [name for name in queue if _parties_of(name) == self._parties]
        self.seen = len(alike)
        if len(alike) < self._parties:
            return  # those who come look
        waiting = [
            (path, node) for path, node in self._read(alike, generation, deadline) if _group_of(node.data) is None
        ]
        self.seen = len(waiting)
        if len(waiting) < self._parties:
            return
        group = uuid.uuid4().hex
        chosen = waiting[: self._parties]
        self._session.call(
            Multi([SetData(path, _encode(_id_of(node.data), group), node.stat.version) for path, node in chosen]),
            deadline=deadline,
            generation=generation,
        )
        if self.node.path not in [path for path, _ in chosen]:
            self._schedule()  # there may be enough for another group

    def _see_who_is_left(self, generation: int, deadline: float) -> None:
        names, own = self._list(generation, deadline), self.node.path
        if not self._stood:
            if name_of(own) not in names:
                return  # lost: the event will tell
            self._stood = True
        if self._members is None:
            members = self._read(names, generation, deadline)
            self._members = [path for path, node in members if _group_of(node.data) == self.group]
        standing = {f"{self._parent}/{name}" for name in names}
        left = [path for path in self._members if path in standing or path == own]
        others = [path for path in left if path != own]
        if not others:
            with self.changed:
                self.alone = True
                self.changed.notify_all()
            self._withdraw()
            self._end()
        elif left[0] == own and not self.over:
            self._follow(others[-1], generation, deadline)
        else:
            self._withdraw()
            self._follow(others[0], generation, deadline)

    def _follow(self, path: str, generation: int, deadline: float) -> None:
        """Look again when a node goes."""
        if self._watch is None or self._watch.path != path:
            self._leave_watch()
            self._watch = self._session.watches.add(path, self._on_member)
        self._watch.arm(generation=generation, deadline=deadline).result(max(0.0, deadline - time.monotonic()))
        for _, found in bulk_read(self._session, [path], generation=generation, deadline=deadline):
            if found == NO_NODE:  # gone between the list and the watch
                self._schedule()

    def _withdraw(self) -> None:
        self._released = True
        self.node.release()

    def _end_if_over(self) -> None:
        if self.over and not self._leaves:
            self._end()

    def _end(self) -> None:
        self._session.unlisten(self._on_state)
        self._leave_watch()

    def _leave_watch(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()


def _encode(id: str, group: str | None = None) -> bytes:
    return json.dumps({"id": id, "group": group}, separators=(",", ":")).encode()


def _decode(data: bytes) -> tuple[str, str | None]:
    """Return id and group. What can't be read is as if nobody had written it, because it is untrusted."""
    try:
        value = json.loads(data)
        return str(value["id"])[:256], None if value["group"] is None else str(value["group"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return "", None


def _id_of(data: bytes) -> str:
    return _decode(data)[0]


def _group_of(data: bytes) -> str | None:
    return _decode(data)[1]


def _parties_of(name: str) -> int:
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else 0
