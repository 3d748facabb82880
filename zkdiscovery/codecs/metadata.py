"""The fields of an instance that Curator's JSON has no place for, as texts in the payload's metadata.

| key                   | holds                                                                                       |
|-----------------------|---------------------------------------------------------------------------------------------|
| `instance_status`     | Spring Cloud Zookeeper's status: `UP` where others may call the instance, that is where it  |
|                       | is UP and its weight is not 0; else `OUT_OF_SERVICE`. Always written                        |
| `weight`              | a number, as Spring Cloud LoadBalancer reads it: it takes whole numbers from 1, and 1 for   |
|                       | anything else                                                                               |
| `zone`                | as Spring Cloud LoadBalancer reads it                                                       |
| `zkdiscovery.status`  | the status, where `instance_status` does not say it                                         |
| `zkdiscovery.version` | as it is                                                                                    |
| `zkdiscovery.tags`    | `blue,canary`                                                                               |
| `zkdiscovery.ports`   | `metrics=9100,admin=9101`                                                                   |
| `zkdiscovery.machine` | the boot id of the owner's machine; it marks an id that was not given                       |
| `zkdiscovery.runtime` | the container that the owner runs in                                                        |
| `zkdiscovery.source`  | the source that a bridge took it from; it marks what bridges wrote                          |
| `zkdiscovery.weight`, | the same as `weight` and `zone`, where other text stands under those names                  |
| `zkdiscovery.zone`    |                                                                                             |

All but `instance_status` are left out if they say no more than the default.

Foreign text never loses an instance:
- Names that begin with `zkdiscovery.` are ours alone. Values there that we can't use are ignored, and kept by a write.
- The first three names belong to Spring. Text under `weight` or `zone` that is not a weight or a zone is plain
metadata.
- Text under any other name is plain metadata: `status`, `version`, `tags` and `ports` have no meaning for us.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard, TypeVar

from zkdiscovery.errors import InvalidInstance
from zkdiscovery.model import NO_METADATA, NO_PORTS, FrozenDict, Instance, Status
from zkdiscovery.validation import check_ports, check_text

_V = TypeVar("_V")

SPRING = "org.springframework.cloud.zookeeper.discovery.ZookeeperInstance"
OURS = "zkdiscovery."

# Status, weight, zone, version, tags, ports, machine, runtime, source.
Fields = tuple[
    Status, float, str | None, str | None, tuple[str, ...], FrozenDict[int], str | None, str | None, str | None
]  # fmt: skip

_SPRINGS_STATUS = "instance_status"
_SHARED = ("weight", "zone")  # Spring's names for fields that we have, too
_FIELDS = ("status", *_SHARED, "version", "tags", "ports", "machine", "runtime", "source")
_UP = Status.UP  # a global is read faster than an enum's member
_STATUSES = {status.value: status for status in Status}


def is_spring(payload: object) -> TypeGuard[dict[str, Any]]:
    """Return whether it is the payload of Spring Cloud Zookeeper, which holds such metadata."""
    return isinstance(payload, dict) and payload.get("@class") == SPRING


def offered(instance: Instance) -> bool:
    """Return whether readers may call it that do not know a weight of 0."""
    return instance.status is Status.UP and instance.weight > 0


def to_metadata(instance: Instance, known: Mapping[str, str] = NO_METADATA) -> dict[str, str]:
    """Return all metadata to store for an instance, its fields first.

    Args:
        instance: the instance.
        known: plain metadata that is stored there already, whatever its keys are.

    Raises:
        InvalidInstance: the instance's own metadata has a key that belongs to a field.
    """
    own = instance.metadata
    if own:
        _check_keys(instance, known)
    texts = {_SPRINGS_STATUS: "UP" if offered(instance) else "OUT_OF_SERVICE"}
    if instance.status is not _status("", offered=offered(instance), weight=instance.weight):
        texts[f"{OURS}status"] = instance.status.value
    for name, text in (("weight", _weight_text(instance.weight)), ("zone", instance.zone or "")):
        if name not in own:
            if text:
                texts[name] = text
        elif text or _READ[name](own[name]) is not None:
            texts[f"{OURS}{name}"] = text
    texts.update(_ours(instance))
    texts.update(own)
    return texts


def _ours(instance: Instance) -> dict[str, str]:
    """Return the fields for which Spring has no name."""
    texts = {
        "version": instance.version,
        "tags": ",".join(instance.tags),
        "ports": ",".join(f"{name}={port}" for name, port in instance.ports.items()),
        "machine": instance.machine,
        "runtime": instance.runtime,
        "source": instance.source,
    }
    return {f"{OURS}{name}": text for name, text in texts.items() if text}


def take_fields(texts: dict[str, str], *, enabled: bool = True) -> Fields:
    """Take the fields out of stored metadata and return them. The rest is plain metadata.

    Args:
        texts: stored metadata.
        enabled: what Curator's field of that name says.
    """
    springs = texts.pop(_SPRINGS_STATUS, "")
    ours = {key[len(OURS) :]: texts.pop(key) for key in [key for key in texts if key.startswith(OURS)]}
    weight = _shared(texts, ours, "weight", _weight)
    zone = _shared(texts, ours, "zone", _text)
    if weight is None:
        weight = 1.0
    up = enabled and (springs or "UP").upper() == "UP"
    if not ours:
        return _UP if up else Status.OUT_OF_SERVICE, weight, zone, None, (), NO_PORTS, None, None, None
    return (
        _status(ours.get("status", ""), offered=up, weight=weight),
        weight,
        zone,
        _text(ours.get("version", "")),
        tuple(tag for tag in ours.get("tags", "").split(",") if _text(tag)),
        _ports(ours.get("ports", "")),
        _text(ours.get("machine", "")),
        _text(ours.get("runtime", "")),
        _text(ours.get("source", "")),
    )


def strings(metadata: object) -> dict[str, str]:
    """Return the entries of a mapping that are strings; none if it is not a mapping."""
    if not isinstance(metadata, dict):
        return {}
    return {key: value for key, value in metadata.items() if isinstance(value, str)}


def over_metadata(stored: object, before: Instance, instance: Instance) -> dict[str, Any]:
    """Return all metadata to store for an instance over what is stored there.

    What the instance does not say differently stays as it is, other spellings such as a weight of `1.0` included. So
    does whatever an instance can't express.

    Args:
        stored: what is stored there, which may be anything.
        before: the instance that was read from it.
        instance: the instance.

    Raises:
        InvalidInstance: the instance's own metadata has a key that belongs to a field.
    """
    plain = before.metadata
    fresh: dict[str, Any] = to_metadata(instance, plain)
    if not isinstance(stored, dict):
        return fresh
    changed = {field for field in _FIELDS if getattr(before, field) != getattr(instance, field)}
    if offered(before) != offered(instance):
        changed.add("status")
    kept: dict[str, Any] = {}
    spelled = set()  # fields that stay as they are written there
    for key, value in stored.items():
        if not key or not isinstance(value, str):
            if key not in fresh:
                kept[key] = value
        elif key not in plain and (field := _field_of(key)) not in changed:
            kept[key] = value
            spelled.add(field)
    # In the order of fresh metadata, so that writing the same again changes no byte.
    own = instance.metadata
    written = {key: text for key, text in fresh.items() if key in own or key in kept or _field_of(key) not in spelled}
    return written | kept


def _field_of(key: str) -> str | None:
    """Return the field that a key in metadata belongs to, maybe one of a later version; None for plain metadata."""
    if key == _SPRINGS_STATUS:
        return "status"
    if key.startswith(OURS):
        return key[len(OURS) :]
    return key if key in _SHARED else None


def _check_keys(instance: Instance, known: Mapping[str, str]) -> None:
    """Refuse metadata under the key of a field, unless it is foreign text that is stored there already."""
    for key, value in instance.metadata.items():
        field = _field_of(key)
        if field is None or known.get(key) == value:
            continue
        advice = f"set {field}= instead, or choose another key" if field in _FIELDS else "choose another key"
        raise InvalidInstance(
            f"metadata of {instance.id!r} of {instance.service!r} must not have the key {key[:80]!r}: the wire format"
            f" keeps the instance's own fields there; {advice}"
        )


def _shared(texts: dict[str, str], ours: dict[str, str], name: str, read: Callable[[str], _V | None]) -> _V | None:
    """Take a field that has a name of Spring's from there, unless we had to put it beside foreign text."""
    if name in ours:
        return read(ours[name])
    text = texts.get(name)
    if text is None:
        return None
    value = read(text)
    if value is not None or not text.strip():  # a blank has no meaning for anybody
        del texts[name]
    return value


