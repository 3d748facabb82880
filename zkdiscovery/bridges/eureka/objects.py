"""From Eureka's instances to ours: pure functions. What Eureka says is not trusted."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from zkdiscovery.bridges.http import Answer
from zkdiscovery.bridges.source import Imported, SourceUnavailable
from zkdiscovery.errors import InvalidInstance
from zkdiscovery.model import Status
from zkdiscovery.validation import check_weight

MARK = "zkdiscovery-registry"  # key in the metadata of what a bridge has exported
NAME = "zkdiscovery.name"  # key in metadata: the service's name
VERSION, WEIGHT, ZONE = "version", "weight", "zone"  # keys in metadata
RENEWAL = 30  # seconds between two heartbeats, unless an instance says otherwise
_LONGEST_RENEWAL = 300
_STATUSES = {status.value: status for status in (Status.UP, Status.DOWN, Status.STARTING, Status.OUT_OF_SERVICE)}
_DELETED = "DELETED"

Json = Mapping[str, Any]


class Name(NamedTuple):
    """What names an instance in Eureka."""

    app: str
    id: str


@dataclass(frozen=True, slots=True)
class Applications:
    """What one answer lists.

    Attributes:
        instances: by their names.
        hashcode: of all instances that there are, as Eureka counts them.
        version: grows with each list of changes that the server makes; 0 if it says none.
    """

    instances: Mapping[Name, Json]
    hashcode: str
    version: int


def applications_of(answer: Answer) -> Applications:
    """Return what an answer lists.

    Raises:
        SourceUnavailable: it is no such list.
    """
    try:
        found = answer.json()["applications"]
        instances = {
            Name(str(app["name"]).upper(), _id(instance)): instance
            for app in _items(found.get("application"))
            for instance in _items(app["instance"])
        }
        version = str(found.get("versions__delta") or "")
        number = int(version) if version.isascii() and version.isdigit() else 0
        return Applications(instances, str(found["apps__hashcode"]), number)
    except (AttributeError, LookupError, TypeError) as error:
        raise SourceUnavailable(f"{answer.where} answers with no list of applications: {answer.text}") from error


def changed_by(instances: Mapping[Name, Json], delta: Applications) -> dict[Name, Json]:
    """Return the instances after the changes."""
    result = {**instances, **delta.instances}
    for name, instance in delta.instances.items():
        if instance.get("actionType") == _DELETED:
            del result[name]
    return result


def hashcode_of(instances: Mapping[Name, Json]) -> str:
    """Return Eureka's hash: how many instances have each status."""
    counts = Counter(str(instance.get("status")) for instance in instances.values())
    return "".join(f"{status}_{count}_" for status, count in sorted(counts.items()))


def metadata_of(instance: Json) -> dict[str, str]:
    """Return the metadata."""
    found = instance.get("metadata")
    if not isinstance(found, Mapping):
        return {}
    return {key: str(value) for key, value in found.items() if not key.startswith("@") and value is not None}


def renewal_of(instance: Json) -> float:
    """Return the seconds between two heartbeats."""
    try:
        return min(max(1, int(instance["leaseInfo"]["renewalIntervalInSecs"])), _LONGEST_RENEWAL)
    except (LookupError, TypeError, ValueError):
        return RENEWAL


def imported(name: Name, instance: Json) -> Imported | None:
    """Return what is to be imported of an instance; None: nothing, because a bridge has exported it.

    Raises:
        ValueError: it can't be imported; the message says why, in words for users.
    """
    metadata = metadata_of(instance)
    if MARK in metadata:
        return None
    service = metadata.get(NAME) or name.app.lower()
    port, tls_port = _port(instance, "port"), _port(instance, "securePort")
    first = port or tls_port
    if first is None:
        raise ValueError("none of its ports is enabled")
    version, zone = metadata.pop(VERSION, None), metadata.pop(ZONE, None)
    return Imported(
        service,
        name.id,
        _address(instance, tls=tls_port is not None),
        first,
        tls_port=tls_port,
        status=_STATUSES.get(str(instance.get("status")), Status.DOWN),
        weight=_weight(metadata),
        zone=zone or None,
        version=version or None,
        metadata={key: value for key, value in metadata.items() if not key.startswith("zkdiscovery.")},
    )


def _items(found: Any) -> list[Any]:
    """Return a list; Eureka gives one that has a single item as the item at times."""
    if found is None:
        return []
    return found if isinstance(found, list) else [found]


def _id(instance: Json) -> str:
    """Return the id; before Eureka had one, the host's name was the id."""
    found = instance.get("instanceId") or instance["hostName"]
    if not isinstance(found, str):
        raise TypeError("the id of an instance is no string")
    return found


def _port(instance: Json, which: str) -> int | None:
    """Return a port if it is enabled."""
    found = instance.get(which)
    if not isinstance(found, Mapping) or str(found.get("@enabled")).lower() != "true":
        return None
    try:
        return int(found["$"])
    except (LookupError, TypeError, ValueError):
        raise ValueError(f"its {which} is no number") from None


def _address(instance: Json, *, tls: bool) -> str:
    """Return the address that all resolve, or the name where certificates need it."""
    name, address = str(instance.get("hostName") or ""), str(instance.get("ipAddr") or "")
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return name or address
    return name if tls and name else address


def _weight(metadata: dict[str, str]) -> float:
    """Take the weight out of the metadata, if it is one."""
    try:
        weight = check_weight(float(metadata[WEIGHT]))
    except (LookupError, ValueError, InvalidInstance):
        return 1.0
    del metadata[WEIGHT]
    return weight
