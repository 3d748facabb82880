"""Readiness "listening": an instance is ready once its advertised port accepts connections.

Guarantees:
- Only the advertised host counts: a service that listens on 127.0.0.1 while it advertises another address is out of
  its clients' reach, and not ready. The log says so.
- Each connect takes at most a second, each pause ends at once when `stop` is set.

That the port accepts says that somebody listens there; it can't tell our own process from another one.
"""

from __future__ import annotations

import logging
import socket
import struct
import time
from typing import TYPE_CHECKING

from zkdiscovery.model import join_host_port

if TYPE_CHECKING:
    import threading

CONNECT_TIMEOUT = 1.0  # seconds for each connect
MAX_INTERVAL = 0.5  # seconds between two tries

_log = logging.getLogger("zkdiscovery.registration")


def wait_listening(
    host: str, port: int, stop: threading.Event, *, interval: float = 0.05, timeout: float | None = None
) -> bool:
    """Wait until a TCP port accepts connections. For a background thread.

    Args:
        host: the advertised host; a name is resolved at each try, for as long as the system's resolver takes.
        port: the advertised port.
        stop: ends the wait when set.
        interval: seconds before the second try; doubled from try to try, up to `MAX_INTERVAL`.
        timeout: seconds in all; None for no limit.

    Returns:
        True once a connection was accepted; False if `stop` was set or the time ran out before.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    pause = min(interval, MAX_INTERVAL)
    hint_given = False
    while not stop.is_set():
        limit = CONNECT_TIMEOUT if deadline is None else min(CONNECT_TIMEOUT, deadline - time.monotonic())
        if limit <= 0:
            return False
        if _accepts(host, port, limit):
            return True
        if pause >= MAX_INTERVAL and not hint_given:
            hint_given = True
            _hint(host, port)
        stop.wait(pause if deadline is None else max(0.0, min(pause, deadline - time.monotonic())))
        pause = min(pause * 2, MAX_INTERVAL)
    return False


def _accepts(host: str, port: int, limit: float) -> bool:
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


def _hint(host: str, port: int) -> None:
    where = join_host_port(host, port)
    if any(_accepts(loopback, port, CONNECT_TIMEOUT) for loopback in ("127.0.0.1", "::1")):
        _log.warning(
            "port %d accepts connections on loopback, but not at the advertised %s: not ready."
            " Let the service listen on 0.0.0.0, :: or the advertised address",
            port,
            where,
        )
    else:
        _log.info("nothing listens at %s yet: not ready", where)
