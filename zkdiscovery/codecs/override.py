"""An operator's override, as it stands in a znode beside the instance that it changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zkdiscovery.errors import InvalidInstance
from zkdiscovery.model import Instance, Status


@dataclass(frozen=True, slots=True)
class Override:
    """What an operator put above what the owner wants.

    Attributes:
        status: the status in force; None: the owner's.
        weight: the weight in force; None: the owner's.
        base_status: what the owner wanted when it was written, for the time after.
        base_weight: likewise.
    """

    status: Status | None
    weight: float | None
    base_status: Status
    base_weight: float

    def above(self, base: Instance) -> Instance:
        """The instance as it is in force."""
        return base.with_(
            status=base.status if self.status is None else self.status,
            weight=base.weight if self.weight is None else self.weight,
        )

    def below(self, instance: Instance) -> Instance:
        """The instance as its owner wants it."""
        return instance.with_(
            status=instance.status if self.status is None else self.base_status,
            weight=instance.weight if self.weight is None else self.base_weight,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values for the wire."""
        return {
            "status": self.status,
            "weight": self.weight,
            "baseStatus": self.base_status,
            "baseWeight": self.base_weight,
        }


def override_from_json(value: Any) -> Override | None:
    """An override from what a znode holds, which may be anything; None if it is no override."""
    if not isinstance(value, dict):
        return None
    try:
        status, base_status = value["status"], Status(value["baseStatus"])
        weight, base_weight = value["weight"], value["baseWeight"]
        override = Override(None if status is None else Status(status), weight, base_status, base_weight)
        # The model's own checks: a weight out of range, or of another type, is no override.
        probe = Instance("override", "host", 1, weight=base_weight)
        override.above(probe)
    except (KeyError, TypeError, ValueError, InvalidInstance):
        return None
    return override
