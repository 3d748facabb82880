"""The fields of an instance that Curator's JSON has no place for, as strings in the payload's metadata.

| key               | holds                                                                                        |
|-------------------|----------------------------------------------------------------------------------------------|
| `instance_status` | Spring Cloud Zookeeper's status: `UP` or `OUT_OF_SERVICE`; always written                    |
| `status`          | ours, where it is not UP                                                                     |
| `weight`          | a number, as Spring Cloud LoadBalancer reads it: it takes whole numbers from 1 and falls     |
|                   | back to 1 for any other text, and so do we for a text that is no weight                      |
| `zone`            | as Spring Cloud LoadBalancer reads it                                                        |
| `version`         | as it is                                                                                     |
| `tags`            | `blue,canary`                                                                                |
| `ports`           | `metrics=9100,admin=9101`; a text that is no such list counts as none                        |

All but `instance_status` are left out where they say no more than the default. The keys are reserved: an instance
whose own metadata has one of them is refused.
"""

from __future__ import annotations

import math
from typing import Any, TypeGuard

from zkdiscovery.errors import InvalidInstance
from zkdiscovery.model import NO_PORTS, FrozenDict, Instance, Status, check_text, frozen_ports

SPRING = "org.springframework.cloud.zookeeper.discovery.ZookeeperInstance"

# Status, weight, zone, version, tags, ports.
Fields = tuple[Status, float, str | None, str | None, tuple[str, ...], FrozenDict[int]]

_FIELDS = ("status", "weight", "zone", "version", "tags", "ports")
_RESERVED = frozenset({"instance_status", *_FIELDS})
_UP = Status.UP  # a global is read faster than an enum's member
_STATUSES = {status.value: status for status in Status}


def is_spring(payload: object) -> TypeGuard[dict[str, Any]]:
    """Is it the payload of Spring Cloud Zookeeper, which holds such metadata?"""
    return isinstance(payload, dict) and payload.get("@class") == SPRING


def to_metadata(instance: Instance) -> dict[str, str]:
    """All metadata to store for an instance, its reserved keys first.

    Raises:
        InvalidInstance: the instance's own metadata has a reserved key.
    """
    if taken := _RESERVED.intersection(instance.metadata):
        key = min(taken)
        field = "status" if key == "instance_status" else key
        raise InvalidInstance(
            f"metadata of {instance.id!r} of {instance.service!r} must not have the key {key!r}: the wire format keeps"
            f" the instance's {field} there; set {field}= instead, or choose another key"
        )
    texts = {"instance_status": "UP" if instance.status is Status.UP else "OUT_OF_SERVICE"}
    if instance.status is not Status.UP:
        texts["status"] = instance.status.value
    if instance.weight != 1:
        # Java's parseInt takes "5" and not "5.0".
        whole = instance.weight.is_integer() and instance.weight < 2**53
        texts["weight"] = str(int(instance.weight)) if whole else repr(instance.weight)
    if instance.zone is not None:
        texts["zone"] = instance.zone
    if instance.version is not None:
        texts["version"] = instance.version
    if instance.tags:
        texts["tags"] = ",".join(instance.tags)
    if instance.ports:
        texts["ports"] = ",".join(f"{name}={port}" for name, port in instance.ports.items())
    texts.update(instance.metadata)
    return texts


def take_fields(texts: dict[str, str]) -> Fields:
    """Take the reserved keys out of stored metadata, and return what they say.

    Raises:
        InvalidInstance: the status is none that we know, or a text has control characters.
    """
    take = texts.pop
    ours, spring = take("status", ""), take("instance_status", "")
    weight = take("weight", "")
    zone = take("zone", "")
    version = take("version", "")
    tags = take("tags", "")
    ports = take("ports", "")
    return (
        _UP if spring == "UP" and not ours else _status(ours, spring),
        _weight(weight) if weight else 1.0,
        _text(zone, "zone") if zone else None,
        _text(version, "version") if version else None,
        _tags(tags) if tags else (),
        _ports(ports) if ports else NO_PORTS,
    )


def strings(metadata: object) -> dict[str, str]:
    """The entries of a mapping that are strings; none if it is no mapping."""
    if not isinstance(metadata, dict):
        return {}
    return {key: value for key, value in metadata.items() if isinstance(value, str)}


def over_metadata(stored: object, instance: Instance) -> dict[str, Any]:
    """All metadata to store for an instance over what stands there, which may be anything.

    What an `Instance` can't show stays as it is, and so do other spellings of what it shows, such as a weight of `1.0`.

    Raises:
        InvalidInstance: the instance's own metadata has a reserved key.
    """
    texts = to_metadata(instance)
    if not isinstance(stored, dict):
        return texts
    hidden = {
        key: value for key, value in stored.items() if (not key or not isinstance(value, str)) and key not in texts
    }
    try:
        fields = dict(zip(_FIELDS, take_fields(strings(stored)), strict=True))
    except InvalidInstance:
        return texts | hidden
    del fields["status"]
    same = {key: stored[key] for key, value in fields.items() if key in stored and value == getattr(instance, key)}
    return texts | same | hidden


def _status(ours: str, spring: str) -> Status:
    status = _STATUSES.get(ours or "UP")
    if status is None:
        raise InvalidInstance(f"status must be one of {', '.join(Status)}: got {ours[:80]!r}")
    if status is Status.UP and (spring or "UP").upper() != "UP":
        return Status.OUT_OF_SERVICE
    return status


def _text(text: str, what: str) -> str | None:
    if text.isspace():
        return None
    check_text(text, what)
    return text


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        return 1.0
    return weight if 0 <= weight < math.inf else 1.0


def _tags(text: str) -> tuple[str, ...]:
    tags = tuple(tag for tag in text.split(",") if tag.strip())
    for tag in tags:
        check_text(tag, "a tag")
    return tags


def _ports(text: str) -> FrozenDict[int]:
    try:
        pairs = (item.rpartition("=") for item in text.split(","))
        return frozen_ports({name: int(port) for name, _, port in pairs})
    except ValueError:  # InvalidInstance is one too
        return NO_PORTS
