"""One node that exists exactly while it is wanted. `keeper.py` makes ZooKeeper agree.

Threads: any thread wishes and reads; the keeper's worker notes what it finds, and is alone in using the attributes
marked as its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Literal, NamedTuple

from zkdiscovery.errors import ZkDiscoveryError
from zkdiscovery.session import WAIT_POLL, AccessEntry, Node, TreeWatch
from zkdiscovery.validation import deadline_after

log = logging.getLogger("zkdiscovery.znodes")

OnConflict = Literal["replace", "wait", "refuse"]


class OwnedState(StrEnum):
    """Where an owned node stands."""

    PENDING = "PENDING"  # wanted, and not known to be in ZooKeeper
    HELD = "HELD"  # in ZooKeeper, ours
    WAITING = "WAITING"  # another owner has the path; ours follows when it is gone
    CONFLICT = "CONFLICT"  # another owner has the path; final until reclaim()
    RELEASED = "RELEASED"  # not wanted, and not in ZooKeeper


class Wish(NamedTuple):
    """What is wanted of a node.

    Attributes:
        data: what it shall hold; None: it shall be gone.
        last_words: written in the transaction that deletes it, so that others see CHANGED, then DELETED.
    """

    data: bytes | None
    last_words: bytes | None = None

    @property
    def there(self) -> bool:
        """Shall it exist?"""
        return self.data is not None


class OwnedNode:
    """One ephemeral and the wish behind it.

    Args:
        due: tells the keeper that something is to be done.
        path: where.
        data: what it shall hold.
        on_conflict: what to do about a foreign owner: "replace" it at the first creation, and only then; "wait" until
            it is gone, whenever that is; "refuse": CONFLICT.
        on_state: called after each change of `state` or `error`, on the worker thread, outside locks; must not block.
        on_foreign_write: called with what somebody else wrote into the node, on the worker; may `write`. What is
            wanted then stands.
        restore: False: it is known by the transaction id of its creation (candidates in elections), so no other node
            is created in that transaction, and it is RELEASED if it was deleted from outside or with its session.
        acl: who may do what with it; None: as the settings say of leaves.
        session_id: gives that of the present session, 0 if there is none; None: sessions do not matter.
        place: called on the worker, on a connection, before anything of the node is looked at: finds out where it
            shall stand (`move`). False: not known yet; asked again when something is due. What it raises is a refusal.
        stranger: who holds what was found on the path, if the first creation must not replace it at once because its
            owner may live on another machine; None if it may. Called on the worker, and only for "replace".
    """

    def __init__(
        self,
        due: Callable[[OwnedNode], None],
        path: str,
        data: bytes,
        *,
        on_conflict: OnConflict = "replace",
        on_state: Callable[[OwnedNode], None],
        on_foreign_write: Callable[[bytes], None] | None = None,
        restore: bool = True,
        acl: Sequence[AccessEntry] | None = None,
        session_id: Callable[[], int] | None = None,
        place: Callable[[], bool] | None = None,
        stranger: Callable[[bytes], str | None] | None = None,
    ) -> None:
        self.path = path
        self.restore = restore
        self.acl = acl
        self.on_foreign_write = on_foreign_write
        self._on_state = on_state
        self._due = due
        self._present_session_id = session_id
        self._place = place
        self._stranger = stranger
        self._changed = threading.Condition()
        self._wish = Wish(data)
        self._state = OwnedState.PENDING
        self._error: ZkDiscoveryError | None = None
        self._known: Node | None = None  # what stands on the path, as far as known
        self._on_conflict: OnConflict = on_conflict
        self._may_replace = on_conflict == "replace"  # any owner: until it was held once, and again from reclaim() on
        self._dirty = False  # something happened to it since it was looked at
        # The worker's own:
        self._watch: TreeWatch | None = None
        self._generation = 0  # connection that has the watch
        self._session_id = 0  # session in which `_known` was learnt
        self._sent: bytes | None = None  # data that we wrote last, whether or not it arrived
        self._uncertain = False  # we wrote, and have not seen what came of it
        self._failures = 0  # refusals in a row
        self._patience: float | None = None  # monotonic seconds; until then a stranger may turn out to be dead

    @property
    def state(self) -> OwnedState:
        """Where it stands."""
        return self._state

    @property
    def error(self) -> ZkDiscoveryError | None:
        """Why it is not where it should be; None if nothing is wrong."""
        return self._error

    @property
    def czxid(self) -> int:
        """Transaction id of its creation; 0 while it is not held, or was not looked at since."""
        ours = self._ours
        return ours.stat.czxid if ours is not None else 0

    @property
    def settled(self) -> bool:
        """True if what was wanted last stands in ZooKeeper."""
        with self._changed:
            if not self._wish.there:
                return self._state is OwnedState.RELEASED
            ours = self._ours
            if ours is None or ours.data != self._wish.data:
                return False
        # After an expiry it is gone, though the worker may not have come to it yet.
        return self._present_session_id is None or ours.stat.ephemeral_owner == self._present_session_id()

    def write(self, data: bytes) -> None:
        """Want other data. Never blocks; ignored after `release`."""
        with self._changed:
            if not self._wish.there:
                return
            self._wish = Wish(data)
            self._changed.notify_all()
        self._due(self)

    def move(self, path: str, data: bytes) -> None:
        """Where it shall stand, and what it shall hold; for `place`."""
        with self._changed:
            self.path = path
            if self._wish.there:
                self._wish = Wish(data)
            self._changed.notify_all()

    def nudge(self) -> None:
        """What `place` waits for may have come. Never blocks."""
        self._due(self)

    def release(self, last_words: bytes | None = None) -> None:
        """Want it gone, for good. Never blocks; see `wait`."""
        with self._changed:
            if not self._wish.there:
                return
            self._wish = Wish(None, last_words)
            self._changed.notify_all()
        self._due(self)

    def reclaim(self) -> None:
        """Replace the owner for which we wait or with which we are in CONFLICT. Never blocks."""
        with self._changed:
            if not self._wish.there or self._state not in {OwnedState.CONFLICT, OwnedState.WAITING}:
                return
            self._may_replace = True
            self._stranger = None
            self._dirty = True  # what the worker may conclude in this moment is out of date
            self._state, self._error = OwnedState.PENDING, None
            self._changed.notify_all()
        self._due(self)

    def wait(self, condition: Callable[[OwnedNode], bool], timeout: float) -> bool:
        """Wait until `condition(node)` holds; False if `timeout` seconds are over. It must be quick."""
        end = deadline_after(timeout)
        with self._changed:
            while not condition(self):
                left = end - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(min(left, WAIT_POLL))
            return True

    def __repr__(self) -> str:
        return f"<OwnedNode {self.path} {self._state}>"

    # -- the worker's --

    @property
    def _ours(self) -> Node | None:
        """The node as it stands on the path, if it is ours."""
        return self._known if self._state is OwnedState.HELD else None

    def _note(self, state: OwnedState, known: Node | None, error: ZkDiscoveryError | None = None) -> None:
        """It stands so now. Wakes those who wait, and tells `on_state` if this is news.

        What ZooKeeper refused last remains the reason for as long as nothing gets on.
        """
        with self._changed:
            before = self._state, self._error
            self._state, self._known = state, known
            if error is None and state is before[0] and not self.settled:
                error = self._error
            if error is not self._error and str(error) != str(self._error):
                self._error = error
            news = before != (self._state, self._error)
            self._changed.notify_all()
        if news:
            self._on_state(self)

    def _adopt(self, data: bytes) -> None:
        """Somebody wrote into our node: the owner decides what shall stand, and `write`s it."""
        if self.on_foreign_write is None:
            return
        try:
            self.on_foreign_write(data)
        except Exception:
            log.exception("what another client wrote into %s can't be adopted; writing our own again", self.path)
