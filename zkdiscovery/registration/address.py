"""The address that an instance advertises: what clients on other machines can reach.

It is what `host=`, `ZKDISCOVERY_ADVERTISE_HOST` or `POD_IP` say, in this order. Each holds a name or an address, an
interface (`if:eth1`) or a network (`10.0.0.0/8`). If none says anything, it is the address of the interface that leads
to ZooKeeper, or else that of the default route's.

Guarantees:
- Nothing is resolved and no packet is sent: the caller says what it knows of ZooKeeper's addresses.
- An address that only this machine can use is never chosen (loopback, 0.0.0.0, ::, IPv6 link-local). Loopback is the
  exception where *all* ZooKeeper hosts are on loopback: then all clients are on this machine.
- IPv4 is preferred. The IPv6 address of the same interface is named with it, for a program that listens there alone.
"""

from __future__ import annotations

import functools
import ipaddress
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from zkdiscovery.errors import InvalidInstance
from zkdiscovery.registration.interfaces import OwnAddress
from zkdiscovery.validation import check_host

VARIABLES = ("ZKDISCOVERY_ADVERTISE_HOST", "POD_IP")  # of the environment, in this order
LISTEN_PORT = "ZKDISCOVERY_LISTEN_PORT"

_INTERFACE = "if:"
_WHAT_TO_DO = (
    f"give host=, or set {VARIABLES[0]}, to a name or an address of this machine that clients can reach, to an"
    " interface ('if:eth1') or to a network ('10.0.0.0/8')"
)
# Addresses kept for documentation (RFC 5737, RFC 3849): no host has them, so they lie beyond the default route.
_ANYWHERE = ("192.0.2.1", "2001:db8::1")

Servers = Mapping[str, Sequence[str]]  # ZooKeeper's hosts, each with the addresses known of it; empty: not resolved


class Given(NamedTuple):
    """The rule or the address that was given.

    Attributes:
        text: a name or address, an interface or a network; "": nothing was said.
        source: who said it, for messages: `host`, or a variable's name.
    """

    text: str = ""
    source: str = ""

    @property
    def is_rule(self) -> bool:
        """Must this machine's interfaces be looked at?"""
        return not self.text or self.text.startswith(_INTERFACE) or "/" in self.text


class Choice(NamedTuple):
    """The address to advertise.

    Attributes:
        host: a name or an address.
        why: the reason, for the log and `doctor`.
        other: the IPv6 address to take instead, if the program listens on IPv6 alone; None if there is none.
        competing: interfaces that could have been meant as well, as `eth1 (172.18.0.3)`.
        vague: nothing that is known of ZooKeeper has led to it.
    """

    host: str
    why: str
    other: str | None = None
    competing: tuple[str, ...] = ()
    vague: bool = False


def given_host(explicit: str | None, environ: Mapping[str, str] = os.environ) -> Given:
    """Return what was said about the address, checked as far as that needs no look at the machine.

    Raises:
        InvalidInstance: it is no host, interface or network, or an address to listen on.
    """
    if explicit is not None:
        return _checked(Given(explicit, "host"))
    for name in VARIABLES:
        if text := environ.get(name, "").strip():
            return _checked(Given(text, name))
    return Given()


def given_listen_port(explicit: int | None, environ: Mapping[str, str] = os.environ) -> int | None:
    """The port at which the program listens, if it was said.

    Raises:
        InvalidInstance: it is no port.
    """
    source, value = "listen_port", explicit
    if explicit is None:
        text = environ.get(LISTEN_PORT, "").strip()
        if not text:
            return None
        source, value = LISTEN_PORT, int(text) if text.isdecimal() and text.isascii() else None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65535:
        shown = explicit if explicit is not None else text
        raise InvalidInstance(f"{source} must be an integer from 1 to 65535: got {shown!r}")
    return value


