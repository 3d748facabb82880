"""Readiness "listening": an instance is ready once its program accepts connections at the listen port of this machine.

Guarantees:
- The advertised address is probed only if it is this machine's. A proxy elsewhere, such as that of a container's
  published port, accepts before the program does.
- A service that listens on 127.0.0.1 while it advertises another address is out of its clients' reach, and not ready,
  unless its listen port was given, because then a proxy may stand in front. The log says so.
- Nothing is resolved. Each connect takes at most a second.
- A port that opens within the first 5 s is seen within half a second. Later it is seen within a tenth of the time that
  it took, and within 5 s at most. So 2,000 ports that stay closed cost a few percent of a core.

That the port accepts says that somebody listens there; it can't tell our own process from another one.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress

from zkdiscovery.registration.address import is_address, is_loopback
from zkdiscovery.registration.interfaces import own_addresses
from zkdiscovery.threads import Worker
from zkdiscovery.validation import join_host_port

CONNECT_TIMEOUT = 1.0  # seconds for each connect
PROBE_TIMEOUT = 0.2  # seconds for a look at an address of our own
SILENT = 10.0  # seconds without anybody who listens that are worth a warning
FIRST_PAUSE = 0.05  # seconds between the first look and the second; doubles from look to look
STEADY_PAUSE = 0.5  # seconds; then the pause is
LATER_PAUSE = 0.1  # of the time waited so far, if that is more,
LONGEST_PAUSE = 5.0  # seconds at most

_LOOPBACK = ("127.0.0.1", "::1")

_log = logging.getLogger("zkdiscovery.registration")


class PortWatch:
    """Looks at a TCP port again and again until it accepts a connection.

    Each look is a task of a worker, so that many ports need no more threads than one.

    Args:
        worker: runs the looks.
        hosts: the addresses to try; one that accepts is enough.
        port: the port to try.
        on_listening: called once, on the worker, when a connection was accepted.
        on_silent: called once, on the worker, with the addresses in words, when nothing has listened for 10 s and no
            likelier cause was logged.
        advice: what to do if nothing listens; logged as a warning after the first second, once. "": nothing.

    Attributes:
        silence: that nothing listens, in words; "" in the first second, and once the port accepts.
    """

    def __init__(
        self,
        worker: Worker,
        hosts: Sequence[str],
        port: int,
        on_listening: Callable[[], object],
        on_silent: Callable[[str], object],
        advice: str,
    ) -> None:
        self._worker = worker
        self._hosts = hosts
        self._port = port
        self._on_listening = on_listening
        self._on_silent = on_silent
        self._advice = advice
        self._pause = FIRST_PAUSE
        self._waited = 0.0  # seconds
        self._warned = False
        self._closed = False
        self.silence = ""

    def begin(self) -> None:
        """Look now, and go on until the port accepts. Never blocks."""
        self._worker.schedule(self, self._look)

    def close(self) -> None:
        """Look no more. Never blocks; a look under way goes on."""
        self._closed = True
        self._worker.cancel(self)

    def _look(self) -> None:
        if any(accepts(host, self._port, CONNECT_TIMEOUT) for host in self._hosts if not self._closed):
            self.silence = ""
            self._on_listening()
            return
        if not self._warned and self._pause >= STEADY_PAUSE and (not self.silence or self._waited >= SILENT):
            self._warned = self._tell()
        if not self._closed:
            self._worker.schedule(self, self._look, self._pause)
        self._waited += self._pause
        self._pause = min(2 * self._pause, max(STEADY_PAUSE, LATER_PAUSE * self._waited), LONGEST_PAUSE)

    def _tell(self) -> bool:
        """Log why it is not ready; True if that was a warning."""
        where = " or ".join(join_host_port(host, self._port) for host in self._hosts)
        first, self.silence = not self.silence, f"nothing listens at {where}"
        if any(accepts(loopback, self._port, CONNECT_TIMEOUT) for loopback in _LOOPBACK):
            _log.warning(
                "port %d accepts connections on loopback, but not at the advertised %s: not ready."
                " Let the service listen on 0.0.0.0, :: or the advertised address",
                self._port,
                where,
            )
        elif self._advice:
            _log.warning("nothing listens at %s yet: not ready. %s", where, self._advice)
        elif first:
            _log.info("nothing listens at %s yet: not ready", where)
            return False
        else:
            self._on_silent(where)
        return True


def local_addresses(host: str, *, proxied: bool) -> list[str]:
    """Return where the program behind an advertised host may listen on this machine, the likeliest first.

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
    """Return whether a TCP port accepts a connection within `limit` seconds."""
    try:
        hang_up(open_connection(host, port, limit))
    except (OSError, UnicodeError):  # the latter for a name that can't be one
        return False
    return True


def open_connection(host: str, port: int, limit: float) -> socket.socket:
    """Return a connection to a TCP port.

    Raises:
        OSError: there is none within `limit` seconds.
    """
    # Not create_connection: that asks the resolver even about addresses, which takes half of the time.
    connection = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        connection.settimeout(limit)
        connection.connect((host, port))
        if connection.getsockname() == connection.getpeername():
            # A closed port within the range of ephemeral ports can be given to the probe itself, which then talks
            # to itself. Reset, because TIME_WAIT would keep the service from binding its port.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
    except BaseException:
        connection.close()
        raise
    return connection


def hang_up(connection: socket.socket) -> None:
    """Close a connection for both sides, although a process that was forked meanwhile has its descriptor as well."""
    with connection, suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
