"""The arguments of `Client.register`, spelled once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypedDict

from zkdiscovery.errors import InvalidInstance
from zkdiscovery.registration.checks import Check, TtlCheck, check_positive
from zkdiscovery.validation import shown
from zkdiscovery.znodes import OnConflict

Ready = Literal["now", "listening", "manual"]


class RegisterOptions(TypedDict, total=False):
    """The arguments that `Client.register` takes beside the service and its port."""

    host: str | None
    listen_port: int | None
    id: str | None
    ports: Mapping[str, int]
    tls_port: int | None
    weight: float
    zone: str | None
    version: str | None
    tags: Sequence[str]
    metadata: Mapping[str, str]
    ready: Ready
    drain_delay: float
    on_conflict: OnConflict
    checks: Sequence[Check]
    deregister_after: float | None


class Options(RegisterOptions, total=False):
    """One entry of `Client.register_many`."""

    service: str
    port: int


FIELDS = tuple(Options.__annotations__)
CHANGEABLE = frozenset({"ports", "tls_port", "weight", "zone", "version", "tags", "metadata"})


def check_checks(checks: object) -> tuple[Check, ...]:
    """Return the checks of an instance; raise InvalidInstance for anything else."""
    if isinstance(checks, Check) or not isinstance(checks, Iterable):
        raise InvalidInstance(f"checks must be a list of checks, such as [HttpCheck('/ready')]: got {shown(checks)}")
    result = tuple(checks)
    for check in result:
        if not isinstance(check, Check):
            raise InvalidInstance(f"a check must be an HttpCheck, a TcpCheck or the like: got {shown(check)}")
    if sum(isinstance(check, TtlCheck) for check in result) > 1:
        raise InvalidInstance("one TtlCheck is enough, because beat() is for all of an instance: got more")
    return result


def check_deregister_after(seconds: object, checks: tuple[Check, ...], on_conflict: OnConflict) -> float | None:
    """Return the seconds of being DOWN after which an instance is taken out; raise InvalidInstance for no such time."""
    if seconds is None:
        return None
    check_positive(seconds, "deregister_after")
    if not checks:
        raise InvalidInstance("deregister_after needs checks: nothing else finds an instance DOWN")
    if on_conflict == "share":
        raise InvalidInstance(
            'deregister_after can\'t be combined with on_conflict="share": the processes that share it check it each'
        )
    return float(seconds)  # type: ignore[arg-type]