def settled(given: Given, servers: Servers) -> str | None:
    """The host to advertise, if what was given is all that counts; None if the machine must be looked at.

    Raises:
        InvalidInstance: it is loopback, while a ZooKeeper host is elsewhere.
    """
    if given.is_rule:
        return None
    if not is_loopback(given.text):
        return given.text
    local = on_loopback(servers)
    if local is None:
        return None
    _refuse_loopback(given.text, given.source, servers, local=local)
    return given.text


def forecast(given: Given, servers: Servers) -> str:
    """Return what `choose` will most likely choose, by the routing table alone; or else this machine's name."""
    if not given.is_rule:
        return given.text
    local = on_loopback(servers) is True
    for target in (*_known(servers), *_ANYWHERE):
        source = source_towards(target)
        if source is not None and _serves(source, local=local):
            return source
    return socket.gethostname()


def choose(given: Given, servers: Servers, own: Sequence[OwnAddress]) -> Choice:
    """The host to advertise.

    Args:
        given: what was said.
        servers: ZooKeeper's hosts; one whose addresses are not known counts as one on another machine.
        own: the addresses of this machine; empty if the system does not tell.

    Raises:
        InvalidInstance: nothing that clients can reach answers to what was said.
    """
    local = on_loopback(servers) is True
    if not given.is_rule:
        if is_loopback(given.text):
            _refuse_loopback(given.text, given.source, servers, local=local)
        return Choice(given.text, given.source)
    usable = [address for address in own if _serves(address.host, local=local)]
    if given.text:
        return _matching(given, usable, own)
    return _routed(servers, usable, local=local)


def _matching(given: Given, usable: Sequence[OwnAddress], own: Sequence[OwnAddress]) -> Choice:
    """The address of the interface, or in the network, that was given."""
    if given.text.startswith(_INTERFACE):
        name = given.text.removeprefix(_INTERFACE)
        matching = [address for address in usable if address.interface == name]
    else:
        network = ipaddress.ip_network(given.text)
        matching = [address for address in usable if _address(address.host) in network]
    if not matching:
        raise InvalidInstance(
            f"{given.source}: this machine has no address of {given.text!r} that clients can reach; it has"
            f" {_listed(own) or 'none that can be seen'}"
        )
    first = _ipv4_first(matching)[0]
    competing = () if given.text.startswith(_INTERFACE) else _others(matching, first)
    return Choice(first.host, f"{given.source}={given.text}", _ipv6_beside(first, matching), competing)


def _routed(servers: Servers, usable: Sequence[OwnAddress], *, local: bool) -> Choice:
    """The address of the interface that leads to ZooKeeper, or else of the default route's."""
    why = "of the interface that leads to ZooKeeper"
    found = _sources(_known(servers), local=local)
    vague = not found
    if not found:
        why = "of the default route, because no known address of ZooKeeper leads to one that clients can reach"
        found = _sources(_ANYWHERE, local=local)
    if not found and usable:
        why = "of this machine, because no route leads to ZooKeeper or anywhere else"
        found = [_ipv4_first(usable)[0].host]
    if not found:
        raise InvalidInstance(
            f"this machine has no route to ZooKeeper at {', '.join(servers) or 'an unknown address'}, nor one to"
            f" anywhere, so its address is unknown: {_WHAT_TO_DO}"
        )
    host = _ipv4_first([OwnAddress("", each, carries=True) for each in found])[0].host
    interface = next((address.interface for address in usable if address.host == host), "")
    beside = [address for address in usable if address.interface == interface]
    if ":" in host and beside:
        host = _ipv4_first(beside)[0].host
    chosen = OwnAddress(interface, host, carries=True)
    carrying = [address for address in usable if address.carries]
    return Choice(
        host,
        f"{why}, {interface}" if interface else why,
        next((each for each in found if ":" in each and each != host), None) or _ipv6_beside(chosen, beside),
        () if local else _others(carrying, chosen),
        vague,
    )


def _sources(targets: Iterable[str], *, local: bool) -> list[str]:
    sources = (source_towards(target) for target in targets)
    return [source for source in dict.fromkeys(sources) if source is not None and _serves(source, local=local)]


