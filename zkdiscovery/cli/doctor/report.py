"""The findings of the doctor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from zkdiscovery.cli.exits import ExitCode, code_for
from zkdiscovery.errors import ZkDiscoveryError


class Level(StrEnum):
    """The severity of a finding."""

    OK = "ok"
    WARNING = "warning"  # works, but perhaps not as meant
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: what was looked at.
        found: the result in words.
        level: how bad it is.
        advice: what to do about it.
        data: the figures behind `found`, plain values; times in seconds.
        code: the exit code for a problem.
    """

    check: str
    found: str
    level: Level = Level.OK
    advice: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    code: ExitCode = ExitCode.OK


def problem(check: str, found: str, advice: str, code: ExitCode = ExitCode.FAILED, **data: Any) -> Finding:
    """A finding that is a problem."""
    return Finding(check, found, Level.PROBLEM, advice, data, code)


def failed(check: str, error: ZkDiscoveryError, advice: str = "") -> Finding:
    """A check that ended with an error."""
    return problem(check, str(error), advice, code_for(error))


def milliseconds(seconds: float) -> str:
    """`1.3 ms`."""
    return f"{seconds * 1000:.1f} ms"
