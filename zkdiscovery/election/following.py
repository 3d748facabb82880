"""The subscriptions to the leader of one election, and the observer that serves them."""

from __future__ import annotations

import threading
from collections.abc import Callable

from zkdiscovery.core import Core, CoreSlot
from zkdiscovery.election.candidate import Candidate, Observer
from zkdiscovery.election.elections import Observers
from zkdiscovery.threads import Subscribers, Subscription, latest
from zkdiscovery.validation import check_function


class Following:
    """The subscriptions to the leader of one election, which is observed while there are any.

    Any thread may call. In a forked child it goes on with the child's first core.
    """

    def __init__(self, election: str, slot: CoreSlot) -> None:
        self._election = election
        self._lock = threading.RLock()  # `close` of the last subscription may come while one is made
        self._observer: Observer | None = None
        self._observers: Observers
        self._subscribers: Subscribers[Candidate | None] = Subscribers(
            slot.dispatcher, latest, on_last=self._stop_if_unobserved
        )
        slot.add(self)

    def subscribe(self, core: Core, fn: Callable[[Candidate | None], object]) -> Subscription[Candidate | None]:
        """Call `fn(leader)` when another candidate leads, and for the present one.

        Raises:
            TypeError: `fn` is no plain callable.
            ClientClosed: the client was closed.
        """
        check_function(fn, "a callback")
        with self._lock:
            return self._observe(core).subscribe(fn)

    def stop_observing(self) -> None:
        """End all subscriptions. Never blocks."""
        self._subscribers.close()
        self._stop_if_unobserved()

    def forked(self) -> None:
        """In a forked child: the observer is the parent's."""
        self._lock = threading.RLock()
        self._observer = None

    def revive(self, core: Core) -> None:
        """Tell the subscribers from before the fork who leads, from now on."""
        with self._lock:
            if self._subscribers:
                self._observe(core)

    def _observe(self, core: Core) -> Observer:
        if self._observer is None:
            self._observers = core.feature(Observers)
            self._observer = self._observers.observe(self, self._election, self._subscribers)
        return self._observer

    def _stop_if_unobserved(self) -> None:
        with self._lock:
            if self._subscribers:  # somebody has subscribed meanwhile
                return
            observer, self._observer = self._observer, None
        if observer is not None:
            observer.close()
            self._observers.release(self)
