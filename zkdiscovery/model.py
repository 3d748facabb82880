"""What users hold in their hands: instances, statuses, snapshots and changes. All of it is immutable."""

from __future__ import annotations

import ipaddress
import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, make_dataclass, replace
from enum import StrEnum
from typing import Any, Literal, NoReturn, TypeGuard, TypeVar

from zkdiscovery.errors import InvalidInstance, InvalidName, InvalidSettings

_V = TypeVar("_V")

LONGEST_TIMEOUT = 1e8  # seconds, three years; locks and sockets refuse what their C types can't hold
MAX_NAME_BYTES = 255  # bytes of UTF-8 in one path segment
MAX_TIME = 1e11  # seconds since the epoch, the year 5138: milliseconds stay exact in a float up to there and beyond

_NO_NAMES = frozenset({"", ".", "..", "zookeeper"})
# The ranges that ZooKeeper's PathUtils.validatePath refuses, and the separator. It looks at UTF-16 units,
# so it refuses everything beyond U+FFFF for its surrogates.
_NOT_IN_A_PATH = re.compile("[\x00-\x1f/\x7f-\x9f\ud800-\uf8ff\ufff0-\U0010ffff]")
_NOT_IN_A_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
PLAIN_HOST = re.compile(r"[A-Za-z0-9._-]+")
_NOT_IN_A_HOST = re.compile(r"[\s/\\@?#\[\]]")
_SURROGATE = re.compile("[\ud800-\udfff]")


class Status(StrEnum):
    """Where an instance stands. Only `UP` is picked."""

    STARTING = "STARTING"
    """Registered, not ready yet."""
    UP = "UP"
    """Takes calls."""
    DOWN = "DOWN"
    """Failed its own check."""
    DRAINING = "DRAINING"
    """Says goodbye."""
    OUT_OF_SERVICE = "OUT_OF_SERVICE"
    """Set aside by an operator."""


StatusName = Literal["STARTING", "UP", "DOWN", "DRAINING", "OUT_OF_SERVICE"]
"""The name of a status, which every parameter takes in its place."""


class FrozenDict(dict[str, _V]):
    """A dict that refuses to change; hashable where its values are; can be pickled."""

    __slots__ = ()

    def _refuse(self, *_args: object, **_kwargs: object) -> NoReturn:
        raise TypeError("this mapping is immutable; build a new one instead")

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenDict, (dict(self),)


NO_PORTS: FrozenDict[int] = FrozenDict()
NO_METADATA: FrozenDict[str] = FrozenDict()


def check_name(value: object, what: str) -> str:
    """Return `value` if it can be one segment of a znode path.

    Raises:
        InvalidName: empty, too long, `.` or `..`, with `/`, a control character or a surrogate, or no string.
    """
    if not isinstance(value, str):
        raise InvalidName(f"{what} must be a string, not {type(value).__name__}")
    if value in _NO_NAMES:
        raise InvalidName(f"{what} must not be empty, '.', '..' or 'zookeeper': got {value!r}")
    if bad := _NOT_IN_A_PATH.search(value):
        raise InvalidName(f"{what} must not contain {bad.group()!r}: got {value[:80]!r}")
    if len(value) > MAX_NAME_BYTES // 4 and len(value.encode()) > MAX_NAME_BYTES:
        raise InvalidName(f"{what} is longer than {MAX_NAME_BYTES} bytes: {value[:40]!r}…")
    return value


def check_timeout(timeout: float | None) -> float:
    """Seconds to wait at most. None stands for no limit, which is `LONGEST_TIMEOUT`; so does whatever is longer.

    Raises:
        InvalidSettings: not a number, NaN, negative or infinite.
    """
    if timeout is None:
        return LONGEST_TIMEOUT
    given: object = timeout
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 <= given < math.inf:
        raise InvalidSettings(
            f"a timeout must be a number of seconds, 0 or more, or None for no limit: got {given!r:.80}"
        )
    return min(timeout, LONGEST_TIMEOUT)


def deadline_after(timeout: float | None) -> float:
    """The moment, in monotonic seconds, at which `timeout` seconds from now are over. Checked by `check_timeout`."""
    return time.monotonic() + check_timeout(timeout)


