"""A live configuration on threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Self, TypeVar

from zkdiscovery.config.base import BaseConfig
from zkdiscovery.config.change import ConfigChange
from zkdiscovery.lifecycle import await_signals
from zkdiscovery.threads import Subscription, run_steps

M = TypeVar("M")


class Config(BaseConfig[M]):
    """A live, typed configuration, made by `Client.config`.

    Every method may be called from any thread. `value`, `source`, `revisions`, `rejected` and `stale` read memory: they
    never wait for ZooKeeper or for a lock. While ZooKeeper can't be reached the last good value stays, and `stale` says
    so.

    Attributes:
        name: of the configuration.
    """

    def wait_ready(self, timeout: float | None = 10.0) -> Self:
        """Wait until there is a value.

        With a fallback file that has one, it waits for ZooKeeper half a second at most.

        Raises:
            InvalidDocument: the model refuses what is stored, and there is no value from before.
            NotConnected: there is none within `timeout` seconds; says why.
            AuthenticationFailed, UnsupportedServer, ClientClosed: there will be none.
        """
        return run_steps(self._loading(timeout))

    def on_change(self, fn: Callable[[ConfigChange[M]], object]) -> Subscription[ConfigChange[M]]:
        """Call `fn(change)` on the client's dispatcher thread for each change; the present value comes first.

        Changes that come while `fn` runs are merged into one.

        Raises:
            TypeError: `fn` is no plain callable.
            ClientClosed: the configuration or the client was closed.
        """
        return self._subscribe(fn)

    def changes(self, timeout: float | None = None) -> Iterator[ConfigChange[M]]:
        """Yield each change; the present value comes first. Ends when the configuration or the client closes.

        Args:
            timeout: seconds to wait for one change, after which the loop ends; None: for ever.
        """
        with self._mailbox() as waiting:
            while (change := run_steps(self._changing(waiting, timeout))) is not None:
                yield change
        await_signals()

    def close(self) -> None:
        """Stop following. The last value stays readable, as stale. Never blocks; idempotent."""
        self.stop_following()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
