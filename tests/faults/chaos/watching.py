"""What a worker sees of the services."""

from __future__ import annotations

from typing import Any

from tests.faults.chaos.history import History
from zkdiscovery import Change, Client, Instance, Service, Snapshot


class Watcher:
    """Follows the services and records each change of a snapshot."""

    def __init__(self, client: Client, services: list[str], history: History) -> None:
        self._client, self._names, self._history = client, services, history
        self._views: dict[str, Service] = {}

    def start(self) -> None:
        """Begin to follow."""
        for name in self._names:
            view = self._client.discover(name)
            view.on_change(self._on_change)
            self._views[name] = view

    def caches(self) -> dict[str, Any]:
        """All caches as they are."""
        return {name: _cache(view.snapshot) for name, view in self._views.items()}

    def _on_change(self, change: Change) -> None:
        after = change.after
        self._history.write(
            "seen",
            service=after.service,
            version=after.version,
            stale=after.stale,
            suspects=[instance.id for instance in after.suspects],
            delta={name: brief(new) for name, (_, new) in change.delta.items()},
        )


def _cache(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "loaded": snapshot.loaded,
        "stale": snapshot.stale,
        "suspects": [instance.id for instance in snapshot.suspects],
        "instances": {instance.id: brief(instance) for instance in snapshot.instances},
        "rejected": sorted(snapshot.rejected),
    }


def brief(instance: Instance | None) -> dict[str, Any] | None:
    """What the checker needs of an instance."""
    if instance is None:
        return None
    metadata = instance.metadata
    return {
        "by": metadata.get("by", ""),
        "life": int(metadata.get("life", 0)),
        "nonce": int(metadata.get("nonce", 0)),
        "seq": int(metadata.get("seq", 0)),
        "status": str(instance.status),
        "weight": instance.weight,
        "registered_at": instance.registered_at,
    }
