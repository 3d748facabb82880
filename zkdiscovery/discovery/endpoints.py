"""The instances that a view picks from, and what was learnt of each: kept while an instance stays, and a while longer.

Used by one thread at a time: the cache's worker, or the thread that makes the view.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Collection

from zkdiscovery.balancing import Endpoint, Pool
from zkdiscovery.balancing.interface import Pick
from zkdiscovery.model import Change, Instance, Status
from zkdiscovery.validation import refuse_coroutine

log = logging.getLogger("zkdiscovery.discovery")

REMEMBERED = 16  # departed instances, and as many more as are there, whose endpoints are kept: they may return


class Endpoints:
    """The endpoints of one view.

    Args:
        service: name of the service, for the log.
        where: which instances count; None: all. If it has an attribute `refusal`, that says what is wrong with others.

    Attributes:
        broken: why the strategy could not be built for the present set; "" if it was.
        refusal: what is wrong with instances that `where` refuses, in words.
    """

    def __init__(self, service: str, where: Callable[[Instance], bool] | None) -> None:
        self._service = service
        self._where = where
        self._present: dict[str, Endpoint] = {}
        self._suspects: dict[str, Endpoint] = {}  # picked only if nothing else is left
        self._fresh: dict[str, Endpoint] = {}  # new or changed since the pool was updated
        self._departed: OrderedDict[str, Endpoint] = OrderedDict()  # the one that left first comes first
        self.broken = ""
        self.refusal: str = getattr(where, "refusal", "not accepted by `where`")

    def candidates(self) -> tuple[Endpoint, ...]:
        """Return what picks choose from; suspects only if there is nothing else."""
        return tuple(self._present.values()) or tuple(self._suspects.values())

    def keep(self, ids: Collection[str]) -> bool:
        """Let all others leave. True if the pool is to be updated."""
        others = [instance_id for instance_id in self._present if instance_id not in ids]
        for instance_id in others:
            self._depart(instance_id, self._present.pop(instance_id))
        return bool(others)

    def apply(self, change: Change) -> bool:
        """Take a change. True if the pool is to be updated."""
        touched = False
        refused: dict[str, BaseException] = {}
        for instance_id, (_, new) in change.delta.items():
            old = self._present.pop(instance_id, None)
            if new is not None and new.status is Status.UP and self._accepts(new, refused):
                self._present[instance_id] = endpoint = self._renewed(old, new)
                self._fresh[instance_id] = endpoint
                touched = True
            elif old is not None:
                touched = True
                self._depart(instance_id, old)
        if self._suspects or change.after.suspects:
            found = {i.id: i for i in change.after.suspects if i.status is Status.UP and self._accepts(i, refused)}
            suspects = {key: self._renewed(self._suspects.get(key), instance) for key, instance in found.items()}
            touched = touched or suspects.keys() != self._suspects.keys()
            for key, old in self._suspects.items():
                if key not in suspects and key not in self._present:
                    self._depart(key, old)
            self._suspects = suspects
        while len(self._departed) > REMEMBERED + len(self._present) + len(self._suspects):
            self._departed.popitem(last=False)
        if refused:
            self._log_refused(refused)
        return touched

    def update(self, pool: Pool) -> None:
        """Let a pool pick from the present set."""
        try:
            # With suspects, which ones are candidates may have changed as well.
            pool.update(self.candidates(), None if self._suspects else self._fresh.values())
        except Exception as error:  # a strategy of the user's own
            broken = f"the balancer failed: {type(error).__name__}: {error}"
            if broken != self.broken:  # or else it fails in the same way as at each change
                log.exception("the balancer of the view of %r failed; picks go on as before", self._service)
            self.broken = broken
        else:
            self.broken = ""
            self._fresh.clear()

    def forked(self) -> Endpoints:
        """In a forked child: the same set, without what the parent's threads may be about to change."""
        copy = Endpoints(self._service, self._where)
        copy._present = {key: Endpoint(old.instance) for key, old in self._present.items()}
        copy._fresh = dict(copy._present)
        copy._suspects = {key: Endpoint(old.instance) for key, old in self._suspects.items()}
        for old in (*self._present.values(), *self._suspects.values()):
            old.listener = None  # the parent's, with its locks
        return copy

    def _depart(self, instance_id: str, endpoint: Endpoint) -> None:
        self._fresh.pop(instance_id, None)
        self._departed[instance_id] = endpoint
        self._departed.move_to_end(instance_id)

    def _renewed(self, old: Endpoint | None, instance: Instance) -> Endpoint:
        """The endpoint of an instance: that of before if it is the same incarnation, with all that was learnt."""
        if old is None:
            old = self._suspects.get(instance.id) or self._departed.pop(instance.id, None)
        if old is not None and old.instance.registered_at == instance.registered_at:
            old.instance = instance
            return old
        return Endpoint(instance)

    def _accepts(self, instance: Instance, refused: dict[str, BaseException]) -> bool:
        if self._where is None:
            return True
        try:
            accepted: object = self._where(instance)
            if accepted is not True and accepted is not False:
                refuse_coroutine(accepted, "`where`")
            return bool(accepted)
        except BaseException as error:  # noqa: BLE001 - on the cache's thread sys.exit() would end but the update
            refused[instance.id] = error
            return False

    def _log_refused(self, refused: dict[str, BaseException]) -> None:
        """Log one line for all, because a defect of `where` shows with every instance."""
        first, error = next(iter(refused.items()))
        others = f" and {len(refused) - 1} more are" if len(refused) > 1 else " is"
        log.error("the `where` of the view of %r raised; %s%s left out", self._service, first, others, exc_info=error)


class UnfollowedPool:
    """In the place of the pool of a view that follows nothing yet, as in a forked child: the first pick changes that.

    Args:
        endpoints: what is known.
        follow: makes the view follow its service, and returns its pool.
    """

    def __init__(self, endpoints: tuple[Endpoint, ...], follow: Callable[[], Pool]) -> None:
        self.endpoints = endpoints
        self._follow = follow

    def pick(self, key: str | None = None, exclude: Collection[str] = ()) -> Endpoint | None:
        """Follow the service, then pick."""
        return self._follow().pick(key, exclude)

    def end(self, pick: Pick) -> None:
        """From now on every pick is this one."""
        self.pick = pick  # type: ignore[method-assign]
