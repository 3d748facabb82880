"""The part of a view that the sync and the async one share: what is known, picks, and the steps of waiting."""

from __future__ import annotations

import copy
import dataclasses
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Self, TypeVar

from zkdiscovery.balancing import Endpoint, Outcome, Pool
from zkdiscovery.core import Core, CoreSlot
from zkdiscovery.discovery.attempt import Attempt
from zkdiscovery.discovery.call_policy import CallPolicy, RetryBudget, check_call
from zkdiscovery.discovery.endpoints import Endpoints, UnfollowedPool
from zkdiscovery.discovery.explain import InstanceReport, explain, why_nothing
from zkdiscovery.discovery.feed import Feed, added, difference
from zkdiscovery.discovery.outcomes import outcome_of
from zkdiscovery.discovery.saved import SavedView, SavedViews
from zkdiscovery.errors import ClientClosed, NoInstanceAvailable
from zkdiscovery.model import Change, Instance, Snapshot
from zkdiscovery.threads import Monitor, Steps, Subscribers, Subscription, Until, Worker
from zkdiscovery.validation import deadline_after

C = TypeVar("C", bound=CallPolicy)
Excluded = str | Instance | Iterable[str | Instance]

GRACE = 0.5  # seconds that a start waits for ZooKeeper although there are instances from the fallback file

NOBODY: tuple[()] = ()  # the one empty tuple: to compare with it by identity costs a pick next to nothing


