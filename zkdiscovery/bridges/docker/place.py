"""The addresses at which callers reach containers. Pure functions, except for the look at this machine's interfaces.

For a port of a container, the first of these that there is:
1. With the label `zkdiscovery.network`, the container's address on that network; with `host`, a published port.
2. With `--network host`, the machine's address.
3. A published port: somebody published it, so that others call it there. An ingress port of Swarm does not count,
   because it leads to any of the tasks.
4. The container's address on the network that the bridge's own container shares with it.
5. The container's address, if it has only one.
Anything else is ambiguous, and the container is left out.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from zkdiscovery.bridges.docker.labels import PREFIX, Wanted
from zkdiscovery.errors import InvalidInstance
from zkdiscovery.registration.address import Given, Servers, choose, given_host, is_loopback, on_loopback
from zkdiscovery.registration.interfaces import own_addresses

HOST = "host"  # Docker's name of the network of the machine itself


class Attachment(NamedTuple):
    """A container on a network.

    Attributes:
        name: the network's name.
        network: the network's id.
        address: the container's address; "" if it has none yet.
    """

    name: str
    network: str
    address: str


class Published(NamedTuple):
    """A port of a container that the machine serves.

    Attributes:
        host: the address that the machine serves it at; 0.0.0.0 and :: are all that it has.
        port: the port there.
        target: the port inside the container.
    """

    host: str
    port: int
    target: int


@dataclass(frozen=True, slots=True)
class Place:
    """The surroundings of the containers of one machine.

    Attributes:
        machine: returns the machine's address; raises InvalidInstance if nobody knows it.
        local: True if all ZooKeeper hosts are on loopback, so that loopback may be advertised.
        shared: ids of the networks that the bridge's own container is on.
    """

    machine: Callable[[], str]
    local: bool = False
    shared: frozenset[str] = frozenset()


def address_of(
    wanted: Wanted,
    place: Place,
    *,
    on_host: bool,
    published: Sequence[Published],
    attached: Sequence[Attachment],
    project: str = "",
    exposed: Sequence[int] = (),
) -> tuple[str, int]:
    """Return the host and the port at which callers reach a container.

    Args:
        wanted: what its labels ask for.
        place: where it runs.
        on_host: it runs with `--network host`.
        published: the TCP ports that its machine serves for it.
        attached: the networks that it is on.
        project: name of the Compose project or the stack, which begins the names of its networks.
        exposed: TCP ports that its image exposes.

    Raises:
        InvalidInstance: there is none, or more than one; the message says which, and what to do.
    """
    port = wanted.port or _only(exposed)
    if on_host:
        if wanted.network not in {None, HOST}:
            raise InvalidInstance(f"it runs with `--network host`, and is not on the network {wanted.network!r}")
        return place.machine(), port
    if wanted.network in {None, HOST}:
        served = [each for each in published if each.target == port and (place.local or not is_loopback_only(each))]
        if served:
            return _first(served, place)
        if wanted.network == HOST:
            raise InvalidInstance(
                f"port {port} is not published at an address that callers on other machines can reach, as"
                f" {PREFIX}network=host wants it; publish it, in Swarm with mode=host"
            )
    return _on_network(wanted, place, [each for each in attached if each.address], project), port


def is_loopback_only(published: Published) -> bool:
    """Does only its own machine reach it?"""
    return is_loopback(published.host) and not _is_any(published.host)


def _only(exposed: Sequence[int]) -> int:
    ports = sorted(set(exposed))
    if len(ports) != 1:
        listed = f"the image exposes {', '.join(map(str, ports))}" if ports else "no exposed port is known"
        raise InvalidInstance(f"which port do callers use? Set the label {PREFIX}port ({listed})")
    return ports[0]


def _first(served: Sequence[Published], place: Place) -> tuple[str, int]:
    """The address of a published port: IPv4 before IPv6, and one of its own before any."""
    best = min(served, key=lambda each: (":" in each.host, _is_any(each.host), each.port))
    return (place.machine() if _is_any(best.host) else best.host), best.port


def _is_any(host: str) -> bool:
    return not host or ipaddress.ip_address(host).is_unspecified


def _on_network(wanted: Wanted, place: Place, attached: Sequence[Attachment], project: str) -> str:
    if wanted.network is not None:
        names = (wanted.network, f"{project}_{wanted.network}")
        found = next((each for name in names for each in attached if each.name == name), None)
        if found is None:
            raise InvalidInstance(f"it has no address on the network {wanted.network!r}, only on {_listed(attached)}")
        return found.address
    candidates = [each for each in attached if each.network in place.shared] or list(attached)
    if not candidates:
        raise InvalidInstance("it is on no network where it has an address of its own, and publishes no port")
    if len(candidates) > 1:
        raise InvalidInstance(
            f"it is on several networks ({_listed(candidates)}): set the label {PREFIX}network to the one that callers"
            " use"
        )
    return candidates[0].address


def _listed(attached: Sequence[Attachment]) -> str:
    return ", ".join(sorted(each.name for each in attached)) or "none"


class MachineAddress:
    """The address of an engine's machine, as published ports and `--network host` need it.

    Args:
        servers: returns ZooKeeper's hosts and their known addresses.
        host: what `--host` says; None: nothing.
    """

    def __init__(self, servers: Callable[[], Servers], host: str | None = None) -> None:
        self._servers = servers
        self._given = given_host(host)

    @property
    def local(self) -> bool:
        """True if all ZooKeeper hosts are on loopback."""
        return on_loopback(self._servers()) is True

    def find(self, info: Mapping[str, object], remote: str | None, *, in_container: bool) -> str:
        """Return the address.

        Args:
            info: what the engine says of itself.
            remote: host of the engine's API, if it is reached over a network.
            in_container: the bridge itself runs in a container of the engine.

        Raises:
            InvalidInstance: nobody knows it, or only its own machine reaches it.
        """
        given = self._given
        swarm = info.get("Swarm")
        node = str(swarm.get("NodeAddr") or "") if isinstance(swarm, Mapping) else ""
        if not given.text and node:
            given = Given(node, "the Swarm's address of this machine")
        elif not given.text and remote:
            given = Given(remote, "the address of the engine")
        elif not given.text and in_container:
            raise InvalidInstance(
                "the bridge runs in a container, and does not know its machine's address: give --host, or set"
                " ZKDISCOVERY_ADVERTISE_HOST"
            )
        return choose(given, self._servers(), own_addresses()).host
