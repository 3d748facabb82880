"""An operator's override, as a znode holds it beside the instance that it changes."""

from __future__ import annotations

from typing import Any

from zkdiscovery.errors import InvalidInstance
from zkdiscovery.model import Override

OVERRIDE = "zkdiscoveryOverride"  # the field of the JSON that holds it


def override_to_json(override: Override) -> dict[str, Any]:
    """Return plain values for the wire."""
    return {
        "status": override.status,
        "weight": override.weight,
        "baseStatus": override.base_status,
        "baseWeight": override.base_weight,
    }


def override_from_json(value: Any) -> Override | None:
    """Return an override from what a znode holds, which may be anything; None if it is not an override."""
    if not isinstance(value, dict):
        return None
    try:
        return Override(value["status"], value["weight"], value["baseStatus"], value["baseWeight"])
    except (KeyError, InvalidInstance):
        return None
