"""Eureka as the source of a bridge: its instances become ours.

Threads: one follows Eureka, see `followed.py`, and one renews what is exported, see `export.py`; the bridge's thread
calls the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from zkdiscovery.bridges.eureka.api import EurekaApi
from zkdiscovery.bridges.eureka.export import Exports
from zkdiscovery.bridges.eureka.followed import CACHE, Followed
from zkdiscovery.bridges.eureka.objects import RENEWAL, imported
from zkdiscovery.bridges.source import Imported, Listing
from zkdiscovery.model import Instance

RELIST = 30.0  # seconds
SUBSCRIBE_LIMIT = 15.0  # seconds for the first list
STEP_LIMIT = 2.0  # seconds that `list` waits for the end of a fault


class EurekaSource:
    """The instances of a Eureka.

    Args:
        urls: of its servers, with commas between them: `http://user:password@eureka-1.example:8761/eureka`. They name
            the source: all bridges of one Eureka take the same ones.
        cache: seconds until its servers show a new instance, `eureka.server.response-cache-update-interval-ms`.

    Raises:
        InvalidSettings: that is no URL.
    """

    kind = "eureka"
    clustered = True

    def __init__(self, urls: str, *, cache: float = CACHE) -> None:
        self._api = EurekaApi(urls)
        self.where = self._api.where
        self._tell: Callable[[], None] = _tell_nobody
        self._followed = Followed(self._api, self._changed, cache)
        self._cache = cache
        self._settling = False

    @property
    def relist(self) -> float:
        """Seconds after which to list without an event."""
        return 1.0 if self._settling else RELIST

    def identity(self) -> str:
        """Return the URLs without passwords. Eureka has no id of its own."""
        return self.where

    def subscribe(self, changed: Callable[[], None]) -> None:
        """Start to follow Eureka, and return once all of it is known."""
        self._tell = changed
        self._followed.start()
        self._followed.take(time.monotonic() + SUBSCRIBE_LIMIT)

    def list(self) -> Listing:
        """Return what is there."""
        known = self._followed.take(time.monotonic() + STEP_LIMIT)
        instances: list[Imported] = []
        problems: dict[str, str] = {}
        for name, found in known.instances.items():
            try:
                instance = imported(name, found)
            except ValueError as error:
                problems[f"{name.id} of {name.app}"] = str(error)
                continue
            if instance is not None:
                instances.append(instance)
        self._settling = bool(known.awaited)
        if known.awaited:
            problems[self.where] = (
                "it came back without instances that it had, so nothing is added or removed until their next"
                " heartbeats must have come"
            )
        return Listing(instances, problems, settling=self._settling, returning=RENEWAL + self._cache)

    def close(self) -> None:
        """Follow it no more."""
        self._tell = _tell_nobody
        self._followed.close()
        self._api.close()

    def _changed(self) -> None:
        self._tell()


class ExportingEurekaSource(EurekaSource):
    """The same, and our instances are registered there.

    Args:
        registry: returns the id of the registry, which marks what is exported.
        urls, cache: as of `EurekaSource`.

    Raises:
        InvalidSettings: as `EurekaSource`.
    """

    def __init__(self, registry: Callable[[], str], urls: str, *, cache: float = CACHE) -> None:
        super().__init__(urls, cache=cache)
        self._registry = registry
        self._exports = Exports(self._api, self._changed)

    def export(self, services: Mapping[str, Sequence[Instance]]) -> Mapping[str, str]:
        """Register exactly these instances, and deregister what was registered before."""
        known = self._followed.take(time.monotonic() + STEP_LIMIT)
        return self._exports.write(services, self._registry(), known)

    def close(self) -> None:
        """Follow it no more, and renew nothing. What was exported stays until its lease is over."""
        self._exports.close()
        super().close()


def _tell_nobody() -> None:
    pass
