"""A view of one service: what users hold. Picks read memory only."""

from __future__ import annotations

import copy
import dataclasses
import logging
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, NamedTuple, Self, TypeVar, overload

from zkdiscovery.balancing import Endpoint, Outcome
from zkdiscovery.discovery.attempt import Attempt
from zkdiscovery.discovery.cache import ServiceCache, difference
from zkdiscovery.discovery.calls import Call, RetryBudget, TimedCall, check_call
from zkdiscovery.discovery.excluded import NOBODY, Excluded, excluded_ids
from zkdiscovery.discovery.explain import Standing, explain
from zkdiscovery.discovery.outcomes import outcome_of
from zkdiscovery.errors import (
    ClientClosed,
    NoInstanceAvailable,
)
from zkdiscovery.lifecycle import await_signals
from zkdiscovery.model import Change, Instance, Snapshot, Status
from zkdiscovery.session import WAIT_POLL
from zkdiscovery.threads import Dispatcher, Subscription
from zkdiscovery.validation import deadline_after, refuse_coroutine

if TYPE_CHECKING:
    from zkdiscovery.balancing import Pool
    from zkdiscovery.balancing.interface import Pick

R = TypeVar("R")

log = logging.getLogger("zkdiscovery.discovery")

REMEMBERED = 16  # instances that left, and as many more as are there, of which is kept what was learnt: they may return


class Attachment(NamedTuple):
    """What ties a view to its client; another one after a fork."""

    cache: ServiceCache
    dispatcher: Dispatcher
    detach: Callable[[], None]


