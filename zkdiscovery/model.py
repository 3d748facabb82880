"""What users hold in their hands: instances, statuses, snapshots and changes. All of it is immutable."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NoReturn, TypeVar

from zkdiscovery.errors import InvalidInstance, InvalidName

_V = TypeVar("_V")

MAX_NAME_BYTES = 255  # bytes of UTF-8 in one path segment

# The ranges that ZooKeeper's PathUtils.validatePath refuses, and the separator.
_NOT_IN_A_PATH = re.compile("[\x00-\x1f/\x7f-\x9f\ud800-\uf8ff\ufff0-\uffff]")
_NOT_IN_A_TEXT = re.compile("[\x00-\x1f\ud800-\udfff]")


class Status(StrEnum):
    """Where an instance stands. Only `UP` is picked."""

    STARTING = "STARTING"  # registered, not ready yet
    UP = "UP"  # takes calls
    DOWN = "DOWN"  # failed its own check
    DRAINING = "DRAINING"  # says goodbye
    OUT_OF_SERVICE = "OUT_OF_SERVICE"  # set aside by an operator


class FrozenDict(dict[str, _V]):
    """A dict that refuses to change; hashable where its values are; can be pickled."""

    __slots__ = ()

    def _refuse(self, *_args: object, **_kwargs: object) -> NoReturn:
        raise TypeError("this mapping is immutable; build a new one instead")

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _refuse  # type: ignore[assignment]

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenDict, (dict(self),)


_NO_PORTS: FrozenDict[int] = FrozenDict()
_NO_METADATA: FrozenDict[str] = FrozenDict()


def check_name(value: object, what: str) -> str:
    """Return `value` if it can be one segment of a znode path.

    Raises:
        InvalidName: empty, too long, `.` or `..`, with `/`, a control character or a surrogate, or no string.
    """
    if not isinstance(value, str):
        raise InvalidName(f"{what} must be a string, not {type(value).__name__}")
    if not value or value in {".", ".."} or value == "zookeeper":
        raise InvalidName(f"{what} must not be empty, '.', '..' or 'zookeeper': got {value!r}")
    if bad := _NOT_IN_A_PATH.search(value):
        raise InvalidName(f"{what} must not contain {bad.group()!r}: got {value[:80]!r}")
    if len(value.encode()) > MAX_NAME_BYTES:
        raise InvalidName(f"{what} is longer than {MAX_NAME_BYTES} bytes: {value[:40]!r}…")
    return value


@dataclass(frozen=True, slots=True)
class Instance:
    """One running copy of a service.

    Args:
        service: the service's name.
        host: host name or address that clients can reach.
        port: TCP port, 1–65535.
        id: unique within the service; `<host>:<port>` if not given.
        ports: further ports by name, e.g. `{"metrics": 9100}`.
        tls_port: TCP port that speaks TLS, if any.
        status: where the instance stands.
        weight: relative share of calls, 0 or more; 0 means "only if nothing else is left".
        zone: failure domain, e.g. `eu-1a`.
        version: version of the software.
        tags: labels.
        metadata: further strings by name.
        registered_at: seconds since the epoch, to the millisecond; None for an instance that was never registered.

    Raises:
        InvalidName: service or id can't be a znode.
        InvalidInstance: another field is out of range; the message names it.
    """

    service: str
    host: str
    port: int
    id: str = field(default="", kw_only=True)
    ports: Mapping[str, int] = field(default=_NO_PORTS, kw_only=True)
    tls_port: int | None = field(default=None, kw_only=True)
    status: Status = field(default=Status.UP, kw_only=True)
    weight: float = field(default=1.0, kw_only=True)
    zone: str | None = field(default=None, kw_only=True)
    version: str | None = field(default=None, kw_only=True)
    tags: tuple[str, ...] = field(default=(), kw_only=True)
    metadata: Mapping[str, str] = field(default=_NO_METADATA, kw_only=True)
    registered_at: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        def put(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        check_name(self.service, "the service name")
        _check_text(self.host, "host")
        _check_port(self.port, "port")
        if self.tls_port is not None:
            _check_port(self.tls_port, "tls_port")
        if not self.id:
            put("id", f"{self.host}:{self.port}")
        check_name(self.id, "the instance id")
        put("ports", _frozen_ports(self.ports))
        try:
            put("status", Status(self.status))
        except ValueError:
            raise InvalidInstance(f"status must be one of {', '.join(Status)}: got {self.status!r}") from None
        put("weight", _check_weight(self.weight))
        for name in ("zone", "version"):
            value = getattr(self, name)
            if value is not None:
                _check_text(value, name)
        put("tags", _frozen_tags(self.tags))
        put("metadata", _frozen_metadata(self.metadata))
        put("registered_at", _check_time(self.registered_at))

    def __hash__(self) -> int:
        return hash((self.service, self.id, self.host, self.port, self.registered_at))

    @property
    def netloc(self) -> str:
        """`host:port`, with brackets around an IPv6 address."""
        return join_host_port(self.host, self.port)

    @property
    def url(self) -> str:
        """`https://host:tls_port` if there is a TLS port, else `http://host:port`."""
        if self.tls_port is not None:
            return f"https://{join_host_port(self.host, self.tls_port)}"
        return f"http://{self.netloc}"

    def with_(self, **changes: Any) -> Instance:
        """A copy with some fields replaced, validated anew."""
        return replace(self, **changes)


def join_host_port(host: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _check_text(value: object, what: str) -> None:
    if not isinstance(value, str):
        raise InvalidInstance(f"{what} must be a string, not {type(value).__name__}")
    if not value.strip() or _NOT_IN_A_TEXT.search(value):
        raise InvalidInstance(f"{what} must not be empty or contain control characters: got {value[:80]!r}")


def _check_port(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65535:
        raise InvalidInstance(f"{what} must be an integer from 1 to 65535: got {value!r}")
    return value


def _check_weight(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
        raise InvalidInstance(f"weight must be a finite number, 0 or more: got {value!r}")
    return float(value)


def _check_time(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InvalidInstance(f"registered_at must be seconds since the epoch: got {value!r}")
    return round(float(value), 3)


def _frozen_ports(ports: object) -> FrozenDict[int]:
    if not isinstance(ports, Mapping):
        raise InvalidInstance(f"ports must be a mapping from name to port: got {type(ports).__name__}")
    if isinstance(ports, FrozenDict):
        return ports
    for name, port in ports.items():
        _check_text(name, "a port's name")
        _check_port(port, f"port {name!r}")
    return FrozenDict(ports) if ports else _NO_PORTS


def _frozen_tags(tags: object) -> tuple[str, ...]:
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        raise InvalidInstance(f"tags must be a sequence of strings: got {tags!r}")
    result = tuple(tags)
    for tag in result:
        _check_text(tag, "a tag")
        if "," in tag:
            raise InvalidInstance(f"a tag must not contain a comma: got {tag[:80]!r}")
    return result


def _frozen_metadata(metadata: object) -> FrozenDict[str]:
    if not isinstance(metadata, Mapping):
        raise InvalidInstance(f"metadata must be a mapping of strings: got {type(metadata).__name__}")
    if isinstance(metadata, FrozenDict):
        return metadata
    for name, value in metadata.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise InvalidInstance(f"metadata must map strings to strings: got {name!r}: {type(value).__name__}")
        if not name:
            raise InvalidInstance("metadata must not have an empty key")
    return FrozenDict(metadata) if metadata else _NO_METADATA


@dataclass(frozen=True, slots=True, repr=False)
class Snapshot:
    """What was known of a service at one moment.

    Attributes:
        service: the service's name.
        version: grows by one with each snapshot of one cache; 0 before the first load.
        instances: all instances of all statuses, suspects left out.
        suspects: instances that vanished in a mass without goodbye and are kept for a while.
        rejected: reason by id for znodes that could not be decoded.
        loaded: False until the first load was complete.
        stale_since: monotonic seconds when contact was lost; None while in contact.
    """

    service: str
    version: int = 0
    instances: tuple[Instance, ...] = ()
    suspects: tuple[Instance, ...] = ()
    rejected: Mapping[str, str] = field(default_factory=FrozenDict)
    loaded: bool = False
    stale_since: float | None = None

    @property
    def stale(self) -> bool:
        """True while ZooKeeper can't be heard, until the reload after it is complete."""
        return self.stale_since is not None or not self.loaded

    @property
    def age(self) -> float:
        """Seconds since contact was lost; 0.0 while in contact."""
        return 0.0 if self.stale_since is None else max(0.0, time.monotonic() - self.stale_since)

    def __iter__(self) -> Iterator[Instance]:
        return iter(self.instances)

    def __len__(self) -> int:
        return len(self.instances)

    def __repr__(self) -> str:
        parts = [f"{self.service!r}", f"version={self.version}", f"instances={len(self.instances)}"]
        if self.suspects:
            parts.append(f"suspects={len(self.suspects)}")
        if self.rejected:
            parts.append(f"rejected={len(self.rejected)}")
        if self.stale:
            parts.append(f"stale={self.age:.1f}s" if self.loaded else "not loaded")
        return f"<Snapshot {' '.join(parts)}>"


