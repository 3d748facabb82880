"""The handle of a registered instance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from zkdiscovery.lifecycle import leaving
from zkdiscovery.registration.base import CLOSE_TIMEOUT, BaseRegistration
from zkdiscovery.threads import Subscription, run_steps


class Registration(BaseRegistration):
    """An instance that stays registered until it is closed; made by `Client.register`. `with` closes it.

    Every method may be called from any thread.
    """

    def on_change(self, fn: Callable[[Self], object]) -> Subscription[Self]:
        """Call `fn(registration)` on the client's dispatcher thread when its state or error changed.

        Raises:
            TypeError: `fn` is no plain callable.
        """
        return self._subscribers.subscribe(fn)

    def wait_registered(self, timeout: float | None = 10.0) -> Self:
        """Wait until what was wanted last stands in ZooKeeper.

        Raises:
            RegistrationConflict: another owner has the id.
            OperationTimeout: not within `timeout` seconds; the message says what is known.
            AuthenticationFailed, UnsupportedServer: there will be no connection.
            AccessDenied, QuotaExceeded, …: ZooKeeper refuses it. Trying goes on all the same.
            ClientClosed: closed, before or meanwhile.
        """
        return run_steps(self._registering(timeout))

    def drain(self, delay: float | None = None, timeout: float | None = CLOSE_TIMEOUT) -> None:
        """Write DRAINING, wait `delay` seconds so that calls under way can end, then deregister.

        Where several threads drain, the first one whose delay is over deregisters.

        Args:
            delay: seconds; None: the `drain_delay` given at registration.
            timeout: seconds that ZooKeeper may take for both writes together. Where it can't be reached, the instance
                vanishes with the session instead.

        Raises:
            InvalidInstance: a delay out of range.
            InvalidSettings: no time limit.
        """
        run_steps(self._draining(delay, timeout))

    def close(self, timeout: float | None = CLOSE_TIMEOUT) -> None:
        """`drain()` with the delay given at registration; idempotent."""
        self.drain(timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        with leaving(CLOSE_TIMEOUT) as limit:
            self.drain(timeout=limit)
