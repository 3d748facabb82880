"""Waiting for what a node does on a busy machine."""

from __future__ import annotations

from tests.support import LIMIT, wait_view
from zkdiscovery import Service, Snapshot, Status

PATIENCE = 6 * LIMIT  # seconds


def wait_up(view: Service, count: int) -> Snapshot:
    """Wait until a service has just so many instances, and all of them are UP."""
    return wait_view(view, lambda snapshot: [each.status for each in snapshot] == [Status.UP] * count, PATIENCE)


def wait_none(view: Service) -> None:
    """Wait until all instances of a service have deregistered."""
    wait_view(view, lambda snapshot: not len(snapshot), PATIENCE)
    assert not view.snapshot.suspects
