"""A place in the queue of a shard, or of those who may write the table: that of a lock, which tells of changes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic, TypeVar

from zkdiscovery.core import Core
from zkdiscovery.lifecycle import default_id
from zkdiscovery.locks import Kind, MakeHold, Place
from zkdiscovery.znodes import BaseHold

H = TypeVar("H", bound=BaseHold)

log = logging.getLogger("zkdiscovery.shards")


class ShardPlace(Place[H], Generic[H]):
    """A place in a queue.

    Args:
        core: of the client.
        title: names what is queued for, in messages.
        parent: where the places stand.
        make_hold: makes the hold.
        tell: called when the hold has begun, when it has ended, and when the node is gone; on any thread, must not
            block.
    """

    def __init__(self, core: Core, title: str, parent: str, make_hold: MakeHold[H], tell: Callable[[], None]) -> None:
        self._tell = tell
        super().__init__(core, title, parent, Kind.LOCK, "curator", default_id().encode(), make_hold, _ignore)

    def on_begun(self, fence: int) -> None:
        super().on_begun(fence)
        self._tell()

    def on_ended(self, fence: int, reason: str, *, by_us: bool) -> None:  # noqa: ARG002 - others log it, once for all
        log.debug("the hold %d of %s is over: %s", fence, self.title, reason)
        self._tell()

    def _finish(self) -> None:
        super()._finish()
        self._tell()


def _ignore(_hold: BaseHold) -> None:
    """Ignore that somebody asks for the release: the table tells who gets a shard."""
