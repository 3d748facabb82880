"""A source as the loop of a bridge uses it, without ZooKeeper."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

from zkdiscovery.bridges.kubernetes import KubernetesSource
from zkdiscovery.bridges.source import Imported, Listing, SourceRefused, SourceUnavailable
from zkdiscovery.model import Status

LIMIT = 60.0  # seconds


class Following:
    """Lists after each change, as a bridge does.

    Attributes:
        source: what is followed.
        listing: what was listed last.
        listings: all that differed from the one before, oldest first.
        faults: errors of `list`.
    """

    def __init__(self, namespace: str | None = None, *, all_namespaces: bool = False) -> None:
        self.source = KubernetesSource(namespace, all_namespaces=all_namespaces)
        self.listing = Listing(())
        self.listings: list[Listing] = []
        self.faults: list[Exception] = []
        self._changed = threading.Event()
        self.source.subscribe(self._changed.set)
        self._list()

    def wait(self, condition: Callable[[Listing], object], limit: float = LIMIT) -> Listing:
        """List after each change until it is as wanted."""
        end = time.monotonic() + limit
        while not condition(self.listing):
            left = end - time.monotonic()
            assert left > 0, f"waited in vain: {self.listing}"
            self._changed.wait(left)
            self._list()
        return self.listing

    def wait_statuses(self, service: str, limit: float = LIMIT, **statuses: int) -> list[Imported]:
        """Wait until a service has just these statuses, so many of each; return its instances."""
        return of(self.wait(lambda listing: counts(listing, service) == statuses, limit), service)

    def close(self) -> None:
        """End it."""
        self.source.close()

    def _list(self) -> None:
        self._changed.clear()
        try:
            found = self.source.list()
        except (SourceUnavailable, SourceRefused) as error:
            self.faults.append(error)
            return
        if found != self.listing:
            self.listings.append(found)
        self.listing = found


def of(listing: Listing, service: str) -> list[Imported]:
    """The instances of one service."""
    return [instance for instance in listing.instances if instance.service == service]


def counts(listing: Listing, service: str) -> dict[str, int]:
    """How many instances of a service have each status."""
    return dict(Counter(Status(instance.status).value for instance in of(listing, service)))
