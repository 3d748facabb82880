"""What the tests of shared registrations have in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.integration.registration.helpers import HOST
from tests.support import LIMIT, Truth, core_of, node_of, wait_until
from zkdiscovery import Client, Registration
from zkdiscovery.znodes import OwnedState


def share(client: Client, port: int = 8080, **options: Any) -> Registration:
    """Register the instance that all of them share; returns at once."""
    return client.register("payments", port, **{"id": "a", "host": HOST, "on_conflict": "share", **options})


def wait_role(registration: Registration, role: str, timeout: float = LIMIT) -> None:
    """Wait until it is the holder ("HELD"), a "STANDBY", or in another state of nodes."""
    assert node_of(registration).wait(lambda node: node.state is OwnedState(role), timeout), f"{node_of(registration)}"


def holders(registrations: Iterable[Registration]) -> list[Registration]:
    """Those that hold the instance, as far as they know."""
    return [registration for registration in registrations if node_of(registration).state is OwnedState.HELD]


def wait_one_holder(truth: Truth, ours: dict[Registration, Client]) -> Registration:
    """Wait until one holds the instance and the others stand by; the one."""

    def agreed() -> Registration | None:
        states = [node_of(registration).state for registration in ours]
        if sorted(states) != sorted([OwnedState.HELD] + [OwnedState.STANDBY] * (len(ours) - 1)):
            return None
        (holder,) = holders(ours)
        node = truth.get(node_of(holder).path)
        session_id = core_of(ours[holder]).session.session_id
        return holder if node is not None and node.stat.ephemeral_owner == session_id else None

    found: list[Registration] = []
    wait_until(lambda: (holder := agreed()) is not None and found.append(holder) is None)
    return found[0]
