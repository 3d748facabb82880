"""TCP ports of 127.0.0.1: a free one, one that is kept, one that is asked for."""

from __future__ import annotations

import random
import socket
import sys

from zkdiscovery.errors import NoServerForTests


def free_port() -> int:
    """A free TCP port on 127.0.0.1, from 15000 to 31999.

    That is below the ephemeral ranges of Linux (32768 and more) and macOS (49152 and more): while a server is down,
    no outgoing connection can take its port, a reconnecting client's own included.
    """
    for _ in range(1000):
        port = random.randrange(15000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise NoServerForTests("no free TCP port on 127.0.0.1 from 15000 to 31999")


def hold_port(port: int) -> socket.socket | None:
    """Reserve a port for a server that starts and stops on it, until the socket is closed.

    The socket is bound and never listens: connections are refused as without it. On Linux a server that asks for
    SO_REUSEADDR, as ZooKeeper does, may listen all the same. None: not on this system, or somebody was faster.
    """
    if not sys.platform.startswith("linux"):
        return None
    held = socket.socket()
    try:
        held.bind(("127.0.0.1", port))
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # afterwards: the binding was exclusive
    except OSError:
        held.close()
        return None
    return held


def check_port(port: int) -> None:
    """Refuse a TCP port that can't be had on 127.0.0.1; one whose last connections linger (TIME_WAIT) can.

    Raises:
        NoServerForTests: it is taken, or reserved.
        ValueError: it is no port.
    """
    if not 1 <= port <= 65535:
        raise ValueError(f"port must be a number from 1 to 65535: got {port}")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise NoServerForTests(f"the port {port} of 127.0.0.1 can't be had ({error}); choose another") from None