@dataclass(frozen=True, slots=True)
class Override:
    """What an operator put above what the owner of an instance wants.

    Attributes:
        status: the status in force; None: the owner's.
        weight: the weight in force; None: the owner's.
        base_status: what the owner wants instead; in force again once the override is cleared.
        base_weight: likewise.

    Raises:
        InvalidInstance: neither status nor weight, or a value is out of range.
    """

    status: Status | None = None
    weight: float | None = None
    base_status: Status = Status.UP
    base_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.status is None and self.weight is None:
            raise InvalidInstance("give a status, a weight, or both; clear_override() takes an override away")
        put = object.__setattr__
        put(self, "status", None if self.status is None else check_status(self.status))
        put(self, "weight", None if self.weight is None else _check_weight(self.weight))
        put(self, "base_status", check_status(self.base_status))
        put(self, "base_weight", _check_weight(self.base_weight))

    def above(self, own: Instance) -> Instance:
        """The instance in force, where the owner wants `own`."""
        return own.with_(
            status=own.status if self.status is None else self.status,
            weight=own.weight if self.weight is None else self.weight,
            override=replace(self, base_status=own.status, base_weight=own.weight),
        )

    def __str__(self) -> str:
        """In words: `OUT_OF_SERVICE instead of UP, weight 0 instead of 1`."""
        parts = []
        if self.status is not None:
            parts.append(f"{self.status} instead of {self.base_status}")
        if self.weight is not None:
            parts.append(f"weight {self.weight:g} instead of {self.base_weight:g}")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Instance:
    """One running copy of a service.

    Args:
        service: the service's name.
        host: host name or address that clients can reach; no port, no brackets.
        port: TCP port, 1–65535.
        id: unique within the service; `<host>:<port>` if not given.
        ports: further ports by name, e.g. `{"metrics": 9100}`; a name has no comma and no `=`.
        tls_port: TCP port that speaks TLS, if any.
        status: where the instance stands.
        weight: relative share of calls, 0 or more; 0 means "only if nothing else is left".
        zone: failure domain, e.g. `eu-1a`.
        version: version of the software.
        tags: labels without a comma.
        metadata: further strings by name.
        registered_at: seconds since the epoch, to the millisecond; None for an instance that was never registered.
        override: what an operator put above what the owner wants; `status` and `weight` have its effect already.
        machine: boot id of the owner's machine, if `register` chose the id; None for an id that a user chose.

    Raises:
        InvalidName: service or id can't be a znode.
        InvalidInstance: another field is out of range; the message names it.
    """

    service: str
    host: str
    port: int
    id: str = field(default="", kw_only=True)
    ports: Mapping[str, int] = field(default=NO_PORTS, kw_only=True)
    tls_port: int | None = field(default=None, kw_only=True)
    status: Status = field(default=Status.UP, kw_only=True)
    weight: float = field(default=1.0, kw_only=True)
    zone: str | None = field(default=None, kw_only=True)
    version: str | None = field(default=None, kw_only=True)
    tags: tuple[str, ...] = field(default=(), kw_only=True)
    metadata: Mapping[str, str] = field(default=NO_METADATA, kw_only=True)
    registered_at: float | None = field(default=None, kw_only=True)
    override: Override | None = field(default=None, kw_only=True)
    machine: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        # A cache of 10,000 runs this 10,000 times: what is in its final form already is not set again.
        put = object.__setattr__
        check_name(self.service, "the service name")
        check_host(self.host)
        _check_port(self.port, "port")
        if self.tls_port is not None:
            _check_port(self.tls_port, "tls_port")
        if self.id == "":
            put(self, "id", f"{self.host}:{self.port}")
        check_name(self.id, "the instance id")
        if type(self.status) is not Status:
            put(self, "status", check_status(self.status))
        if type(self.weight) is not float or not 0 <= self.weight < math.inf:
            put(self, "weight", _check_weight(self.weight))
        if self.zone is not None:
            check_text(self.zone, "zone")
        if self.version is not None:
            check_text(self.version, "version")
        if self.registered_at is not None:
            put(self, "registered_at", _check_time(self.registered_at))
        if self.override is not None and not isinstance(self.override, Override):
            raise InvalidInstance(f"override must be an Override, or None: got {_show(self.override)}")
        if self.machine is not None:
            check_text(self.machine, "machine")
        self._freeze()

    def _freeze(self) -> None:
        put = object.__setattr__
        if self.ports is not NO_PORTS:
            put(self, "ports", frozen_ports(self.ports))
        if self.tags != ():
            put(self, "tags", _frozen_tags(self.tags))
        if self.metadata is not NO_METADATA:
            put(self, "metadata", _frozen_metadata(self.metadata))

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

    @property
    def own(self) -> Instance:
        """The instance as its owner wants it: without what an operator put above."""
        override = self.override
        if override is None:
            return self
        return self.with_(
            status=self.status if override.status is None else override.base_status,
            weight=self.weight if override.weight is None else override.base_weight,
            override=None,
        )

    def with_(self, **changes: Any) -> Instance:
        """A copy with some fields replaced, validated anew."""
        return replace(self, **changes)


# An instance that can still be written to: of the same layout, so that one becomes the other.
_Draft: Any = make_dataclass("_Draft", Instance.__slots__, slots=True, eq=False, repr=False)


def trusted_instance(*values: Any) -> Instance:
    """An instance from the values of all its fields, in their order and final form. Nothing is checked.

    For codecs, which have checked every value already: a cache of 10,000 fills in half the time.
    """
    instance: Instance = _Draft(*values)
    instance.__class__ = Instance
    return instance


