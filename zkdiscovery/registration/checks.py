"""Health checks: what users give to `register`, and what one run of a check says.

A check is a description, without state. `register` makes one probe of it for each registration, and `health.py` counts
what the probes say. `http_check.py`, `grpc_check.py` and `command_check.py` have the checks that need more than a
connection.

Guarantees of every probe:
- It ends within `timeout`, connecting and whatever else it does included.
- Nothing is resolved: a probe goes to addresses.
- It tells a failure of the service from a failure of its own. If it can't run, because this process has no descriptor,
  no port or no memory left, it says UNKNOWN, which is nothing about the service.

Threads: `probe` runs on the thread that registers; a probe runs on the threads of the checks, one run at a time.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

from zkdiscovery.errors import InvalidInstance
from zkdiscovery.registration.address import is_address
from zkdiscovery.registration.readiness import hang_up, open_connection
from zkdiscovery.validation import MAX_DELAY, check_delay, check_port, check_text, join_host_port, shown

# The caller is in trouble, not the one that is called.
_TROUBLES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN, errno.EADDRNOTAVAIL})


class CheckResult(StrEnum):
    """The result of one run of a check."""

    PASS = "PASS"  # noqa: S105 - no password
    """The service answers as it should."""
    FAIL = "FAIL"
    """It does not."""
    UNKNOWN = "UNKNOWN"
    """The check could not run. This says nothing about the service."""


class Outcome(NamedTuple):
    """What one run of a check says.

    Attributes:
        result: the result.
        message: the reason, in words.
    """

    result: CheckResult
    message: str


class Target(NamedTuple):
    """What is checked.

    Attributes:
        name: the advertised host, which certificates name.
        hosts: addresses of this machine at which the program may listen; the likeliest first.
        port: where it listens.
        tls_port: where it speaks TLS, if that is another port.
    """

    name: str
    hosts: Sequence[str]
    port: int
    tls_port: int | None = None


class Probe(Protocol):
    """One check of one instance. Never runs twice at a time."""

    def run(self, target: Target) -> Outcome:
        """Check once."""

    def close(self) -> None:
        """End what a run has started, if it would outlive it (any thread). Never blocks."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """The base of all checks. A check is a description, and may be given to many registrations.

    Args:
        name: what reports and the log call it. "": by what it does.
        grace: seconds from the start of the checks on in which failures do not count. It ends with the first pass.

    Raises:
        InvalidInstance: a value is out of range.
    """

    name: str = ""
    grace: float = 30.0  # seconds

    def __post_init__(self) -> None:
        if self.name:
            check_text(self.name, "name of a check")
        check_delay(self.grace, "grace of a check")

    @property
    def title(self) -> str:
        """What reports and the log call it."""
        return self.name or self._describe()

    def _describe(self) -> str:
        raise NotImplementedError

    @property
    def thresholds(self) -> tuple[int, int]:
        """Failures in a row after which it fails, and passes in a row after which it passes again."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class ProbingCheck(Check):
    """The base of the checks that look for themselves.

    Args:
        interval: seconds between the beginnings of two runs, one tenth more or less. In the grace time, until the first
            pass, a second at most. A run that takes longer is not overtaken by the next one.
        timeout: seconds that one run may take.
        failure_threshold: failures in a row after which the instance is DOWN.
        success_threshold: passes in a row after which it is UP again. The first pass after the start is enough.

    Raises:
        InvalidInstance: a value is out of range.
    """

    interval: float = 5.0  # seconds
    timeout: float = 1.0  # seconds
    failure_threshold: int = 3
    success_threshold: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self.interval, "interval of a check")
        check_positive(self.timeout, "timeout of a check")
        for what in ("failure_threshold", "success_threshold"):
            value = getattr(self, what)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1000:
                raise InvalidInstance(f"{what} of a check must be an integer from 1 to 1000: got {shown(value)}")

    @property
    def thresholds(self) -> tuple[int, int]:
        return self.failure_threshold, self.success_threshold

    def probe(self) -> Probe:
        """Make what runs the check for one instance.

        Raises:
            InvalidInstance: it can't run here.
        """
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class NetworkCheck(ProbingCheck):
    """The base of the checks that connect.

    Args:
        port: where to connect. None: where the program listens; for TLS `tls_port`, if the instance has one.
        host: the address to connect to. None: where the program listens on this machine.

    Raises:
        InvalidInstance: a value is out of range.
    """

    port: int | None = None
    host: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.port is not None:
            check_port(self.port, "port of a check")
        host: object = self.host
        if host is not None and not (isinstance(host, str) and is_address(host)):
            raise InvalidInstance(
                f"host of a check must be an address, because a check resolves no names: got {shown(host)}"
            )

    def places(self, target: Target, *, tls: bool = False) -> list[tuple[str, int]]:
        """Return the addresses and ports to try, in order."""
        port = self.port or (tls and target.tls_port) or target.port
        return [(host, port) for host in ([self.host] if self.host is not None else target.hosts)]