def _known(servers: Servers) -> list[str]:
    return [address for name, addresses in servers.items() for address in addresses or _by_name(name)]


def _by_name(name: str) -> tuple[str, ...]:
    """Return what a name stands for if nobody has resolved it."""
    return ("127.0.0.1",) if is_loopback(name) else ()


def _ipv4_first(addresses: Sequence[OwnAddress]) -> list[OwnAddress]:
    return sorted(addresses, key=lambda address: ":" in address.host)  # stable


def _ipv6_beside(chosen: OwnAddress, addresses: Iterable[OwnAddress]) -> str | None:
    """The IPv6 address of the interface of an IPv4 address."""
    if ":" in chosen.host:
        return None
    beside = (each.host for each in addresses if each.interface == chosen.interface and ":" in each.host)
    return next(beside, None)


def _others(addresses: Iterable[OwnAddress], chosen: OwnAddress) -> tuple[str, ...]:
    """Other interfaces that have such addresses, each with its first one."""
    first: dict[str, str] = {}
    for each in addresses:
        first.setdefault(each.interface, each.host)
    first.pop(chosen.interface, None)
    return tuple(f"{interface} ({host})" for interface, host in first.items())


def _listed(addresses: Iterable[OwnAddress]) -> str:
    return ", ".join(f"{each.interface} ({each.host})" for each in addresses)


def _checked(given: Given) -> Given:
    source = given.source
    text: object = given.text  # whatever people give
    if isinstance(text, str) and text.startswith(_INTERFACE):
        if not text.removeprefix(_INTERFACE).strip():
            raise InvalidInstance(f"{source}: host must name an interface after 'if:', as in 'if:eth1': got {text!r}")
        return given
    if isinstance(text, str) and "/" in text and "//" not in text:
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            raise InvalidInstance(
                f"{source}: host must be a name, an address, an interface ('if:eth1') or a network ('10.0.0.0/8'):"
                f" {error}"
            ) from None
        return given
    try:
        check_host(text)
    except InvalidInstance as error:
        raise InvalidInstance(f"{source}: {error}") from None
    address = _address(given.text)
    if address is not None and address.is_unspecified:
        raise InvalidInstance(
            f"{source}: {text} is an address to listen on, and no client can connect to it: {_WHAT_TO_DO}"
        )
    return given


def _refuse_loopback(host: str, source: str, servers: Servers, *, local: bool) -> None:
    if not local:
        elsewhere = [
            name for name, addresses in servers.items() if not addresses or not all(map(is_loopback, addresses))
        ]
        where = f"at {', '.join(elsewhere)}" if elsewhere else "at an unknown address"
        raise InvalidInstance(
            f"{source}: {host} is reachable from this machine alone, while ZooKeeper is {where}, so that clients on"
            f" other machines would get it: {_WHAT_TO_DO}"
        )


def source_towards(target: str) -> str | None:
    """The own address that packets to `target` would carry; connecting a UDP socket sends none."""
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return None


def on_loopback(servers: Servers) -> bool | None:
    """Are all ZooKeeper hosts on loopback? None while that is not known."""
    if any(not is_loopback(address) for address in _known(servers)):
        return False
    return bool(servers) if all(addresses or _by_name(name) for name, addresses in servers.items()) else None


def is_loopback(host: str) -> bool:
    """Does only this machine reach it? By name and address alone."""
    address = _address(host)
    if address is None:
        name = host.lower().rstrip(".")
        return name == "localhost" or name.endswith(".localhost")  # RFC 6761
    return address.is_loopback or address.is_unspecified  # connecting to 0.0.0.0 reaches loopback


def is_address(host: str) -> bool:
    """Is it an address, and no name?"""
    return _address(host) is not None


def _serves(host: str, *, local: bool) -> bool:
    """May it be advertised?"""
    address = _address(host)
    if address is None or address.is_unspecified or (address.version == 6 and address.is_link_local):
        return False  # a link-local address needs the client's interface
    return local if address.is_loopback else True


@functools.lru_cache(maxsize=256)
def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