class Service:
    """A live view of a service, made by `Client.discover`.

    Every method may be called from any thread. `pick`, `instances`, `available` and `snapshot` read memory: they
    never wait for ZooKeeper or for a lock. While ZooKeeper can't be reached the last known instances serve on, and
    `snapshot.stale` says so.
    """

    def __init__(
        self,
        name: str,
        make_pool: Callable[[], Pool],
        where: Callable[[Instance], bool] | None,
        attach: Callable[[Service], Attachment],
        classify: Callable[[BaseException | None], Outcome] = outcome_of,
    ) -> None:
        self.name = name
        self._make_pool = make_pool  # another one after a fork
        self._where = where
        self._attach = attach
        self._classify = classify
        self._subscriptions: tuple[Subscription[Change], ...] = ()
        self._mailboxes: list[list[Change]] = []  # one for each loop over changes(), holding at most one change
        self._budget = RetryBudget()
        self._closed = False
        self._changed = threading.Condition()
        self._endpoints: dict[str, Endpoint] = {}
        self._suspects: dict[str, Endpoint] = {}  # picked only if nothing else is left
        self._fresh: dict[str, Endpoint] = {}  # those that are new or changed since the pool was updated
        self._left: OrderedDict[str, Endpoint] = OrderedDict()  # those that left lately, the first one first
        self._snapshot = Snapshot(name)
        self._broken = ""  # why the strategy could not be built for the present set
        self._pool = make_pool()
        self._attached = attach(self)

    # -- reading --

    @property
    def snapshot(self) -> Snapshot:
        """All that is known, at one moment."""
        return self._snapshot

    @property
    def instances(self) -> tuple[Instance, ...]:
        """Instances of all statuses, suspects left out."""
        return self._snapshot.instances

    @property
    def available(self) -> tuple[Instance, ...]:
        """What picks choose from: UP and accepted by `where`; suspects only if there is nothing else."""
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
        return call.run(self._choose(key, ()))

    def explain(self) -> tuple[Standing, ...]:
        """What the balancer thinks of every instance: weight, calls in flight, answer time, ejected for how long and
        why.
        """
        return explain(self._snapshot, self._pool)

    # -- waiting --

    def wait_ready(self, timeout: float | None = 10.0, at_least: int = 1) -> Self:
        """Wait until the service is loaded and at least so many instances can be picked.

        Raises:
            NoInstanceAvailable: not within `timeout` seconds; says why.
            AuthenticationFailed, UnsupportedServer, ClientClosed: it can't be.
        """
        end = deadline_after(timeout)
        with self._changed:
            while not (self._snapshot.loaded and len(self._pool.endpoints) >= at_least):
                if self._closed:
                    break
                left = end - time.monotonic()
                if left <= 0 or self._attached.cache.fatal_error is not None:
                    break
                self._changed.wait(min(left, WAIT_POLL))
            if self._closed:
                raise self._was_closed()
            if self._snapshot.loaded and len(self._pool.endpoints) >= at_least:
                return self
        refusal = self._attached.cache.fatal_error
        if refusal is not None and not self._snapshot.loaded:
            raise copy.copy(refusal)  # each raising of one and the same would lengthen its traceback
        raise self._nothing(wanted=at_least)

    def on_change(self, fn: Callable[[Change], object]) -> Subscription[Change]:
        """Call `fn(change)` on the client's dispatcher thread for each change; what is known already comes first, as
        added.

        Changes that come while `fn` runs are merged into one.

        Raises:
            TypeError: `fn` is no plain callable.
        """
        subscription = self._attached.dispatcher.subscribe(fn, Change.then)
        with self._changed:
            self._subscriptions = (*(s for s in self._subscriptions if not s.closed), subscription)
            snapshot = self._snapshot
            if snapshot.loaded:
                self._attached.dispatcher.offer(subscription, self._all(snapshot))
        return subscription

    def changes(self, timeout: float | None = None) -> Iterator[Change]:
        """Yield each change; what is known already comes first, as added. Ends when the view or the client closes.

        Args:
            timeout: seconds to wait for one change, after which the loop ends; None: for ever.
        """
        waiting: list[Change] = []  # at most one, merged
        with self._changed:
            if self._snapshot.loaded:
                waiting.append(self._all(self._snapshot))
            self._mailboxes.append(waiting)
        try:
            while True:
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
            with self._changed:
                self._mailboxes = [mailbox for mailbox in self._mailboxes if mailbox is not waiting]
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
        for subscription in self._subscriptions:
            subscription.close()
        self._attached.detach()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "stale" if self._snapshot.stale else "live"
        return (
            f"<Service {self.name!r} {state} available={len(self._pool.endpoints)} of {len(self._snapshot.instances)}>"
        )

    def __reduce__(self) -> str:
        raise TypeError(
            "a view of a service holds a connection and can't be pickled; call discover() in the other process"
        )

    # -- the cache's worker --

    def follow(self, change: Change) -> None:
        """Take a new snapshot of the cache (worker)."""
        if change.after.version <= self._snapshot.version:
            return  # joined in between: known already
        before = self._snapshot
        if change.before is not before:  # just joined
            nothing = not before.instances and not change.before.instances
            change = Change(before, change.after, change.delta) if nothing else difference(before, change.after)
        touched = self._update_endpoints(change)
        if touched:
            self._rebuild()
        with self._changed:
            if self._closed:
                return
            self._snapshot = change.after
            for mailbox in self._mailboxes:
                mailbox[:] = [mailbox[0].then(change) if mailbox else change]
            subscriptions = self._subscriptions
            # Offered under the lock, so that on_change() gives no change twice and misses none.
            for subscription in subscriptions:
                self._attached.dispatcher.offer(subscription, change)
            self._changed.notify_all()

    def _rebuild(self) -> None:
        try:
            # With suspects, which ones are candidates may have changed as well.
            self._pool.update(self._candidates(), None if self._suspects else self._fresh.values())
        except Exception as error:  # a strategy of the user's own
            trouble = f"the balancer failed: {type(error).__name__}: {error}"
            if trouble != self._broken:  # or else it is the same trouble again, as at each change
                log.exception("the balancer of the view of %r failed; picks go on as before", self.name)
            self._broken = trouble
        else:
            self._broken = ""
            self._fresh.clear()

    def _update_endpoints(self, change: Change) -> bool:
        touched = False
        refused: dict[str, BaseException] = {}
        for instance_id, (_, new) in change.delta.items():
            old = self._endpoints.pop(instance_id, None)
            if new is not None and new.status is Status.UP and self._accepts(new, refused):
                self._endpoints[instance_id] = endpoint = self._renewed(old, new)
                self._fresh[instance_id] = endpoint
                touched = True
            elif old is not None:
                touched = True
                self._depart(instance_id, old)
        if self._suspects or change.after.suspects:
            suspects = {i.id: i for i in change.after.suspects if i.status is Status.UP and self._accepts(i, refused)}
            renewed = {key: self._renewed(self._suspects.get(key), instance) for key, instance in suspects.items()}
            touched = touched or renewed.keys() != self._suspects.keys()
            for key, old in self._suspects.items():
                if key not in renewed and key not in self._endpoints:
                    self._depart(key, old)
            self._suspects = renewed
        while len(self._left) > REMEMBERED + len(self._endpoints) + len(self._suspects):
            self._left.popitem(last=False)
        if refused:
            self._tell_refused(refused)
        return touched

    def _depart(self, instance_id: str, endpoint: Endpoint) -> None:
        self._fresh.pop(instance_id, None)
        self._left[instance_id] = endpoint
        self._left.move_to_end(instance_id)

    def _renewed(self, old: Endpoint | None, instance: Instance) -> Endpoint:
        """The endpoint for an instance: the same as before if it is the same incarnation, so that what was learnt
        stays.
        """
        if old is None:
            old = self._suspects.get(instance.id) or self._left.pop(instance.id, None)
        if old is not None and old.instance.registered_at == instance.registered_at:
            old.instance = instance
            return old
        return Endpoint(instance)

    def _candidates(self) -> tuple[Endpoint, ...]:
        return tuple(self._endpoints.values()) or tuple(self._suspects.values())

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

    def _tell_refused(self, refused: dict[str, BaseException]) -> None:
        """One line for all, because a defect of `where` shows with every instance."""
        first, error = next(iter(refused.items()))
        others = f" and {len(refused) - 1} more are" if len(refused) > 1 else " is"
        log.error("the `where` of the view of %r raised; %s%s left out", self.name, first, others, exc_info=error)

    # -- helpers --

    def _was_closed(self) -> ClientClosed:
        return ClientClosed(f"the view of {self.name!r} was closed, or its client was; discover() it again")

    def _all(self, snapshot: Snapshot) -> Change:
        return difference(Snapshot(self.name), snapshot)

    def _choose(self, key: str | None, exclude: Collection[str]) -> Endpoint:
        endpoint = self._pool.pick(key, exclude)
        if endpoint is None:
            raise self._nothing(exclude)
        return endpoint

    def _nothing(self, exclude: Collection[str] = (), wanted: int = 1) -> NoInstanceAvailable:
        snapshot, cache = self._snapshot, self._attached.cache
        if not snapshot.loaded:
            reason = f"not loaded yet: {cache.status_message}"
        else:
            counts = Counter(instance.status for instance in snapshot.instances)
            up = counts.pop(Status.UP, 0)
            parts = [f"{count} {status}" for status, count in sorted(counts.items())]
            if self._broken:
                parts.insert(0, self._broken)
            elif up and not self._pool.endpoints:
                parts.insert(0, f"{up} UP but not accepted by `where`")
            elif up:
                parts.insert(0, f"{up} UP")
            if exclude:
                parts.append(f"{len(exclude)} excluded")
            if snapshot.rejected:
                parts.append(f"{len(snapshot.rejected)} rejected")
            if snapshot.suspects:
                parts.append(f"{len(snapshot.suspects)} suspects")
            reason = ", ".join(parts) or f"none is registered below {cache.path}"
            if snapshot.stale and cache.error:
                reason += f"; not read for {snapshot.age:.1f} s: {cache.error}"
            elif snapshot.stale:
                reason += f"; not in contact with ZooKeeper for {snapshot.age:.1f} s"
        count = "no instance" if wanted == 1 else f"{len(self._pool.endpoints)} of {wanted} instances"
        return NoInstanceAvailable(f"{count} of {self.name!r} can be picked: {reason}")

    def _forked(self) -> None:
        """In a forked child: new locks, and a connection of our own at the first pick."""
        self._changed = threading.Condition()
        self._budget = RetryBudget()
        self._mailboxes = []
        self._attached = self._attached._replace(detach=lambda: None)  # the cache, and its locks, are the parent's
        for old in self._endpoints.values():
            old.listener = None  # the parent's, with its locks
        self._endpoints = {key: Endpoint(old.instance) for key, old in self._endpoints.items()}
        self._suspects = {}
        self._left = OrderedDict()
        if self._closed:
            return
        self._pool = pool = self._make_pool()
        pool.update(self._candidates())
        known = pool.pick

        def revive(key: str | None = None, exclude: Collection[str] = ()) -> Endpoint | None:
            self._revive(pool, known)
            return pool.pick(key, exclude)

        pool.pick = revive

    def _revive(self, pool: Pool, known: Pick) -> None:
        with self._changed:
            revive = pool.pick
            if revive is known or self._closed:
                return
            pool.pick = known
            self._snapshot = Snapshot(
                self.name,
                instances=self._snapshot.instances,
                loaded=self._snapshot.loaded,
                stale_since=time.monotonic(),
            )
        try:
            self._attached = self._attach(self)
        except BaseException:  # such as no thread to be had: the next pick tries again
            with self._changed:
                if not self._closed:
                    pool.pick = revive
            raise
