"""Readiness "listening": an instance is ready once its program accepts connections at the listen port of this machine.

Guarantees:
- The advertised address is probed only if it is this machine's. A proxy elsewhere, such as that of a container's
  published port, accepts before the program does.
- A service that listens on 127.0.0.1 while it advertises another address is out of its clients' reach, and not ready,
  unless its listen port was given, because then a proxy may stand in front. The log says so.
- Nothing is resolved. Each connect takes at most a second, each pause ends at once when `stop` is set.

That the port accepts says that somebody listens there; it can't tell our own process from another one.
"""

from __future__ import annotations

import logging
import socket
import struct
import time
from typing import TYPE_CHECKING

from zkdiscovery.registration.address import is_address, is_loopback
from zkdiscovery.registration.interfaces import own_addresses
from zkdiscovery.validation import join_host_port

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

CONNECT_TIMEOUT = 1.0  # seconds for each connect
PROBE_TIMEOUT = 0.2  # seconds for a look at an address of our own
MAX_INTERVAL = 0.5  # seconds between two tries

_LOOPBACK = ("127.0.0.1", "::1")

_log = logging.getLogger("zkdiscovery.registration")


def wait_listening(
    host: str,
    port: int,
    stop: threading.Event,
    *,
    others: Sequence[str] = (),
    advice: str = "",
    interval: float = 0.05,
    timeout: float | None = None,
) -> bool:
    """Wait until a TCP port accepts connections. For a background thread.

    Args:
        host: the address to try.
        port: the port to try.
        stop: ends the wait when set.
        others: further addresses; one that accepts is enough.
        advice: what to do if nothing listens; logged as a warning after the first second, once.
        interval: seconds before the second try; doubled from try to try, up to `MAX_INTERVAL`.
        timeout: seconds in all; None for no limit.

    Returns:
        True once a connection was accepted; False if `stop` was set or the time ran out before.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    pause = min(interval, MAX_INTERVAL)
    hint_given = False
    while not stop.is_set():
        for each in (host, *others):
            limit = CONNECT_TIMEOUT if deadline is None else min(CONNECT_TIMEOUT, deadline - time.monotonic())
            if limit <= 0:
                return False
            if accepts(each, port, limit):
                return True
        if pause >= MAX_INTERVAL and not hint_given:
            hint_given = True
            _hint((host, *others), port, advice)
        stop.wait(pause if deadline is None else max(0.0, min(pause, deadline - time.monotonic())))
        pause = min(pause * 2, MAX_INTERVAL)
    return False


def local_addresses(host: str, *, proxied: bool) -> list[str]:
    """Where the program behind an advertised host may listen on this machine, the likeliest first.

    Args:
        host: the advertised host.
        proxied: True if the listen port was given, so that something in front may forward to loopback.
    """
    if is_loopback(host):
        return [host] if is_address(host) else list(_LOOPBACK)
    try:
        own = [address.host for address in own_addresses() if not is_loopback(address.host)]
    except OSError as error:
        _log.warning("this machine does not tell its addresses (%s): the advertised %s is probed", error, host)
        own = [host]
    # IPv6 addresses of one interface are left out: the kernel wants to know which.
    found = [host] if host in own else [each for each in own if not each.startswith("fe80:")]
    if not found or proxied:
        found += _LOOPBACK
    return found


def accepts(host: str, port: int, limit: float) -> bool:
    """Does a TCP port accept a connection within `limit` seconds?"""
    try:
        with socket.create_connection((host, port), timeout=limit) as connection:
            if connection.getsockname() != connection.getpeername():
                return True
            # A closed port within the range of ephemeral ports can be given to the probe itself, which then talks
            # to itself. Reset, for TIME_WAIT would keep the service from binding its port.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except (OSError, UnicodeError):  # the latter for a name that can't be one
        pass
    return False


def _hint(hosts: Sequence[str], port: int, advice: str) -> None:
    where = " or ".join(join_host_port(host, port) for host in hosts)
    if any(accepts(loopback, port, CONNECT_TIMEOUT) for loopback in _LOOPBACK):
        _log.warning(
            "port %d accepts connections on loopback, but not at the advertised %s: not ready."
            " Let the service listen on 0.0.0.0, :: or the advertised address",
            port,
            where,
        )
    elif advice:
        _log.warning("nothing listens at %s yet: not ready. %s", where, advice)
    else:
        _log.info("nothing listens at %s yet: not ready", where)