class BaseService:
    """A live view of a service.

    Every method may be called from any thread. `pick`, `instances`, `available` and `snapshot` read memory: they
    never wait for ZooKeeper or for a lock. While ZooKeeper can't be reached the last known instances serve on, and
    `snapshot.stale` says so.
    """

    def __init__(
        self,
        name: str,
        slot: CoreSlot,
        attach: Callable[[Core, BaseService], Feed],
        make_pool: Callable[[], Pool],
        where: Callable[[Instance], bool] | None = None,
        classify: Callable[[BaseException | None], Outcome] = outcome_of,
    ) -> None:
        self.name = name
        self._slot = slot
        self._attach = attach
        self._make_pool = make_pool  # another one after a fork
        self._classify = classify
        # Without a reference to the view, so that one that nobody refers to any more is gone at once.
        this = weakref.WeakMethod(self.update_hold)

        def update_hold() -> None:
            if (method := this()) is not None:
                method()

        self._subscribers: Subscribers[Change] = Subscribers(
            slot.dispatcher, Change.then, on_first=update_hold, on_last=update_hold
        )
        self._mailboxes: dict[int, list[Change]] = {}  # one for each loop over changes(), holding at most one change
        self._budget = RetryBudget()
        self._closed = False
        self._changed = Monitor()
        self._reviving = threading.Lock()
        self._endpoints = Endpoints(name, where)
        self._snapshot = Snapshot(name)
        self._pool: Pool | UnfollowedPool = UnfollowedPool((), self._followed_pool)
        self._saved: SavedView | None = None
        self._saving: Worker | None = None
        self._feed: Feed | None = None  # None until `revive`, and again in a forked child

    # -- reading --

    @property
    def snapshot(self) -> Snapshot:
        """All that is known, at one moment."""
        self._follow()
        return self._snapshot

    @property
    def instances(self) -> tuple[Instance, ...]:
        """Instances of all statuses, suspects left out."""
        return self.snapshot.instances

    @property
    def available(self) -> tuple[Instance, ...]:
        """The instances that picks choose from: UP and accepted by `where`; suspects only if there is nothing else."""
        self._follow()
        return tuple([endpoint.instance for endpoint in self._pool.endpoints])

    def pick(self, key: str | None = None, exclude: Excluded = NOBODY) -> Instance:
        """One instance, by the balancer.

        Args:
            key: what the call is about, for balancers that send one key to one instance.
            exclude: what not to pick: an id, an instance, or any iterable of ids and instances.

        Raises:
            NoInstanceAvailable: says why.
            TypeError: `exclude` is anything else.
        """
        ids = exclude if exclude is NOBODY else excluded_ids(exclude)
        endpoint = self._pool.pick(key, ids)
        if endpoint is None:
            raise self._nothing(ids)
        return endpoint.instance

    def attempt(self, key: str | None = None, exclude: Excluded = NOBODY) -> Attempt:
        """A context manager (`with` or `async with`) that picks an instance and reports latency and outcome to the
        balancer.

        Args:
            key: see `pick`.
            exclude: see `pick`.

        Raises:
            NoInstanceAvailable: on entering; says why.
            TypeError: `exclude` is neither ids nor instances.
        """
        ids = exclude if exclude is NOBODY else excluded_ids(exclude)
        return Attempt(self._pool.pick, key, ids, self._classify, self._nothing)

    def explain(self) -> tuple[InstanceReport, ...]:
        """Explain how the balancer sees every instance: weight, calls in flight, answer time, and for how long and why
        it is ejected.
        """
        return explain(self.snapshot, self._followed_pool(), self._endpoints.refusal)

    def _calling(
        self,
        driver: type[C],
        fn: Callable[..., object],
        retry_on: object,
        key: str | None,
        attempts: int,
        timeout: float | None,
        hedge: float | None,
    ) -> tuple[C, Endpoint]:
        """A call, and the instance that it asks first."""
        kinds = check_call(retry_on, attempts, hedge)

        def another(tried: list[str]) -> Endpoint | None:
            # With fewer instances than attempts the same one is tried again.
            return self._pool.pick(key, tried) or self._pool.pick(key)

        def attempt(endpoint: Endpoint) -> Attempt:
            return Attempt(lambda *_: endpoint, classify=self._classify)

        call = driver(self.name, fn, kinds, attempts, timeout, hedge, another, attempt, self._budget)
        first = self._pool.pick(key)
        if first is None:
            raise self._nothing()
        return call, first

    # -- the steps of waiting --

    def _loading(self, timeout: float | None, at_least: int) -> Steps[Self]:
        end = deadline_after(timeout)
        feed = self._follow()

        def ready() -> bool:
            return self._snapshot.loaded and len(self._pool.endpoints) >= at_least

        def hopeless() -> bool:
            return feed is not None and feed.fatal_error is not None

        also = None if feed is None else feed.errors_changed
        if self._saved is not None and self._snapshot.stale and ready():  # what the file has will do, if need be

            def fresh() -> bool:
                return ready() and not self._snapshot.stale

            grace = min(end, time.monotonic() + GRACE)
            yield Until(lambda: self._closed or fresh() or hopeless(), grace, self._changed, also)
        yield Until(lambda: self._closed or ready() or hopeless(), end, self._changed, also)
        with self._changed:
            if self._closed:
                raise self._was_closed()
            if ready():
                return self
        if feed is not None and not self._snapshot.loaded and (error := feed.fatal_error) is not None:
            raise copy.copy(error)  # each raising of one and the same would lengthen its traceback
        raise self._nothing(wanted=at_least)

    @contextmanager
    def _mailbox(self) -> Iterator[list[Change]]:
        """A list that holds the changes which nobody has taken, merged into one."""
        self._follow()
        with self._changed:
            waiting = self._known()
            self._mailboxes[id(waiting)] = waiting
        try:
            yield waiting
        finally:
            self._mailboxes.pop(id(waiting), None)  # without a lock, because the garbage collector may run this

    def _changing(self, waiting: list[Change], timeout: float | None) -> Steps[Change | None]:
        """Wait for the next change. None: the view is closed, or the time is over."""
        self._follow()  # the body of the loop may have forked
        yield Until(lambda: waiting or self._closed, deadline_after(timeout), self._changed)
        with self._changed:
            return waiting.pop() if waiting else None

    def _subscribe(self, fn: Callable[[Change], object]) -> Subscription[Change]:
        self._follow()
        with self._changed:
            if self._closed:
                raise self._was_closed()
            return self._subscribers.subscribe(fn, *self._known())

    # -- life --

    def stop_following(self) -> None:
        """Stop following. Picks raise ClientClosed; the last snapshot stays readable, as stale.

        Never blocks; idempotent.
        """

        def closed(key: str | None = None, exclude: Collection[str] = ()) -> Endpoint | None:  # noqa: ARG001 - a Pick
            raise self._was_closed()

        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._pool.end(closed)
            if self._snapshot.stale_since is None:
                self._snapshot = dataclasses.replace(self._snapshot, stale_since=time.monotonic())
            self._changed.notify_all()
        self._subscribers.close()
        self._leave_if_closed()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "stale" if self._snapshot.stale else "live"
        known = len(self._snapshot.instances)
        return f"<{type(self).__name__} {self.name!r} {state} available={len(self._pool.endpoints)} of {known}>"

    def __reduce__(self) -> str:
        raise TypeError("a view of a service can't be pickled; call discover() in the other process")

    # -- the feed --

    def start_from(self, saved: SavedView) -> None:
        """Begin with what the file has, until the service is loaded, and keep the file from then on."""
        self._saved = saved
        if (snapshot := saved.load()) is not None:
            self._endpoints.apply(added(snapshot))
            self._snapshot = snapshot

    def revive(self, core: Core) -> None:
        """Follow the service with this core, unless the view follows it already or is closed.

        Raises:
            NoThreadAvailable: the system has no thread to give; the next use tries again.
        """
        with self._reviving:
            if self._feed is not None:
                return
            if self._saved is not None:
                self._saving = core.feature(SavedViews).worker
            before, pool = self._pool, self._make_pool()
            self._endpoints.update(pool)
            with self._changed:
                if self._closed:  # picks stay refused
                    return
                self._pool = pool
            try:
                self._feed = self._attach(core, self)
            except BaseException:
                self._pool = before
                raise
        self.update_hold()
        self._leave_if_closed()

    def update_hold(self) -> None:
        """Keep the view alive while it has subscriptions."""
        if (feed := self._feed) is not None:
            feed.hold(self, self._subscribers.__bool__)

    def follow(self, change: Change) -> None:
        """Take a new snapshot (the feed's thread, or the one that makes the view)."""
        pool, before, everything, left = self._pool, self._snapshot, change, False
        if change.after.version <= before.version or (before.loaded and not change.after.loaded):
            return  # known already, as it joined in between; or a forked child was cut off before it could load
        if change.before is not before:  # just joined
            everything = added(change.after) if change.before.instances else change
            delta = difference(before, change.after).delta if before.instances else everything.delta
            change = Change(before, change.after, delta)
            left = self._endpoints.keep(everything.delta)  # of what the parent was applying when it forked
        if (self._endpoints.apply(everything) or left) and isinstance(pool, Pool):
            self._endpoints.update(pool)
        with self._changed:
            if self._closed:
                return
            self._snapshot = change.after
            for mailbox in list(self._mailboxes.values()):
                mailbox[:] = [mailbox[0].then(change) if mailbox else change]
            # Offered under the lock, so that on_change() gives no change twice and misses none.
            self._subscribers.offer(change)
            self._changed.notify_all()
        if self._saved is not None and self._saving is not None:
            self._saved.offer(change.after, self._saving)

    def _was_closed(self) -> ClientClosed:
        return ClientClosed(f"the view of {self.name!r} was closed, or its client was; discover() it again")

    def _known(self) -> list[Change]:
        """Return the snapshot as a change that adds all instances, if it is loaded. The caller holds the lock."""
        return [added(self._snapshot)] if self._snapshot.loaded else []

    def _nothing(self, exclude: Collection[str] = (), wanted: int = 1) -> NoInstanceAvailable:
        candidates = len(self._pool.endpoints)
        broken, refusal = self._endpoints.broken, self._endpoints.refusal
        reason = why_nothing(self._snapshot, self._feed, candidates, len(exclude), broken, refusal)
        count = "no instance" if wanted == 1 else f"{candidates} of {wanted} instances"
        return NoInstanceAvailable(f"{count} of {self.name!r} can be picked: {reason}")

    def _follow(self) -> Feed | None:
        """Join the feed of a forked child's own client at the first use. None: closed before that."""
        if self._feed is None and not self._closed:
            try:
                self.revive(self._slot.current())
            except ClientClosed:  # as other views of the client
                self.stop_following()
        return self._feed

    def _followed_pool(self) -> Pool:
        self._follow()
        if isinstance(self._pool, UnfollowedPool):
            raise self._was_closed()
        return self._pool

    def _leave_if_closed(self) -> None:
        """Leave the feed, whichever of `close` and `revive` comes last."""
        if self._closed and (feed := self._feed) is not None:
            feed.leave(self)

    def forked(self) -> None:
        """In a forked child: new locks, the set as it was, stale; a connection of the child's own at the first use."""
        self._changed = Monitor()
        self._reviving = threading.Lock()
        self._budget = RetryBudget()
        self._endpoints = self._endpoints.forked()
        if self._closed:
            return
        self._feed = self._saving = None
        stale_since = self._snapshot.stale_since or time.monotonic()
        self._snapshot = dataclasses.replace(self._snapshot, version=0, stale_since=stale_since)
        self._pool = UnfollowedPool(self._endpoints.candidates(), self._followed_pool)


def excluded_ids(exclude: Excluded) -> frozenset[str]:
    """The ids of what is excluded: one id, one instance, or any number of either.

    Raises:
        TypeError: anything else.
    """
    try:
        each = (exclude,) if isinstance(exclude, str | Instance) else tuple(exclude)
        return frozenset([one if isinstance(one, str) else _id_of(one) for one in each])
    except TypeError:
        raise TypeError(f"exclude must be ids or instances: one, or an iterable of them: got {exclude!r:.80}") from None


def _id_of(instance: Instance) -> str:
    if not isinstance(instance, Instance):
        raise TypeError
    return instance.id
