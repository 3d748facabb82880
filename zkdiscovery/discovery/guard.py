"""The guard against mass loss: who vanishes in a mass, without goodbye, is suspected to be cut off rather than gone.

Pure bookkeeping with the time given by the caller; belongs to one cache and its worker thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from zkdiscovery.model import Instance, Status
from zkdiscovery.znodes import Marks

if TYPE_CHECKING:
    from zkdiscovery.settings import Guard

GOODBYE_WINDOW = 2.0  # seconds between the last change of a node and its deletion that make it a goodbye
_LEAVING = frozenset({Status.DRAINING, Status.OUT_OF_SERVICE})


class _Loss(NamedTuple):
    at: float  # monotonic seconds
    instance: Instance


def said_goodbye(instance: Instance, marks: Marks | None) -> bool:
    """Did it leave by itself? Its last status said so, or it wrote something just before it was deleted.

    DRAINING, written and deleted at once, can't be read any more; only the order of the two events shows it.
    """
    if instance.status in _LEAVING:
        return True
    return marks is not None and 0.0 < marks.changed_at <= marks.deleted_at <= marks.changed_at + GOODBYE_WINDOW


class MassLossGuard:
    """Decides which lost instances are suspects.

    Args:
        settings: see `Guard`.
        session_timeout: seconds, the consumer's own; default of `hold`, and half of it of `window`: sessions that
            break at one moment expire one after the other, by up to a third of their timeout and a tick.
    """

    def __init__(self, settings: Guard, session_timeout: float) -> None:
        self.session_timeout = session_timeout
        self._settings = settings
        self._recent: deque[_Loss] = deque()  # when each was lost
        self._suspects: dict[str, _Loss] = {}  # until when each is held

    @property
    def hold(self) -> float:
        """Seconds that a suspect is kept."""
        return self._settings.hold or self.session_timeout

    @property
    def window(self) -> float:
        """Seconds within which losses count as one."""
        return self._settings.window or self.session_timeout / 2

    @property
    def suspects(self) -> tuple[Instance, ...]:
        """Those suspected now."""
        return tuple(loss.instance for loss in self._suspects.values())

    def next_release(self) -> float | None:
        """When the next suspect is let go, in monotonic seconds."""
        return min((loss.at for loss in self._suspects.values()), default=None)

    def returned(self, ids: Iterable[str]) -> None:
        """These are there again."""
        if self._suspects or self._recent:
            self._forget(set(ids))

    def lost(self, instances: Sequence[Instance], left: int, now: float) -> int:
        """These vanished without goodbye; `left` are still there. How many are suspects from now on?"""
        settings = self._settings
        if not (settings.enabled and instances):
            return 0
        while self._recent and self._recent[0].at < now - self.window:
            self._recent.popleft()
        self._recent.extend(_Loss(now, instance) for instance in instances)
        population = left + len(self._recent)
        if population < settings.minimum or len(self._recent) <= settings.fraction * population:
            return 0
        before = len(self._suspects)
        for loss in self._recent:
            # Those too that vanished first, when it did not look like a mass yet. Who is a suspect is not held longer.
            self._suspects.setdefault(loss.instance.id, _Loss(now + self.hold, loss.instance))
        return len(self._suspects) - before

    def release(self, now: float) -> list[Instance]:
        """Let go of the suspects whose time is up."""
        over = [loss.instance for loss in self._suspects.values() if loss.at <= now]
        self._forget({instance.id for instance in over})
        return over

    def _forget(self, ids: set[str]) -> None:
        for instance_id in ids:
            self._suspects.pop(instance_id, None)
        self._recent = deque(loss for loss in self._recent if loss.instance.id not in ids)
