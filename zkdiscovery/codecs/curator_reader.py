"""The reader of Curator's JSON, whoever wrote it; see curator.py.

There are two ways: a general one, and a fast one for plain instances as we write them. Whatever the fast one reads, the
general one reads as the same instance.
"""

from __future__ import annotations

import functools
import re
from typing import Any

from pydantic_core import SchemaValidator, ValidationError, core_schema, from_json

from zkdiscovery.codecs.curator_writer import write_fresh
from zkdiscovery.codecs.metadata import Fields, is_spring, strings, take_fields
from zkdiscovery.codecs.override import override_from_json
from zkdiscovery.errors import InvalidInstance, InvalidName, UndecodableNode
from zkdiscovery.model import NO_METADATA, FrozenDict, Instance, trusted_instance
from zkdiscovery.validation import MAX_TIME, PLAIN_HOST, check_host, check_name

_KNOWN = 64  # different metadata to remember: the instances of a service have a few, or each its own
_LONGEST_KNOWN = 1024  # bytes of one of them


_OPTIONAL = (
    "port", "sslPort", "registrationTimeUTC", "enabled", "payload", "zkdiscovery", "zkdiscoveryOverride",
)  # fmt: skip

# What is read of Curator's JSON. Only the address must be there. Made without pydantic, which takes four times as long
# to load as its core.
_STRING = core_schema.str_schema(strict=True)
_NODE = SchemaValidator(
    core_schema.typed_dict_schema(
        {"address": core_schema.typed_dict_field(_STRING)}
        | {name: core_schema.typed_dict_field(core_schema.any_schema(), required=False) for name in _OPTIONAL},
        strict=True,
    )
)
_TEXTS = SchemaValidator(core_schema.dict_schema(_STRING, _STRING, strict=True))


def _layout() -> re.Pattern[bytes]:
    """Return the pattern of the JSON that we write for an instance that is UP, without further ports or an override.

    It is made from what the writer writes, so that the two can't drift apart. A value that occurs twice must be the
    same. No part of the pattern matches a value that JSON or a check would refuse, except ports that are too high. The
    metadata is parsed later: because it has no braces, it is an object there if and only if it is one by itself.
    """
    name = r"[A-Za-z0-9._:-]+"
    values = {
        "SERVICE": name,
        "ID": r"[A-Za-z0-9._:@\[\]-]+",
        "HOST": PLAIN_HOST.pattern,
        "10001": r"[1-9][0-9]{0,4}",
        '"instance_status":"UP"': rf"[^{{}}]{{0,{_LONGEST_KNOWN}}}",
        "1000000001": r"0|[1-9][0-9]{0,13}",
    }
    sample = Instance("SERVICE", "HOST", 10001, id="ID", registered_at=1000000.001)
    layout = re.escape(write_fresh(sample))
    for number, (value, pattern) in enumerate(values.items(), 1):
        before, _, after = layout.partition(value)
        layout = f"{before}(?P<v{number}>{pattern}){after.replace(value, f'(?P=v{number})')}"
    return re.compile(layout.encode())


_PLAIN = _layout().fullmatch


def read_instance(service: str, id: str, data: bytes) -> Instance:
    """Return the instance in a znode that is not too large.

    Raises:
        UndecodableNode: the znode holds no instance.
    """
    try:
        check_name(service, "the service name")
        check_name(id, "the instance id")
        return _plain(service, id, data) or _any(service, id, data)
    except ValidationError as error:
        reason = _reason(error)
    except (InvalidName, InvalidInstance) as error:
        reason = str(error)
    raise UndecodableNode(f"{id[:80]!r} of {service[:80]!r} is no instance in Curator's format: {reason}")


def read_json(data: bytes) -> dict[str, Any]:
    """Return the JSON of an instance that could be read before."""
    node: dict[str, Any] = from_json(data)
    return node


def _plain(service: str, id: str, data: bytes) -> Instance | None:
    """Return the instance if it is plain and written by us."""
    match = _PLAIN(data)
    if match is None:
        return None
    _, _, host, digits, texts, milliseconds = match.groups()
    port = int(digits)
    try:
        fields, metadata = _known(texts)
    except ValidationError:
        return None
    if port > 65535:
        return None
    status, weight, zone, version, tags, ports, machine, runtime, source = fields
    registered_at = int(milliseconds) / 1000 or None
    return trusted_instance(
        service,
        host.decode(),
        port,
        id,
        ports,
        None,
        status,
        weight,
        zone,
        version,
        tags,
        metadata,
        registered_at,
        None,
        machine,
        runtime,
        source,
    )


@functools.lru_cache(_KNOWN)
def _known(texts: bytes) -> tuple[Fields, FrozenDict[str]]:
    """Return what metadata without braces says. Instances of one service often have the same, and then share it."""
    return _split(_TEXTS.validate_json(b"{%b}" % texts))


def _any(service: str, id: str, data: bytes) -> Instance:
    """Return the instance, whoever wrote it."""
    node: dict[str, Any] = _NODE.validate_json(data)
    host = node["address"]
    if host.startswith("[") and host.endswith("]") and ":" in host:
        host = host[1:-1]
    check_host(host)
    port, tls_port = _port(node.get("port")), _port(node.get("sslPort"))
    if port is None and (port := tls_port) is None:
        raise InvalidInstance("neither port nor sslPort is a TCP port")
    enabled, override = _truth(node.get("enabled", True)), override_from_json(node.get("zkdiscoveryOverride"))
    fields, metadata = _split(_metadata(node), enabled=enabled)
    status, weight, zone, version, tags, ports, machine, runtime, source = fields
    return trusted_instance(
        service, host, port, id, ports, tls_port, status, weight, zone, version, tags, metadata,
        _seconds(node.get("registrationTimeUTC")), override, machine, runtime, source,
    )  # fmt: skip


def _port(value: object) -> int | None:
    """Return a TCP port as Java reads it, from text and whole floats as well; None for anything else."""
    value = _whole(value)
    return value if value is not None and 0 < value <= 65535 else None


def _seconds(value: object) -> float | None:
    """Return seconds since the epoch, from milliseconds; None for anything else, or a time too far away."""
    if isinstance(value, float) and 0 < value < MAX_TIME * 1000:
        value = round(value)
    value = _whole(value)
    return value / 1000 if value is not None and 0 < value <= MAX_TIME * 1000 else None


def _whole(value: object) -> int | None:
    if isinstance(value, str) and len(value) < 20 and value.isascii() and value.isdigit():
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _truth(value: object) -> bool:
    """Return a boolean as Java reads it: null is false, and so is whatever is not a boolean."""
    if isinstance(value, str):
        return value.lower() == "true"
    return isinstance(value, int) and value != 0


def _metadata(node: dict[str, Any]) -> dict[str, str]:
    payload = node.get("payload")
    if not is_spring(payload) and "zkdiscovery" in node:
        return strings(node["zkdiscovery"])
    return strings(payload.get("metadata")) if isinstance(payload, dict) else {}


def _split(texts: dict[str, str], *, enabled: bool = True) -> tuple[Fields, FrozenDict[str]]:
    """Split stored metadata into an instance's fields and its own metadata."""
    fields = take_fields(texts, enabled=enabled)
    texts.pop("", None)
    return fields, FrozenDict(texts) if texts else NO_METADATA


def _reason(error: ValidationError) -> str:
    """Return the first thing that is wrong, without the data, which may be anything."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return ": ".join([*(str(part) for part in first["loc"]), first["msg"]])[:200]