def join_host_port(host: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _show(value: object) -> str:
    """The start of `repr(value)`, for a message."""
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python is willing to print
        return f"an enormous {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:80]}…"


def check_text(value: object, what: str) -> None:
    """Refuse what is no string, blank, or has control characters or lone surrogates, with InvalidInstance."""
    if not isinstance(value, str):
        raise InvalidInstance(f"{what} must be a string, not {type(value).__name__}")
    if value.isspace() or not value or (not value.isprintable() and _NOT_IN_A_TEXT.search(value)):
        raise InvalidInstance(f"{what} must not be empty or contain control characters: got {_show(value)}")


def check_host(value: object) -> None:
    """Refuse what is neither a host name nor an address, with InvalidInstance."""
    if isinstance(value, str) and PLAIN_HOST.fullmatch(value):
        return
    check_text(value, "host")
    if not isinstance(value, str) or _NOT_IN_A_HOST.search(value) or (":" in value and not _is_ipv6(value)):
        raise InvalidInstance(
            f"host must be a host name or an address and nothing else, no scheme, port or brackets: got {_show(value)}"
        )


def _is_ipv6(value: str) -> bool:
    try:
        ipaddress.IPv6Address(value)
    except ValueError:
        return False
    return True


def _check_port(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65535:
        raise InvalidInstance(f"{what} must be an integer from 1 to 65535: got {_show(value)}")
    return value


def check_status(value: object) -> Status:
    """The status, given itself or its name; InvalidInstance for anything else."""
    try:
        return Status(value)  # type: ignore[arg-type]
    except ValueError:
        raise InvalidInstance(f"status must be one of {', '.join(Status)}: got {_show(value)}") from None


def _check_weight(value: object) -> float:
    if not _is_number(value) or value < 0:
        raise InvalidInstance(f"weight must be a finite number, 0 or more: got {_show(value)}")
    return float(value)


def _check_time(value: object) -> float:
    if not _is_number(value) or not 0.001 <= value <= MAX_TIME:
        raise InvalidInstance(
            f"registered_at must be seconds since the epoch, 0.001 to {MAX_TIME:g}: got {_show(value)}"
        )
    return round(value * 1000) / 1000


def _is_number(value: object) -> TypeGuard[int | float]:
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer beyond the range of a float
        return False


def frozen_ports(ports: object) -> FrozenDict[int]:
    """A frozen copy of a valid mapping from name to port; InvalidInstance for anything else."""
    if not isinstance(ports, Mapping):
        raise InvalidInstance(f"ports must be a mapping from name to port: got {type(ports).__name__}")
    for name, port in ports.items():
        check_text(name, "a port's name")
        if "," in name or "=" in name:
            raise InvalidInstance(f"a port's name must not contain a comma or '=': got {_show(name)}")
        _check_port(port, f"port {name!r}")
    if isinstance(ports, FrozenDict):
        return ports
    return FrozenDict(ports) if ports else NO_PORTS


def _frozen_tags(tags: object) -> tuple[str, ...]:
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        raise InvalidInstance(f"tags must be a sequence of strings: got {_show(tags)}")
    result = tuple(tags)
    for tag in result:
        check_text(tag, "a tag")
        if "," in tag:
            raise InvalidInstance(f"a tag must not contain a comma: got {_show(tag)}")
    return result


def _frozen_metadata(metadata: object) -> FrozenDict[str]:
    if not isinstance(metadata, Mapping):
        raise InvalidInstance(f"metadata must be a mapping of strings: got {type(metadata).__name__}")
    try:
        text = "".join((*metadata, *metadata.values()))
    except TypeError:
        bad = next((k, v) for k, v in metadata.items() if not isinstance(k, str) or not isinstance(v, str))
        raise InvalidInstance(f"metadata must map strings to strings: got {_show(bad)}") from None
    if "" in metadata:
        raise InvalidInstance("metadata must not have an empty key")
    if not text.isascii() and (surrogate := _SURROGATE.search(text)):
        raise InvalidInstance(
            f"metadata must not contain lone surrogates, which UTF-8 can't hold: got {surrogate[0]!r}"
        )
    if isinstance(metadata, FrozenDict):
        return metadata
    return FrozenDict(metadata) if metadata else NO_METADATA


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

    def __post_init__(self) -> None:
        if not isinstance(self.rejected, FrozenDict):
            object.__setattr__(self, "rejected", FrozenDict(self.rejected))

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
    delta: Mapping[str, tuple[Instance | None, Instance | None]] = field(default_factory=FrozenDict)

    def __post_init__(self) -> None:
        if not isinstance(self.delta, FrozenDict):
            object.__setattr__(self, "delta", FrozenDict(self.delta))

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
