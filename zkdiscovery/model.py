"""The values that users get: instances, statuses, overrides, snapshots and changes. All are immutable."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, make_dataclass, replace
from enum import StrEnum
from typing import Any, Literal, NoReturn, TypeVar

from zkdiscovery.errors import InvalidInstance
from zkdiscovery.validation import (
    check_host,
    check_metadata,
    check_name,
    check_port,
    check_ports,
    check_tags,
    check_text,
    check_time,
    check_weight,
    join_host_port,
    shown,
)

_V = TypeVar("_V")


class Status(StrEnum):
    """The state of an instance. Only an instance that is `UP` is picked."""

    STARTING = "STARTING"
    """Registered, not ready yet."""
    UP = "UP"
    """Takes calls."""
    DOWN = "DOWN"
    """Failed its own check."""
    DRAINING = "DRAINING"
    """Takes no new calls, and deregisters soon."""
    OUT_OF_SERVICE = "OUT_OF_SERVICE"
    """Set aside by an operator."""


StatusName = Literal["STARTING", "UP", "DOWN", "DRAINING", "OUT_OF_SERVICE"]
"""The name of a status. Every parameter that takes a status takes its name, too."""


def check_status(value: object) -> Status:
    """Return the status, given itself or its name; raise InvalidInstance for anything else."""
    try:
        return Status(value)  # type: ignore[arg-type]
    except ValueError:
        raise InvalidInstance(f"status must be one of {', '.join(Status)}: got {shown(value)}") from None


class FrozenDict(dict[str, _V]):
    """A dict that can't be changed. It can be pickled, and hashed if its values can."""

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


def _frozen(values: Mapping[str, _V], empty: FrozenDict[_V]) -> FrozenDict[_V]:
    if isinstance(values, FrozenDict):
        return values
    return FrozenDict(values) if values else empty


@dataclass(frozen=True, slots=True)
class Override:
    """An operator's values in place of what the owner of an instance wants.

    Attributes:
        status: the status in force; None: the owner's.
        weight: the weight in force; None: the owner's.
        base_status: what the owner wants instead; in force again once the override is cleared.
        base_weight: the weight that the owner wants instead; likewise.

    Raises:
        InvalidInstance: neither status nor weight is given.
        InvalidInstance: a value is out of range.
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
        put(self, "weight", None if self.weight is None else check_weight(self.weight))
        put(self, "base_status", check_status(self.base_status))
        put(self, "base_weight", check_weight(self.base_weight))

    def above(self, own: Instance) -> Instance:
        """Return the instance in force if the owner wants `own`."""
        return own.with_(
            status=own.status if self.status is None else self.status,
            weight=own.weight if self.weight is None else self.weight,
            override=replace(self, base_status=own.status, base_weight=own.weight),
        )

    def __str__(self) -> str:
        """Return it in words: `OUT_OF_SERVICE instead of UP, weight 0 instead of 1`."""
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
        status: the state of the instance.
        weight: relative share of calls, 0 or more; 0 means "only if nothing else is left".
        zone: failure domain, e.g. `eu-1a`.
        version: version of the software.
        tags: labels without a comma.
        metadata: further strings by name.
        registered_at: seconds since the epoch, to the millisecond; None for an instance that was never registered.
        override: what an operator set in place of what the owner wants; `status` and `weight` have its effect already.
        machine: boot id of the owner's machine, if `register` chose the id; None for an id that a user chose.
        runtime: the container that the owner runs in: its full id, or `POD-UID/CONTAINER-NAME`; None: not known.
        source: name of the source that a bridge took it from; None if no bridge wrote it.

    Raises:
        InvalidName: the service or the id can't be a znode.
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
    runtime: str | None = field(default=None, kw_only=True)
    source: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        # A cache of 10,000 runs this 10,000 times, so a value that is in its final form already is not set again.
        put = object.__setattr__
        check_name(self.service, "the service name")
        check_host(self.host)
        check_port(self.port, "port")
        if self.tls_port is not None:
            check_port(self.tls_port, "tls_port")
        if self.id == "":
            put(self, "id", f"{self.host}:{self.port}")
        check_name(self.id, "the instance id")
        if type(self.status) is not Status:
            put(self, "status", check_status(self.status))
        if type(self.weight) is not float or not 0 <= self.weight < math.inf:
            put(self, "weight", check_weight(self.weight))
        if self.zone is not None:
            check_text(self.zone, "zone")
        if self.version is not None:
            check_text(self.version, "version")
        if self.registered_at is not None:
            put(self, "registered_at", check_time(self.registered_at))
        if self.override is not None and not isinstance(self.override, Override):
            raise InvalidInstance(f"override must be an Override, or None: got {shown(self.override)}")
        self._check_origin()
        self._freeze()

    def _check_origin(self) -> None:
        for name in ("machine", "runtime", "source"):
            value = getattr(self, name)
            if value is not None:
                check_text(value, name)

    def _freeze(self) -> None:
        put = object.__setattr__
        if self.ports is not NO_PORTS:
            put(self, "ports", _frozen(check_ports(self.ports), NO_PORTS))
        if self.tags != ():
            put(self, "tags", check_tags(self.tags))
        if self.metadata is not NO_METADATA:
            put(self, "metadata", _frozen(check_metadata(self.metadata), NO_METADATA))

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
        """The instance as its owner wants it, without an operator's override."""
        override = self.override
        if override is None:
            return self
        return self.with_(
            status=self.status if override.status is None else override.base_status,
            weight=self.weight if override.weight is None else override.base_weight,
            override=None,
        )

    def with_(self, **changes: Any) -> Instance:
        """Return a copy with some fields replaced, validated anew."""
        return replace(self, **changes)


