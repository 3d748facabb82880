"""One place in the queue of a lock: one numbered node, at most one hold.

Whoever wants the lock may ask the holder to release it, as Curator's `Revoker` does: by writing a message into the node
of the holder. The place tells its owner and writes its own data again, so that the next request is seen, too. The owner
decides; a request ends no hold.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeAlias, TypeVar

from zkdiscovery.core import Core
from zkdiscovery.errors import ZkDiscoveryError
from zkdiscovery.locks.names import Kind, Layout, in_order, new_name, that_count
from zkdiscovery.session import GetChildren, Lease
from zkdiscovery.threads import Steps, Until
from zkdiscovery.znodes import BaseHold, NumberedNode, QueuePlace, name_of

H = TypeVar("H", bound=BaseHold)

MakeHold: TypeAlias = Callable[[str, int, Lease, Callable[[], None]], H]  # name, fence, lease, release

RELEASE_REQUEST = b"__REVOKE__"  # as Curator has it

log = logging.getLogger("zkdiscovery.locks")


class Place(QueuePlace[H], Generic[H]):
    """A place in the queue of one lock, ordered by number.

    Args:
        core: of the client.
        title: names the lock, in messages.
        parent: where the places of the lock stand.
        kind: what the place is for.
        layout: how its node is named.
        data: what its node holds.
        make_hold: makes the hold.
        on_request: called with the hold when somebody asks for its release; must not block.

    Attributes:
        title: names the lock, in messages.
        behind: True once others were found ahead.
        stopped: the client is drained or closed.
        refused: why it can never hold.
        requested: the hold, once somebody has asked for its release.
    """

    def __init__(
        self,
        core: Core,
        title: str,
        parent: str,
        kind: Kind,
        layout: Layout,
        data: bytes,
        make_hold: MakeHold[H],
        on_request: Callable[[H], object],
    ) -> None:
        self.set_up(title, on_request)
        self._parent = parent
        self._kind = kind
        self._make_hold = make_hold
        name = new_name(kind, layout)
        path = f"{parent}/{name.text}"
        self._numbered = NumberedNode(core.session, path, name.token)
        self._asked: dict[int, Future[Any]] = {}  # lists of the queue that were asked for ahead, by connection (worker)
        super().__init__(
            core.session, core.nodes, core.worker, path, data, acl=None, hold=True, numbered=self._numbered,
            on_foreign_write=self._on_foreign_write,
        )  # fmt: skip

    def set_up(self, title: str, on_request: Callable[[H], object]) -> None:
        """Set what a place has that stands in no queue, too."""
        self.title = title
        self.behind = False
        self.stopped = False
        self._released = False  # by its holder
        self._on_request = on_request
        self._request_came = False
        self.requested: H | None = None
        self.refused: ZkDiscoveryError | None = None
        self._block: object | None = None  # the thread or task of the `with` block that holds it
        self._me: Callable[[], object] = _nobody
        self._on_own_stop: Callable[[], object] = _nobody

    @property
    def holds(self) -> bool:
        """True while the lock is held."""
        return self.hold is not None and not self.hold.lost

    def on_placed(self, generation: int) -> None:
        """Ask for the list of the queue. It serves as well as a later one, because the set ahead only shrinks."""
        deadline = time.monotonic() + self._session.settings.operation_timeout
        request = GetChildren(self._parent)
        self._asked[generation] = self._session.submit(request, deadline=deadline, generation=generation)

    def read_queue(self, generation: int, deadline: float) -> list[str]:
        """Return the places that count; tell those who wait if others are ahead."""
        places = self.places(generation, deadline)
        if self.node.path in places[1:]:
            self.note_behind()
        return places

    def places(self, generation: int, deadline: float) -> list[str]:
        """List the places that count for this one, in order (worker)."""
        request, asked = GetChildren(self._parent), self._asked.pop(generation, None)
        self._asked.clear()
        if asked is None:
            asked = self._session.submit(request, deadline=deadline, generation=generation)
        names = self._session.result(asked, request, deadline)
        self._numbered.delete_others(self.node.path, names, generation, deadline)
        queue = that_count(self._kind, in_order(names), name_of(self.node.path))
        return [f"{self._parent}/{name}" for name in queue]

    def note_behind(self) -> None:
        """Tell those who wait that others are ahead (worker)."""
        if not self.behind:
            self.behind = True
            self.wake()

    def make_hold(self, fence: int, lease: Lease) -> H:
        return self._make_hold(self.title, fence, lease, self.release)

    def on_begun(self, fence: int) -> None:
        log.debug("holding %s, fence %d", self.title, fence)
        self._pass_request_on()

    def on_ended(self, fence: int, reason: str, *, by_us: bool) -> None:
        level = logging.DEBUG if by_us else logging.WARNING
        log.log(level, "the hold %d of %s is over: %s", fence, self.title, reason)

    def note_request(self) -> None:
        """Tell the owner that somebody asks for the lock; once it holds, if it does not hold yet (worker)."""
        log.info("asked to release %s", self.title)
        self._request_came = True
        self._pass_request_on()

    def _on_foreign_write(self, data: bytes) -> None:
        if data == RELEASE_REQUEST:
            self.note_request()

    def _pass_request_on(self) -> None:
        with self.changed:  # a subscription that is made in this moment is told once
            hold = self.hold
            if self._request_came and hold is not None and not hold.lost:
                self.requested = hold
                self._on_request(hold)

    # -- any thread --

    def release(self) -> None:
        """End the hold and leave the queue. Never blocks; idempotent."""
        self._released = True
        self.withdraw("released")

    def check_kept(self) -> None:
        """Check at the end of a `with` block that the hold lasted, unless the block has released it.

        Raises:
            HoldLost: it was lost.
        """
        if self.hold is not None and not self._released:
            self.hold.check()

    def enter_block(self, me: Callable[[], object], on_own_stop: Callable[[], object]) -> None:
        """Note that a `with` block holds the lock.

        Args:
            me: gives the thread or task that runs it.
            on_own_stop: called before the hold ends because the block itself closes the client.
        """
        self._block, self._me, self._on_own_stop = me(), me, on_own_stop

    def leave_block(self) -> None:
        """Leave the queue after the `with` block. Never blocks."""
        with self.changed:
            self._block = None
            self.changed.notify_all()
        self.release()

    def stop(self, reason: str) -> None:
        """End the hold because the client closes; `closing` follows. Never blocks."""
        self.stopped = True
        if self._block is not None and self._block is self._me():
            self._on_own_stop()
        self.end_hold(reason)

    def closing(self, deadline: float) -> Steps[None]:
        """Wait for the block, unless it is the caller, until `deadline` (monotonic seconds); leave the queue."""
        me = self._me()
        yield Until(lambda: self._block is None or self._block is me, deadline, self.changed)
        if self._block is not None and self._block is not me:
            log.error(
                "the client is closed, but the block of its hold of %s still runs on %r and holds nothing any more",
                self.title, self._block,
            )  # fmt: skip
        self.withdraw("the client was closed")
        yield from self.leaving(max(0.0, deadline - time.monotonic()))


def _nobody() -> None:
    """Stand for the thread of no block."""
