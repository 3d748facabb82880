"""The labels by which a container or a Swarm service asks to be registered. Pure functions.

| label                     | says                                                                                   |
|---------------------------|----------------------------------------------------------------------------------------|
| `zkdiscovery.name`        | the service; without it a container is left alone                                      |
| `zkdiscovery.port`        | the port inside the container; the only one that the image exposes if not given        |
| `zkdiscovery.network`     | the network whose address callers use, or `host`: the address of the machine           |
| `zkdiscovery.check`       | a health check that the bridge runs, as `check_texts.py` has it, but for `command`     |
| `zkdiscovery.tags`        | labels, with commas between                                                            |
| `zkdiscovery.weight`      | relative share of calls                                                                |
| `zkdiscovery.meta.<name>` | further strings by name                                                                |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from zkdiscovery.errors import InvalidInstance
from zkdiscovery.registration import grpc_check, http_check  # noqa: F401 - loaded now, and not when the first label asks
from zkdiscovery.registration.check_texts import check_of
from zkdiscovery.registration.checks import NetworkCheck, ProbingCheck
from zkdiscovery.validation import check_metadata, check_name, check_port, check_tags, check_weight, shown

PREFIX = "zkdiscovery."
NAME = f"{PREFIX}name"

_META = f"{PREFIX}meta."
_KNOWN = frozenset({"name", "port", "network", "check", "tags", "weight"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """The values of the labels.

    Attributes:
        service: the service's name.
        port: the port inside the container; None: not given.
        network: the name of a network; None: not given.
        check: a health check that goes to the container's address; None: not given.
        tags: labels.
        weight: relative share of calls.
        metadata: further strings by name.
        unknown: names of labels that begin with `zkdiscovery.` and mean nothing.
    """

    service: str
    port: int | None = None
    network: str | None = None
    check: ProbingCheck | None = field(default=None, kw_only=True)
    tags: tuple[str, ...] = ()
    weight: float = 1.0
    metadata: Mapping[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


def parse(labels: Mapping[str, str]) -> Wanted | None:
    """Return what the labels ask for; None without a name.

    Raises:
        InvalidInstance: a value is out of range; the message names the label.
        InvalidName: the name can't be a service.
    """
    if NAME not in labels:
        return None
    own = {key.removeprefix(PREFIX): value.strip() for key, value in labels.items() if key.startswith(PREFIX)}
    metadata = {key.removeprefix(_META): labels[key] for key in labels if key.startswith(_META)}
    if any(key.startswith(PREFIX) for key in metadata):
        raise InvalidInstance(f"{_META}*: keys that begin with {PREFIX!r} are kept for the package")
    return Wanted(
        check_name(own["name"], NAME),
        _port(own["port"]) if "port" in own else None,
        own.get("network") or None,
        _tags(own.get("tags", "")),
        _weight(own["weight"]) if "weight" in own else 1.0,
        check_metadata(metadata),
        tuple(sorted(f"{PREFIX}{key}" for key in own if key not in _KNOWN and not key.startswith("meta."))),
        check=_check(own["check"]) if "check" in own else None,
    )


def _port(text: str) -> int:
    # Ports are written with their protocol where Docker itself takes them.
    digits = text.removesuffix("/tcp")
    port = int(digits) if digits.isascii() and digits.isdecimal() else text
    check_port(port, f"{PREFIX}port")
    return int(port)


def _check(text: str) -> ProbingCheck:
    try:
        check = check_of(text)
    except InvalidInstance as error:
        raise InvalidInstance(f"{PREFIX}check: {error}") from None
    if not isinstance(check, NetworkCheck):
        raise InvalidInstance(
            f"{PREFIX}check: a command would run on the bridge's machine, not in the container; give the image a"
            f" HEALTHCHECK instead: got {shown(text)}"
        )
    return check


def _tags(text: str) -> tuple[str, ...]:
    return check_tags(tuple(tag for part in text.split(",") if (tag := part.strip())))


def _weight(text: str) -> float:
    try:
        return check_weight(float(text))
    except ValueError:
        raise InvalidInstance(f"{PREFIX}weight must be a finite number, 0 or more: got {text!r:.80}") from None