# An instance that can still be written to. It has the same layout, so that it can become an `Instance`.
_Draft: Any = make_dataclass("_Draft", Instance.__slots__, slots=True, eq=False, repr=False)


def trusted_instance(*values: Any) -> Instance:
    """Return an instance from the values of all its fields, in their order and final form. Nothing is checked.

    Codecs use it, because they have checked every value already: a cache of 10,000 fills in half the time.
    """
    instance: Instance = _Draft(*values)
    instance.__class__ = Instance
    return instance


@dataclass(frozen=True, slots=True, repr=False)
class Snapshot:
    """The knowledge of a service at one moment.

    Attributes:
        service: the service's name.
        version: grows by one with each snapshot of one cache; 0 before the first load.
        instances: all instances of all statuses, without the suspects.
        suspects: instances that vanished together without deregistering, and are kept for a while; and those of sources
            that are lost.
        rejected: reason by id for znodes that could not be decoded.
        loaded: False until the first load was complete.
        stale_since: monotonic seconds when contact was lost; None while in contact.
        lost_sources: reason by name for sources of bridges that have been away, or without a bridge, for longer than
            `settings.source_timeout`.
    """

    service: str
    version: int = 0
    instances: tuple[Instance, ...] = ()
    suspects: tuple[Instance, ...] = ()
    rejected: Mapping[str, str] = field(default_factory=FrozenDict)
    loaded: bool = False
    stale_since: float | None = None
    lost_sources: Mapping[str, str] = NO_METADATA

    def __post_init__(self) -> None:
        for name in ("rejected", "lost_sources"):
            if not isinstance(getattr(self, name), FrozenDict):
                object.__setattr__(self, name, FrozenDict(getattr(self, name)))

    @property
    def stale(self) -> bool:
        """True from the loss of contact with ZooKeeper until the reload after it is complete."""
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

    `delta` maps each id that differs to its instance before and after; None: there was none. Changes that a slow
    subscriber has not taken yet are merged into one: it may miss states in between, and never the last one.
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
        """Return this change and the one that followed it as one."""
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
