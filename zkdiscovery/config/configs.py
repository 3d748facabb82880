"""The feature that follows documents for the configurations of one client. It closes with the views.

Threads: one worker reads, and runs the models of users. It is another one than that of discovery, because a model may
take long.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from zkdiscovery.config.follower import Follower, Target
from zkdiscovery.config.layout import layout_of
from zkdiscovery.config.pointer import Pointer
from zkdiscovery.core import Core, Feature, Phase
from zkdiscovery.errors import ZkDiscoveryError
from zkdiscovery.threads import Worker


class Following(Protocol):
    """What a configuration sees of what it follows; see `Follower`."""

    error: ZkDiscoveryError | None

    def is_fresh(self, generation: int) -> bool: ...

    def close(self) -> None: ...


class Followed(Target, Protocol):
    """A configuration, as this feature sees it."""

    def revive(self, core: Core) -> None:
        """Begin to follow."""

    def forked(self) -> None:
        """In a forked child."""

    def stop_following(self) -> None:
        """Stop; never blocks."""


F = TypeVar("F", bound=Followed)


def begin(config: F, core: Core) -> F:
    """Let a new configuration follow its documents, here and in forked children.

    Raises:
        ClientClosed: the client was closed.
        NoThreadAvailable: the system has no thread to give.
    """
    core.slot.add(config)
    try:
        config.revive(core)
    except BaseException:
        config.stop_following()
        raise
    return config


class Configs(Feature):
    """What the configurations of one client follow."""

    phase = Phase.VIEWS

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        self._lock = threading.Lock()
        self._worker = Worker("zkdiscovery-config")
        self._held: set[Followed] = set()  # those with subscriptions, which nobody else may refer to
        self._following: weakref.WeakSet[Followed] = weakref.WeakSet()

    def follow(self, names: Sequence[str], choose: Callable[[Pointer], int], title: str, target: Followed) -> Following:
        """Let a configuration follow its documents, for as long as somebody refers to it.

        Raises:
            ClientClosed: the client was closed.
            NoThreadAvailable: the system has no thread to give.
        """
        layouts = [layout_of(self.core.paths, name) for name in names]
        self.note(target)
        return Follower(self.core, self._worker, layouts, choose, title, weakref.ref(target))

    def note(self, target: Followed) -> None:
        """Stop this configuration when the client closes. Raises ClientClosed."""
        with self._lock:
            self.require_open()
            self._following.add(target)

    def hold(self, target: Followed, wanted: Callable[[], bool]) -> None:
        """Hold a configuration for as long as `wanted()` says so; called at each change of that."""
        with self._lock:
            if wanted():
                self._held.add(target)
            else:
                self._held.discard(target)

    def begin_close(self, deadline: float) -> None:  # noqa: ARG002 - it is quick
        with self._lock:
            following = list(self._following)
            self._held.clear()
        for config in following:
            config.stop_following()
        self._worker.close(0.0)

    def close(self, deadline: float) -> None:
        self._worker.close(max(0.0, deadline - time.monotonic()))