@dataclass(frozen=True, slots=True, repr=False)
class Change:
    """The difference between two snapshots of one service.

    `delta` maps each id concerned to its instance before and after (None: not there). Changes that a slow
    subscriber has not taken yet are merged into one, so nothing is ever lost, only skipped over.
    """

    before: Snapshot
    after: Snapshot
    delta: Mapping[str, tuple[Instance | None, Instance | None]] = field(default_factory=dict)

    @property
    def added(self) -> tuple[Instance, ...]:
        """Instances that are there now and were not before."""
        return tuple(new for old, new in self.delta.values() if old is None and new is not None)

    @property
    def removed(self) -> tuple[Instance, ...]:
        """Instances that were there before and are not now, or became suspects."""
        return tuple(old for old, new in self.delta.values() if old is not None and new is None)

    @property
    def updated(self) -> tuple[Instance, ...]:
        """Instances that were there before and are different now, as they are now."""
        return tuple(new for old, new in self.delta.values() if old is not None and new is not None)

    def then(self, later: Change) -> Change:
        """This change and the one that followed it, as one."""
        delta = dict(self.delta)
        for key, (old, new) in later.delta.items():
            first = delta[key][0] if key in delta else old
            if first == new:
                delta.pop(key, None)
            else:
                delta[key] = (first, new)
        return Change(self.before, later.after, delta)

    def __repr__(self) -> str:
        return (
            f"<Change {self.after.service!r} version {self.before.version}→{self.after.version}"
            f" added={len(self.added)} removed={len(self.removed)} updated={len(self.updated)}>"
        )