def _status(ours: str, *, offered: bool, weight: float) -> Status:
    """Return the status of an instance, from our own field and from what others read."""
    status = _STATUSES.get(ours)
    if status is None or (status is _UP and weight > 0):
        # Others may have taken it out of service since, such as an operator with a Java tool.
        return _UP if offered else Status.OUT_OF_SERVICE
    return status


def _text(text: str) -> str | None:
    try:
        check_text(text, "text")
    except InvalidInstance:
        return None
    return text


def _weight_text(weight: float) -> str:
    """Return the weight as Java's parseInt takes it, which knows "5" and not "5.0"; "" for the default."""
    if weight == 1:
        return ""
    return str(int(weight)) if weight.is_integer() and weight < 2**53 else repr(weight)


def _weight(text: str) -> float | None:
    try:
        weight = float(text)
    except ValueError:
        return None
    return weight if 0 <= weight < math.inf and "_" not in text and text == text.strip() else None


def _ports(text: str) -> FrozenDict[int]:
    try:
        pairs = (item.rpartition("=") for item in text.split(","))
        return FrozenDict(check_ports({name: int(port) for name, _, port in pairs}))
    except ValueError:  # InvalidInstance is one too
        return NO_PORTS


_READ: dict[str, Callable[[str], object]] = {"weight": _weight, "zone": _text}