@dataclass(frozen=True, kw_only=True)
class TcpCheck(NetworkCheck):
    """Connects. It passes when the port accepts.

    The kernel accepts for a program that hangs: prefer a check that asks for an answer.
    """

    def _describe(self) -> str:
        return "TCP" if self.port is None else f"TCP port {self.port}"

    def probe(self) -> Probe:
        return _TcpProbe(self)


class _TcpProbe:
    def __init__(self, check: TcpCheck) -> None:
        self._check = check

    def run(self, target: Target) -> Outcome:
        try:
            hang_up(connect(self._check.places(target), time.monotonic() + self._check.timeout))
        except OSError as error:
            return unreached(error, self._check.timeout)
        return Outcome(CheckResult.PASS, "connected")

    def close(self) -> None:
        """A run ends by itself."""


@dataclass(frozen=True)
class TtlCheck(Check):
    """Waits for signs of life: the instance is DOWN when `registration.beat()` was not called for `ttl` seconds.

    A time for which the whole process stood still counts, too, because it served nobody; the next beat ends it.

    Args:
        ttl: seconds.
        name: what reports and the log call it. "": by what it does.
        grace: seconds that the first beat may take, if that is more than `ttl`.

    Raises:
        InvalidInstance: a value is out of range.
    """

    ttl: float  # seconds

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive(self.ttl, "ttl of a check")

    def _describe(self) -> str:
        return f"TTL of {self.ttl:g} s"

    @property
    def thresholds(self) -> tuple[int, int]:
        return 1, 1


# -- what the probes share --


def connect(places: Sequence[tuple[str, int]], deadline: float) -> socket.socket:
    """Return a connection to the first of these places that accepts.

    Raises:
        OSError: none of them does; the error of the first one.
    """
    first: OSError | None = None
    for host, port in places:
        try:
            return open_connection(host, port, remaining(deadline))
        except OSError as error:
            error.strerror = f"{error.strerror or error} ({join_host_port(host, port)})"
            first = first or error
    raise first or OSError(errno.EADDRNOTAVAIL, "this machine has no address to connect to")


def remaining(deadline: float) -> float:
    """Return the seconds until `deadline` (monotonic seconds).

    Raises:
        TimeoutError: there are none.
    """
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def unreached(error: OSError, timeout: float) -> Outcome:
    """Return what it says about the service that an operation on a socket failed."""
    if isinstance(error, TimeoutError):
        return Outcome(CheckResult.FAIL, f"no answer within {timeout:g} s")
    if error.errno in _TROUBLES:
        return in_trouble(error)
    return Outcome(CheckResult.FAIL, str(error.strerror or error))


def in_trouble(error: OSError) -> Outcome:
    """Return the outcome of a run for which this process lacks something."""
    return Outcome(CheckResult.UNKNOWN, f"the check could not run: {error.strerror or error}")


def check_positive(value: object, what: str) -> None:
    """Refuse anything but a number of seconds above 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= MAX_DELAY:
        raise InvalidInstance(f"{what} must be seconds, more than 0 and up to {MAX_DELAY:.0f}: got {shown(value)}")
