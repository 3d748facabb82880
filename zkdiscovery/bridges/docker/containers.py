"""Containers, as `GET /containers/json` tells them, become instances. Pure functions."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from zkdiscovery.bridges.docker.labels import Wanted
from zkdiscovery.bridges.docker.place import HOST, Attachment, Place, Published, address_of
from zkdiscovery.bridges.source import Imported
from zkdiscovery.model import Status

TASK = "com.docker.swarm.task.id"  # label of a container that Swarm runs
LIVE = frozenset({"running", "paused"})

_PROJECT = "com.docker.compose.project"
_ENDING = frozenset({signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGQUIT})
_REAL_TIME = "SIGRTMIN"
_SHARES = "container:"


def name_of(container: Mapping[str, Any]) -> str:
    """Return a container's name and the start of its id, for messages."""
    names = container.get("Names") or ["?"]
    return f"container {names[0].removeprefix('/')} ({container['Id'][:12]})"


def imported(container: Mapping[str, Any], wanted: Wanted, place: Place, *, ending: bool) -> Imported:
    """Return the instance that a healthy container is.

    Raises:
        InvalidInstance: it has no address that can be told.
    """
    host, port = address_of(
        wanted,
        place,
        on_host=_on_host(container),
        published=tuple(_published(container)),
        attached=tuple(attached(container)),
        project=(container.get("Labels") or {}).get(_PROJECT, ""),
        exposed=tuple(each["PrivatePort"] for each in _tcp(container)),
    )
    return Imported(
        wanted.service,
        container["Id"],
        host,
        port,
        status=Status.DRAINING if ending else Status.UP,
        weight=wanted.weight,
        tags=wanted.tags,
        metadata=wanted.metadata,
        runtime=container["Id"],
        check=wanted.check,
    )


def attached(container: Mapping[str, Any]) -> Iterator[Attachment]:
    """Return the networks that a container is on."""
    networks = (container.get("NetworkSettings") or {}).get("Networks") or {}
    for name, network in networks.items():
        address = network.get("IPAddress") or network.get("GlobalIPv6Address") or ""
        yield Attachment(name, network.get("NetworkID") or "", address)


def shared_networks(everything: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the ids of the containers whose network another one uses that lives.

    That one has the host name of the container and its `/etc/hosts`, so what it registers may name it.
    """
    modes = ((each.get("HostConfig") or {}).get("NetworkMode") or "" for each in everything if each["State"] in LIVE)
    return {mode.removeprefix(_SHARES) for mode in modes if mode.startswith(_SHARES)}


def ends_it(number: str, details: Mapping[str, Any], at: float) -> bool:
    """Is a signal the beginning of the end of a container's present run?

    SIGTERM, SIGINT, SIGQUIT and SIGKILL are, and so is the signal that its image wants for its stop. Others, as SIGHUP,
    are what programs take for something else.

    Args:
        number: the signal, as the event of the engine has it.
        details: what the engine says of the container now.
        at: seconds since the epoch; when the signal was sent, by the engine's clock.
    """
    state, config = details.get("State") or {}, details.get("Config") or {}
    if not state.get("Running") or moment(state.get("StartedAt")) > at:
        return False
    sent = _number(number)
    return sent in _ENDING or sent == _number(config.get("StopSignal") or "SIGTERM")


def moment(text: str | None) -> float:
    """Return a time of the engine, in seconds since the epoch; 0.0 if there is none."""
    try:
        # Its nanoseconds are too many digits for Python, and six are enough.
        whole, _, rest = (text or "").rstrip("Z").partition(".")
        return datetime.fromisoformat(f"{whole}.{rest[:6]:0<6}+00:00").timestamp()
    except ValueError:
        return 0.0


def _number(text: str) -> int:
    """Return the number of a signal: `15`, `TERM`, `SIGTERM` or `SIGRTMIN+3`; 0 if there is none."""
    if text.isdecimal():
        return int(text)
    name = text.upper() if text.upper().startswith("SIG") else f"SIG{text.upper()}"
    base, _, offset = name.partition("+")
    if base == _REAL_TIME:
        return 34 + int(offset or 0) if not offset or offset.isdecimal() else 0
    return next((each.value for each in signal.Signals if each.name == base), 0)


def _on_host(container: Mapping[str, Any]) -> bool:
    return bool((container.get("HostConfig") or {}).get("NetworkMode") == HOST)


def _tcp(container: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    return (each for each in container.get("Ports") or () if each.get("Type") == "tcp")


def _published(container: Mapping[str, Any]) -> Iterator[Published]:
    for each in _tcp(container):
        if public := each.get("PublicPort"):
            yield Published(each.get("IP") or "", public, each["PrivatePort"])
