"""A view of one service: what users hold. Picks read memory only."""

from __future__ import annotations

import copy
import dataclasses
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterator
from typing import Self, TypeVar, overload

from zkdiscovery.balancing import Endpoint, Outcome, Pool
from zkdiscovery.core import Core, CoreSlot
from zkdiscovery.discovery.attempt import Attempt
from zkdiscovery.discovery.calls import Call, RetryBudget, TimedCall, check_call
from zkdiscovery.discovery.endpoints import Endpoints, UnfollowedPool
from zkdiscovery.discovery.excluded import NOBODY, Excluded, excluded_ids
from zkdiscovery.discovery.explain import InstanceReport, explain, why_nothing
from zkdiscovery.discovery.feed import Feed, added, difference
from zkdiscovery.discovery.outcomes import outcome_of
from zkdiscovery.errors import ClientClosed, NoInstanceAvailable
from zkdiscovery.lifecycle import await_signals
from zkdiscovery.model import Change, Instance, Snapshot
from zkdiscovery.session import WAIT_POLL
from zkdiscovery.threads import Subscribers, Subscription
from zkdiscovery.validation import deadline_after

R = TypeVar("R")


class Service:
    """A live view of a service, made by `Client.discover`.

    Every method may be called from any thread. `pick`, `instances`, `available` and `snapshot` read memory: they
    never wait for ZooKeeper or for a lock. While ZooKeeper can't be reached the last known instances serve on, and
    `snapshot.stale` says so.
    """

    def __init__(
        self,
        name: str,
        slot: CoreSlot,
        attach: Callable[[Core, Service], Feed],
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
        self._changed = threading.Condition()
        self._reviving = threading.Lock()
        self._endpoints = Endpoints(name, where)
        self._snapshot = Snapshot(name)
        self._pool: Pool | UnfollowedPool = UnfollowedPool((), self._followed_pool)
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
        """What picks choose from: UP and accepted by `where`; suspects only if there is nothing else."""
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

    @overload
    def call(
        self,
        fn: Callable[[Instance], R],
        *,
        retry_on: type[BaseException] | tuple[type[BaseException], ...] = (),
        key: str | None = None,
        attempts: int = 3,
        timeout: float | None = 30.0,
        hedge: float | None = None,
    ) -> R: ...
    @overload
    def call(
        self,
        fn: TimedCall[R],
        *,
        retry_on: type[BaseException] | tuple[type[BaseException], ...] = (),
        key: str | None = None,
        attempts: int = 3,
        timeout: float = 30.0,
        hedge: float | None = None,
    ) -> R: ...
    def call(
        self,
        fn: Callable[..., R],
        *,
        retry_on: type[BaseException] | tuple[type[BaseException], ...] = (),
        key: str | None = None,
        attempts: int = 3,
        timeout: float | None = 30.0,
        hedge: float | None = None,
    ) -> R:
        """Call `fn(instance)`; on an exception of `retry_on` again with another instance.

        Retries and hedges in all are bounded to a fifth of the calls and 10 more.

        Args:
            fn: called with the instance picked; must have a time limit of its own. If it has a parameter `timeout`, it
                gets the seconds that are left, `fn(instance, timeout=…)`, but never more than that one's default.
            retry_on: exceptions after which another instance may be tried: only where repeating is safe.
            key: see `pick`.
            attempts: calls of `fn` at most, 1 or more.
            timeout: seconds after which no further attempt begins, and a hedged call is given up; None: no limit.
            hedge: seconds without an answer after which another instance is asked as well; the first good answer
                counts, what the other brings is dropped. Only where calling twice is safe; choose the 95th percentile
                of the answer time or more. `fn` runs on threads of its own then. None: never.

        Raises:
            NoInstanceAvailable: nothing to call; says why.
            TypeError: `fn` is `async def` or a generator function, or it returns a coroutine.
            OperationTimeout: a hedged call was not answered within `timeout`; or that was over before any call.
            Exception: what `fn` raised last, with a note that tells what was tried where.
        """
        kinds = check_call(fn, retry_on, attempts, hedge)

        def another(tried: list[str]) -> Endpoint | None:
            # With fewer instances than attempts the same one is tried again.
            return self._pool.pick(key, tried) or self._pool.pick(key)

        def attempt(endpoint: Endpoint) -> Attempt:
            return Attempt(lambda *_: endpoint, classify=self._classify)

        call = Call(self.name, fn, kinds, attempts, timeout, hedge, another, attempt, self._budget)
        endpoint = self._pool.pick(key)
        if endpoint is None:
            raise self._nothing()
        return call.run(endpoint)

    def explain(self) -> tuple[InstanceReport, ...]:
        """What the balancer thinks of every instance: weight, calls in flight, answer time, ejected for how long and
        why.
        """
        return explain(self.snapshot, self._followed_pool())

    # -- waiting --

    def wait_ready(self, timeout: float | None = 10.0, at_least: int = 1) -> Self:
        """Wait until the service is loaded and at least so many instances can be picked.

        Raises:
            NoInstanceAvailable: not within `timeout` seconds; says why.
            AuthenticationFailed, UnsupportedServer, ClientClosed: it can't be.
        """
        end = deadline_after(timeout)
        feed = self._follow()
        with self._changed:
            while not (self._closed or (self._snapshot.loaded and len(self._pool.endpoints) >= at_least)):
                left = end - time.monotonic()
                if left <= 0 or (feed is not None and feed.fatal_error is not None):
                    break
                self._changed.wait(min(left, WAIT_POLL))
            if self._closed:
                raise self._was_closed()
            if self._snapshot.loaded and len(self._pool.endpoints) >= at_least:
                return self
        if feed is not None and not self._snapshot.loaded and (error := feed.fatal_error) is not None:
            raise copy.copy(error)  # each raising of one and the same would lengthen its traceback
        raise self._nothing(wanted=at_least)

    def on_change(self, fn: Callable[[Change], object]) -> Subscription[Change]:
        """Call `fn(change)` on the client's dispatcher thread for each change; what is known already comes first, as
        added.

        Changes that come while `fn` runs are merged into one.

        Raises:
            TypeError: `fn` is no plain callable.
            ClientClosed: the view or the client was closed.
        """
        self._follow()
        with self._changed:
            if self._closed:
                raise self._was_closed()
            return self._subscribers.subscribe(fn, *self._known())

    def changes(self, timeout: float | None = None) -> Iterator[Change]:
        """Yield each change; what is known already comes first, as added. Ends when the view or the client closes.

        Args:
            timeout: seconds to wait for one change, after which the loop ends; None: for ever.
        """
        self._follow()
        with self._changed:
            waiting = self._known()  # at most one, merged
            self._mailboxes[id(waiting)] = waiting
        try:
            while True:
                self._follow()  # the body of the loop may have forked
                with self._changed:
                    end = deadline_after(timeout)
                    while not waiting and not self._closed:
                        left = end - time.monotonic()
                        if left <= 0:
                            return
                        self._changed.wait(left)
                    if not waiting:
                        break
                    change = waiting.pop()
                yield change
        finally:
            self._mailboxes.pop(id(waiting), None)  # without a lock, because the garbage collector may run this
        await_signals()

    # -- life --

    def close(self) -> None:
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "stale" if self._snapshot.stale else "live"
        known = len(self._snapshot.instances)
        return f"<Service {self.name!r} {state} available={len(self._pool.endpoints)} of {known}>"

    def __reduce__(self) -> str:
        raise TypeError("a view of a service can't be pickled; call discover() in the other process")

    # -- the feed --

    def revive(self, core: Core) -> None:
        """Follow the service with this core, unless the view follows it already or is closed.

        Raises:
            NoThreadAvailable: the system has no thread to give; the next use tries again.
        """
        with self._reviving:
            if self._feed is not None:
                return
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

    def _was_closed(self) -> ClientClosed:
        return ClientClosed(f"the view of {self.name!r} was closed, or its client was; discover() it again")

    def _known(self) -> list[Change]:
        """Return the snapshot as a change that adds all instances, if it is loaded. The caller holds the lock."""
        return [added(self._snapshot)] if self._snapshot.loaded else []

    def _nothing(self, exclude: Collection[str] = (), wanted: int = 1) -> NoInstanceAvailable:
        candidates = len(self._pool.endpoints)
        reason = why_nothing(self._snapshot, self._feed, candidates, len(exclude), self._endpoints.broken)
        count = "no instance" if wanted == 1 else f"{candidates} of {wanted} instances"
        return NoInstanceAvailable(f"{count} of {self.name!r} can be picked: {reason}")

    def _follow(self) -> Feed | None:
        """Join the feed of a forked child's own client at the first use. None: closed before that."""
        if self._feed is None and not self._closed:
            try:
                self.revive(self._slot.current())
            except ClientClosed:  # as other views of the client
                self.close()
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
        self._changed = threading.Condition()
        self._reviving = threading.Lock()
        self._budget = RetryBudget()
        self._endpoints = self._endpoints.forked()
        if self._closed:
            return
        self._feed = None
        stale_since = self._snapshot.stale_since or time.monotonic()
        self._snapshot = dataclasses.replace(self._snapshot, version=0, stale_since=stale_since)
        self._pool = UnfollowedPool(self._endpoints.candidates(), self._followed_pool)
