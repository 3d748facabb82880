"""One node that exists exactly while it is wanted. `reconciler.py` makes ZooKeeper agree.

Threads: any thread changes the desired state and reads; the worker of `OwnedNodes` records what it finds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Literal, NamedTuple, Protocol

from zkdiscovery.errors import ZkDiscoveryError
from zkdiscovery.session import AccessEntry, Node
from zkdiscovery.threads import WAIT_POLL, Monitor
from zkdiscovery.validation import check_timeout

log = logging.getLogger("zkdiscovery.znodes")

OnConflict = Literal["replace", "wait", "refuse", "share"]


class OwnedState(StrEnum):
    """The state of an owned node."""

    PENDING = "PENDING"  # wanted, and not known to be in ZooKeeper
    HELD = "HELD"  # in ZooKeeper, ours
    STANDBY = "STANDBY"  # in ZooKeeper, of a process that shares it with us
    WAITING = "WAITING"  # another owner has the path; ours follows when it is gone
    CONFLICT = "CONFLICT"  # another owner has the path; final until reclaim()
    RELEASED = "RELEASED"  # not wanted, and not in ZooKeeper


class DesiredState(NamedTuple):
    """A desired state of a node.

    Attributes:
        data: what the node must hold; None: the node must not exist.
        final_data: written in the transaction that deletes the node, so that others see CHANGED, then DELETED.
    """

    data: bytes | None
    final_data: bytes | None = None

    @property
    def exists(self) -> bool:
        """True if the node must exist."""
        return self.data is not None


class Numbered(Protocol):
    """Creates a node to whose name ZooKeeper adds a number."""

    def create(self, node: OwnedNode, generation: int, *, look: bool) -> None:
        """Create the node and move it to its path, or find what an earlier call has created (worker).

        A node that is not wanted any more is found, but not created.

        Args:
            node: is HELD afterwards, unless there is none.
            generation: number of the connection.
            look: an earlier call may have created it.

        Raises:
            ZkDiscoveryError: not done; `outcome_unknown` says that the node may be there.
        """


class OwnedNode:
    """One ephemeral and its desired state.

    Args:
        due: tells the owned nodes of the session that the reconciler must see to this one.
        path: the path of the node.
        data: what it must hold.
        on_conflict: what to do about a foreign owner: "replace" it at the first creation, and only then; "wait" until
            it is gone, whenever that is; "refuse": CONFLICT. "share" is not for `OwnedNodes`.
        on_state: called after each change of `state` or `error`, on the worker, outside locks; must not block.
        on_foreign_write: called with what somebody else wrote into the node, on the worker; may call `write`. The
            reconciler then writes what is wanted.
        restore: False for a node that is known by the transaction id of its creation (candidates in elections): no
            other node is created in that transaction, and the node is RELEASED if somebody deletes it or its session
            ends.
        acl: who may do what with it; None: as the settings say of leaves.
        session_id: gives that of the present session, 0 if there is none; None: sessions do not matter.
        find_place: called on the worker, on a connection, before anything of the node is looked at; calls `move` with
            its path. It returns False while the path is not known, and is called again when the node is due. An error
            that it raises counts as a refusal of ZooKeeper.
        numbered: creates the node, to whose name ZooKeeper adds a number; for `restore=False` only.
        foreign_machine: describes the owner of the data found on the path if that owner may live on another machine,
            so that the first creation must not replace it at once; None if it may. Called on the worker, and only for
            "replace".

    Attributes:
        state: the state of the node.
        error: why the node is not as wanted; None if nothing is wrong.
        desired: what is wanted of it.
        known: what is on the path, as far as known.
        changed: guards all of it, and tells of each change.
        dirty: True if something happened to it since the reconciler looked at it; any thread sets it.
        may_replace: True if the reconciler may replace any owner: until the node was held once, and again from
            `reclaim` on.
    """

    def __init__(
        self,
        due: Callable[[OwnedNode], None],
        path: str,
        data: bytes,
        *,
        on_conflict: OnConflict = "replace",
        on_state: Callable[[OwnedNode], None] | None = None,
        on_foreign_write: Callable[[bytes], None] | None = None,
        restore: bool = True,
        acl: Sequence[AccessEntry] | None = None,
        session_id: Callable[[], int] | None = None,
        find_place: Callable[[], bool] | None = None,
        foreign_machine: Callable[[bytes], str | None] | None = None,
        numbered: Numbered | None = None,
    ) -> None:
        self.path = path
        self.restore = restore
        self.acl = acl
        self.on_conflict: OnConflict = on_conflict
        self.find_place = find_place
        self.foreign_machine = foreign_machine
        self.numbered = numbered
        self._on_foreign_write = on_foreign_write
        self._on_state = on_state
        self._due = due
        self._present_session_id = session_id
        self.changed = Monitor()
        self.desired = DesiredState(data)
        self.state = OwnedState.PENDING
        self.error: ZkDiscoveryError | None = None
        self.known: Node | None = None
        self.may_replace = on_conflict == "replace"
        self.dirty = False

    @property
    def ours(self) -> Node | None:
        """The node on the path, if it is ours."""
        return self.known if self.state is OwnedState.HELD else None

    @property
    def stands(self) -> bool:
        """True if the node is in ZooKeeper, ours or shared."""
        return self.state in {OwnedState.HELD, OwnedState.STANDBY}

    @property
    def czxid(self) -> int:
        """Transaction id of its creation; 0 while it is not held, or was not looked at since."""
        ours = self.ours
        return ours.stat.czxid if ours is not None else 0

    @property
    def settled(self) -> bool:
        """True if ZooKeeper has what was wanted last."""
        with self.changed:
            if not self.desired.exists:
                return self.state is OwnedState.RELEASED
            ours = self.ours
            if ours is None or ours.data != self.desired.data:
                return False
        # After an expiry the node is gone, though the worker may not have come to it yet.
        return self._present_session_id is None or ours.stat.ephemeral_owner == self._present_session_id()

    def write(self, data: bytes) -> None:
        """Want other data. Never blocks; ignored after `release`."""
        with self.changed:
            if not self.desired.exists:
                return
            self.desired = DesiredState(data)
            self.changed.notify_all()
        self._due(self)

    def begin_release(self, data: bytes) -> None:
        """Want other data until `release`, which follows in a while. Never blocks."""
        self.write(data)

    def move(self, path: str, data: bytes) -> None:
        """Set the path of the node and what it must hold; for `find_place`."""
        with self.changed:
            self.path = path
            if self.desired.exists:
                self.desired = DesiredState(data)
            self.changed.notify_all()

    def wake(self) -> None:
        """Let those who wait look again."""
        with self.changed:
            self.changed.notify_all()

    def nudge(self) -> None:
        """Have `find_place` called again. Never blocks."""
        self._due(self)

    def release(self, final_data: bytes | None = None) -> None:
        """Want the node gone, for good unless `OwnedNodes.want_again` is called. Never blocks."""
        with self.changed:
            if not self.desired.exists:
                return
            self.desired = DesiredState(None, final_data)
            self.changed.notify_all()
        self._due(self)

    def revive(self, data: bytes) -> None:
        """Want the node again after `release`; for `OwnedNodes.want_again`."""
        with self.changed:
            self.desired = DesiredState(data)
            if self.state is OwnedState.RELEASED:
                self.state, self.error = OwnedState.PENDING, None
            self.changed.notify_all()

    def reclaim(self) -> None:
        """Replace the owner for which we wait or with which we are in CONFLICT. Never blocks."""
        with self.changed:
            if not self.desired.exists or self.state not in {OwnedState.CONFLICT, OwnedState.WAITING}:
                return
            self.may_replace = True
            self.foreign_machine = None
            self.dirty = True  # what the worker may conclude in this moment is out of date
            self.state, self.error = OwnedState.PENDING, None
            self.changed.notify_all()
        self._due(self)

    def wait(self, condition: Callable[[OwnedNode], object], timeout: float) -> bool:
        """Wait until `condition(node)`, which must be quick; False if `timeout` seconds are over."""
        return self.changed.wait_for(lambda: condition(self), check_timeout(timeout), WAIT_POLL)

    def __repr__(self) -> str:
        return f"<OwnedNode {self.path} {self.state}>"

    # -- called on the worker --

    def record(self, state: OwnedState, known: Node | None, error: ZkDiscoveryError | None = None) -> None:
        """Record what was found. Wakes those who wait, and calls `on_state` if the state or the error changed.

        While nothing gets on, the last refusal of ZooKeeper remains the reason.
        """
        with self.changed:
            before = self.state, self.error
            self.state, self.known = state, known
            if error is None and state is before[0] and not self.settled:
                error = self.error
            if error is not self.error and str(error) != str(self.error):
                self.error = error
            changed = before != (self.state, self.error)
            self.changed.notify_all()
        if changed and self._on_state is not None:
            self._on_state(self)

    def take_foreign_write(self, data: bytes) -> None:
        """Tell the owner what somebody else wrote into our node; the owner decides what is wanted."""
        if self._on_foreign_write is None:
            return
        try:
            self._on_foreign_write(data)
        except Exception:
            log.exception("what another client wrote into %s can't be adopted; writing our own again", self.path)
