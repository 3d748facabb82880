"""A view of one service on threads: what users hold. Picks read memory only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Self, TypeVar, overload

from zkdiscovery.discovery.base import BaseService
from zkdiscovery.discovery.call_policy import TimedCall
from zkdiscovery.discovery.calls import CANT_AWAIT, Call
from zkdiscovery.lifecycle import await_signals
from zkdiscovery.model import Change, Instance
from zkdiscovery.threads import Subscription, run_steps
from zkdiscovery.validation import check_function

R = TypeVar("R")


class Service(BaseService):
    """A live view of a service, made by `Client.discover`.

    Every method may be called from any thread. `pick`, `instances`, `available` and `snapshot` read memory: they
    never wait for ZooKeeper or for a lock. While ZooKeeper can't be reached the last known instances serve on, and
    `snapshot.stale` says so.
    """

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
        check_function(fn, "what is called", instead=CANT_AWAIT)
        call, first = self._calling(Call, fn, retry_on, key, attempts, timeout, hedge)
        return call.run(first)  # type: ignore[no-any-return]  # what `fn` returns

    def wait_ready(self, timeout: float | None = 10.0, at_least: int = 1) -> Self:
        """Wait until the service is loaded and at least `at_least` instances can be picked.

        Raises:
            NoInstanceAvailable: not within `timeout` seconds; says why.
            AuthenticationFailed, UnsupportedServer, ClientClosed: it can't be.
        """
        return run_steps(self._loading(timeout, at_least))

    def on_change(self, fn: Callable[[Change], object]) -> Subscription[Change]:
        """Call `fn(change)` on the client's dispatcher thread for each change; what is known already comes first, as
        added.

        Changes that come while `fn` runs are merged into one.

        Raises:
            TypeError: `fn` is no plain callable.
            ClientClosed: the view or the client was closed.
        """
        return self._subscribe(fn)

    def changes(self, timeout: float | None = None) -> Iterator[Change]:
        """Yield each change; what is known already comes first, as added. Ends when the view or the client closes.

        Args:
            timeout: seconds to wait for one change, after which the loop ends; None: for ever.
        """
        with self._mailbox() as waiting:
            while (change := run_steps(self._changing(waiting, timeout))) is not None:
                yield change
        await_signals()

    def close(self) -> None:
        """Stop following. Picks raise ClientClosed; the last snapshot stays readable, as stale.

        Never blocks; idempotent.
        """
        self.stop_following()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
