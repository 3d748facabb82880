"""The address that an instance advertises: what clients on other machines can reach.

Guarantees:
- Never an address that only this machine can use (loopback, 0.0.0.0, ::, IPv6 link-local), but loopback where
  ZooKeeper itself is on loopback.
- No packet is sent. Names are resolved only where that decides something, for at most `RESOLVE_TIMEOUT`.
"""

from __future__ import annotations

import functools
import ipaddress
import logging
import os
import socket
import threading
from typing import TYPE_CHECKING

from zkdiscovery.errors import InvalidInstance
from zkdiscovery.model import check_host

if TYPE_CHECKING:
    from collections.abc import Mapping

RESOLVE_TIMEOUT = 2.0  # seconds
VARIABLES = ("ZKDISCOVERY_ADVERTISE_HOST", "POD_IP")  # of the environment, in this order

_log = logging.getLogger("zkdiscovery.registration")
_WHAT_TO_DO = f"give host=, or set {VARIABLES[0]}, to a name or an address of this machine that clients can reach"
# Addresses kept for documentation (RFC 5737, RFC 3849): no host has them, so they lie beyond the default route.
_ANYWHERE = ("192.0.2.1", "2001:db8::1")


def advertised_host(explicit: str | None, *, peer: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """The host to advertise.

    In this order: `explicit`, `ZKDISCOVERY_ADVERTISE_HOST`, `POD_IP`, the address of the interface that routes to
    ZooKeeper, the address of the interface of the default route.

    Args:
        explicit: what the user said, if anything.
        peer: `host:port` of a ZooKeeper server, `[host]:port` for IPv6; best an address, for a name must be resolved
            first. None if unknown.
        environ: the environment.

    Raises:
        InvalidInstance: what was given is no host, or none that clients can reach; or nothing was given and this
            machine has no address for it.
    """
    zookeeper = None if peer is None else _host_of(peer)
    if explicit is not None:
        return _checked(explicit, "host", zookeeper)
    for name in VARIABLES:
        if host := environ.get(name, "").strip():
            return _checked(host, name, zookeeper)
    return _routed(zookeeper)


def _checked(host: str, source: str, zookeeper: str | None) -> str:
    try:
        check_host(host)
    except InvalidInstance as error:
        raise InvalidInstance(f"{source}: {error}") from None
    address = _address(host)
    if address is not None and address.is_unspecified:
        raise InvalidInstance(
            f"{source}: {host} is an address to listen on, and no client can connect to it: {_WHAT_TO_DO}"
        )
    if _is_loopback(host) and not _is_on_loopback(zookeeper):
        where = "at an unknown address" if zookeeper is None else f"at {zookeeper}"
        raise InvalidInstance(
            f"{source}: {host} is reachable from this machine alone, while ZooKeeper is {where}, so that clients on"
            f" other machines would get it: {_WHAT_TO_DO}"
        )
    return host


def _routed(zookeeper: str | None) -> str:
    """The address of the interface that routes to ZooKeeper, or else of the default route's."""
    targets = [] if zookeeper is None else _resolved(zookeeper)
    for target in targets:
        source = _source_towards(target)
        if source is not None and (_is_usable(source) or _is_loopback(target)):
            return source
    for target in _ANYWHERE:
        source = _source_towards(target)
        if source is not None and _is_usable(source):
            if zookeeper is not None:
                _log.info("advertising %s, of the default route: no route to ZooKeeper at %s", source, zookeeper)
            return source
    towards = "" if zookeeper is None else f" to ZooKeeper at {zookeeper}, nor one"
    raise InvalidInstance(f"this machine has no route{towards} to anywhere, so its address is unknown: {_WHAT_TO_DO}")


def _source_towards(target: str) -> str | None:
    """The own address that packets to `target` would carry; connecting a UDP socket sends none."""
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return None


def _resolved(host: str) -> list[str]:
    """The addresses of a host, best first; none if they can't be had within `RESOLVE_TIMEOUT`."""
    if _address(host) is not None:
        return [host]
    found: list[str] = []

    def resolve() -> None:
        # May take as long as the system's resolver likes, and can't be interrupted: hence on a thread of its own.
        try:
            answers = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError):
            return
        found.extend(str(address[0]) for _, _, _, _, address in answers)

    thread = threading.Thread(target=resolve, name="zkdiscovery-resolve", daemon=True)
    thread.start()
    thread.join(RESOLVE_TIMEOUT)
    return list(found)


def _host_of(peer: str) -> str:
    if peer.startswith("["):
        return peer[1:].partition("]")[0]
    if _address(peer) is not None:
        return peer
    host, _, port = peer.rpartition(":")
    return host or port


@functools.lru_cache(maxsize=64)  # a process that registers many instances has few hosts
def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_usable(host: str) -> bool:
    address = _address(host)
    link_local = isinstance(address, ipaddress.IPv6Address) and address.is_link_local  # needs the client's interface
    return address is not None and not (address.is_unspecified or address.is_loopback or link_local)


def _is_loopback(host: str) -> bool:
    address = _address(host)
    if address is None:
        name = host.lower().rstrip(".")
        return name == "localhost" or name.endswith(".localhost")  # RFC 6761
    return address.is_loopback or address.is_unspecified  # connecting to 0.0.0.0 reaches loopback


def _is_on_loopback(zookeeper: str | None) -> bool:
    if zookeeper is None:
        return False
    return _is_loopback(zookeeper) or any(_is_loopback(address) for address in _resolved(zookeeper))
