"""The guard against mass loss: instances that vanish in a mass, without deregistering, may be cut off rather than gone.

Pure bookkeeping with the time given by the caller; belongs to one cache and its worker thread.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from zkdiscovery.model import Instance, Status
from zkdiscovery.znodes import Marks

if TYPE_CHECKING:
    from zkdiscovery.settings import Guard

DEREGISTRATION_WINDOW = 2.0  # seconds between the last change of a node and its deletion that make it a deregistration
LEAVING = frozenset({Status.DRAINING, Status.OUT_OF_SERVICE})


def was_deregistered(instance: Instance, marks: Marks | None) -> bool:
    """Did it leave by itself? Its last status said so, or it wrote something just before it was deleted.

    DRAINING, written and deleted at once, can't be read any more; only the order of the two events shows it.
    """
    if instance.status in LEAVING:
        return True
    return marks is not None and 0.0 < marks.changed_at <= marks.deleted_at <= marks.changed_at + DEREGISTRATION_WINDOW


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
        # In order of time, which is in monotonic seconds; the first ones are taken away in constant time.
        self._recent: OrderedDict[str, tuple[float, Instance]] = OrderedDict()  # lost, and when: no suspects so far
        self._suspects: OrderedDict[str, tuple[float, Instance]] = OrderedDict()  # and until when each is held

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
        return tuple([instance for _, instance in self._suspects.values()])

    def next_release(self) -> float | None:
        """Return when the next suspect is let go, in monotonic seconds."""
        return next((until for until, _ in self._suspects.values()), None)

    def returned(self, ids: Iterable[str]) -> None:
        """Forget the losses of instances that came back."""
        if self._recent or self._suspects:
            for instance_id in ids:
                self._recent.pop(instance_id, None)
                self._suspects.pop(instance_id, None)

    def lost(self, instances: Sequence[Instance], left: int, now: float) -> int:
        """Note that these vanished without deregistering, and `left` are still there. Return how many become suspects.

        Those too that vanished first, when it did not look like a mass yet; and whoever follows while others are held,
        for they count as one loss.
        """
        if not (self._settings.enabled and instances):
            return 0
        while self._recent and next(iter(self._recent.values()))[0] < now - self.window:
            self._recent.popitem(last=False)
        for instance in instances:
            self._recent[instance.id] = now, instance
            self._recent.move_to_end(instance.id)
        gone = len(self._recent) + len(self._suspects)
        if gone + left < self._settings.minimum or gone <= self._settings.fraction * (gone + left):
            return 0
        suspected = {key: (now + self.hold, instance) for key, (_, instance) in self._recent.items()}
        self._suspects.update(suspected)
        self._recent.clear()
        return len(suspected)

    def release(self, now: float) -> list[Instance]:
        """Let go of the suspects whose time is up."""
        released = []
        while self._suspects and next(iter(self._suspects.values()))[0] <= now:
            released.append(self._suspects.popitem(last=False)[1][1])
        return released
