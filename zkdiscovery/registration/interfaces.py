"""The addresses of this machine's network interfaces, by the C library's `getifaddrs`. Linux and macOS."""

from __future__ import annotations

import ctypes
import ipaddress
import socket
import sys
from pathlib import Path
from typing import Any, NamedTuple

_UP, _LOOPBACK, _RUNNING = 0x1, 0x8, 0x40  # flags of an interface, the same on Linux and macOS
_DARWIN = sys.platform == "darwin"


class OwnAddress(NamedTuple):
    """One address of an interface that is up.

    Attributes:
        interface: name of the interface.
        host: the address, without the interface that a link-local address needs.
        carries: it may lead to other machines: no loopback, no bridge, and it has a carrier.
    """

    interface: str
    host: str
    carries: bool


class _Interface(ctypes.Structure):
    pass


_Interface._fields_ = [
    ("next", ctypes.POINTER(_Interface)),
    ("name", ctypes.c_char_p),
    ("flags", ctypes.c_uint),
    ("address", ctypes.c_void_p),
    ("netmask", ctypes.c_void_p),
    ("other", ctypes.c_void_p),
    ("data", ctypes.c_void_p),
]


def own_addresses() -> list[OwnAddress]:
    """All IPv4 and IPv6 addresses of interfaces that are up, in the system's order.

    Raises:
        OSError: the system does not tell.
    """
    library = ctypes.CDLL(None, use_errno=True)
    first = ctypes.POINTER(_Interface)()
    if library.getifaddrs(ctypes.byref(first)) != 0:
        raise OSError(ctypes.get_errno(), "getifaddrs failed")
    try:
        found = []
        entry: Any = first  # a pointer, false if it is null
        while entry:
            interface = entry.contents
            if interface.flags & _UP and (host := _host(interface.address)):
                name = interface.name.decode(errors="replace")
                carries = bool(interface.flags & _RUNNING) and not interface.flags & _LOOPBACK and not _is_bridge(name)
                found.append(OwnAddress(name, host, carries))
            entry = interface.next
        return found
    finally:
        library.freeifaddrs(first)


def _host(address: int | None) -> str | None:
    if not address:
        return None
    family = ctypes.c_uint16.from_address(address).value
    if _DARWIN:
        family >>= 8  # the length comes first, in a byte of its own
    # In both families the address follows at the same offset on Linux and on macOS.
    if family == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, ctypes.string_at(address + 4, 4))
    if family == socket.AF_INET6:
        raw = bytearray(ctypes.string_at(address + 8, 16))
        if ipaddress.IPv6Address(bytes(raw)).is_link_local:
            raw[2:4] = b"\0\0"  # where BSD's kernels keep the interface
        return socket.inet_ntop(socket.AF_INET6, bytes(raw))
    return None


def _is_bridge(name: str) -> bool:
    """Is it a bridge of Linux, such as docker0, which joins the containers of this machine?"""
    return Path(f"/sys/class/net/{name}/bridge").is_dir()
