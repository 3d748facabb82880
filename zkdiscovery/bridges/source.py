"""A source: another system whose instances a bridge follows, such as a container engine or a cluster.

Threads: the thread of the bridge makes all calls, one at a time. `changed` may be called on any thread; it never
blocks and never raises. `close` may be called on another thread while a call is under way, and makes that call end.

Duties of a source
- Each call ends within `CALL_LIMIT` seconds, whatever the other side does, and raises SourceUnavailable if the other
  side can't answer.
- A stream that broke is restored by the source, with a back-off and jitter of its own, and `changed` is called after
  it was restored. A half-open connection is noticed within `CALL_LIMIT` seconds, by a limit on reads or by keepalive.
- `list` decides and events only wake. It answers what is true now, or raises: it never answers with a part, or with
  what a cache knew before its stream broke.
- Nothing is remembered by the bridge for the source: an object that is no longer listed goes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from zkdiscovery.errors import ZkDiscoveryError
from zkdiscovery.model import Instance, Status
from zkdiscovery.registration.checks import ProbingCheck

CALL_LIMIT = 30.0  # seconds


class SourceUnavailable(ZkDiscoveryError):  # noqa: N818 - like the other errors
    """The source can't be reached, or can't answer now. The bridge tries again, and changes nothing meanwhile."""


class SourceRefused(ZkDiscoveryError):  # noqa: N818 - like the other errors
    """The source refuses the bridge, for example because it lacks a right. The message says what to grant.

    The bridge reports it as an error and tries again more rarely, because somebody has to act.
    """


@dataclass(frozen=True, slots=True)
class Imported:
    """One instance that a source knows.

    Attributes:
        service: the service's name.
        object_id: unique in the source, and never given to another object: a pod's UID, a container's or task's full
            id. Together with `port` it names one instance.
        address: host name or address that clients can reach.
        port: TCP port that clients call.
        ports: further ports by name.
        tls_port: TCP port that speaks TLS, if any.
        status: STARTING, UP, DOWN, DRAINING or OUT_OF_SERVICE. DRAINING from the first sign that it will end.
        weight: relative share of calls.
        zone: failure domain.
        version: version of the software.
        tags: labels.
        metadata: further strings by name; keys that begin with `zkdiscovery.` are the package's own.
        runtime: what runs it, as a registration made inside it names it: a container's full id, or a pod's UID. A
            registration of the same service that names the same runtime takes the place of this instance.
        check: the bridge runs it at `address` while `status` is UP, and it decides between STARTING, UP and DOWN.
    """

    service: str
    object_id: str
    address: str
    port: int
    ports: Mapping[str, int] = field(default_factory=dict, kw_only=True)
    tls_port: int | None = field(default=None, kw_only=True)
    status: Status = field(default=Status.UP, kw_only=True)
    weight: float = field(default=1.0, kw_only=True)
    zone: str | None = field(default=None, kw_only=True)
    version: str | None = field(default=None, kw_only=True)
    tags: Sequence[str] = field(default=(), kw_only=True)
    metadata: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    runtime: str | None = field(default=None, kw_only=True)
    check: ProbingCheck | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Death:
    """A run that ended. The bridge deletes the registrations that it left.

    Attributes:
        runtime: what ended: a container's full id; `POD-UID/CONTAINER-NAME` for one container of a pod; a pod's UID for
            the whole pod.
        before: None if nothing of this runtime lives now. If it was started again, the time at which the former run
            ended, in seconds since the epoch by the clock of its machine: only what was registered before that is
            deleted. A registration that does not say when it was made is left to the end of its session.
    """

    runtime: str
    before: float | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """The whole truth at one moment.

    Attributes:
        instances: all that the source asks us to show.
        problems: reason by object for what was asked for and can't be shown, in words for users: `web (container
            3f2a…)`: `two networks, and no label says which`. The bridge logs each once and shows them.
        deaths: all runs that ended and are still known, or ended within the last minutes. It may name the same run
            each time.
        settling: the source has come back with data that may be old or missing. Until it lists for good, nothing is
            added or removed, and what is listed is kept up to date.
        returning: seconds in which objects that the source has lost are registered there again. It may have lost its
            data while no bridge ran, so what the first listing of a bridge lacks stays for as long. 0: it loses none.
    """

    instances: Sequence[Imported]
    problems: Mapping[str, str] = field(default_factory=dict)
    deaths: Sequence[Death] = ()
    settling: bool = field(default=False, kw_only=True)
    returning: float = field(default=0.0, kw_only=True)


class Source(Protocol):
    """Another system whose instances a bridge follows. See the module's docstring for its duties.

    Attributes:
        kind: `docker`, `swarm`, `kubernetes`.
        where: the address that it is reached at, in words for users.
        clustered: False for what one engine knows: it lives as long as the bridge's session, so it goes with the host.
            True for a cluster: one of its bridges leads, and the instances outlive it.
    """

    kind: str
    where: str
    clustered: bool

    @property
    def relist(self) -> float:
        """Seconds after which the bridge lists again without an event; asked before each wait."""

    def identity(self) -> str:
        """Return what tells this source from all others, whatever its address: an engine's id, a cluster's uid.

        The bridge asks again after each fault, because another system may stand behind the same address.

        Raises:
            SourceUnavailable: it can't be reached.
            SourceRefused: it refuses the bridge.
        """

    def subscribe(self, changed: Callable[[], None]) -> None:
        """Start the streams of events, on threads of its own, and return once they are established.

        Called again if it raised; called once else. A source calls `changed` after each event that may matter, and
        after each reconnect.

        Raises:
            SourceUnavailable: it can't be reached.
            SourceRefused: it refuses the bridge.
        """

    def list(self) -> Listing:
        """Return the whole truth as of now.

        Raises:
            SourceUnavailable: it can't be reached, or its cache is not in step.
            SourceRefused: it refuses the bridge.
        """

    def close(self) -> None:
        """End the streams and calls under way, and free what it holds. Idempotent."""


@runtime_checkable
class Exporter(Protocol):
    """A source that can show our services to its own users, too."""

    def export(self, services: Mapping[str, Sequence[Instance]]) -> Mapping[str, str]:
        """Make exactly these services visible in the other system, and withdraw what else it has made visible before.

        Called on the bridge that leads, after each list and when an instance has changed. Instances that a bridge has
        imported are not among them. It touches nothing that it did not make.

        Returns:
            reason by `SERVICE/INSTANCE` or `SERVICE` for what the other system does not take; the others go on.

        Raises:
            SourceUnavailable: it can't be reached; called again later.
            SourceRefused: it refuses the bridge.
        """
