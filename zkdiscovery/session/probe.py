"""Ask one server for its state (`srvr`) and its configuration (`conf`), outside any session."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import time
from typing import NamedTuple


class ServerInfo(NamedTuple):
    """A server's answer about itself.

    Attributes:
        version: such as `3.8.0`; "" if it does not say (its whitelist may lack the command).
        mode: `leader`, `follower`, `observer`, `standalone`, or "".
        zxid: last transaction seen; None if it does not say.
        latency: seconds until the answer came.
        text: the whole answer, made printable, with 200 characters of each line, because anybody may have sent it.
    """

    version: str
    mode: str
    zxid: int | None
    latency: float
    text: str


def probe_server(
    host: str, port: int, *, timeout: float, context: ssl.SSLContext | None = None, name: str | None = None
) -> ServerInfo:
    """Connect, send `srvr`, read the answer.

    Args:
        host: address of the server, or its name; resolving a name has no time limit.
        port: its port.
        timeout: seconds for everything but the resolving.
        context: the TLS context; None for plain TCP.
        name: what its certificate must name; None: `host`.

    Raises:
        OSError: no connection, no answer in time, or a failure of TLS.
    """
    start = time.monotonic()
    text = _ask(b"srvr", host, port, timeout, context, name)

    def find(pattern: str) -> str:
        match = re.search(pattern, text)
        return match.group(1) if match else ""

    zxid = find(r"Zxid: 0x([0-9a-fA-F]{1,16})\b")
    return ServerInfo(
        version=find(r"Zookeeper version: ([0-9]{1,6}(?:\.[0-9]{1,6})*)"),
        mode=find(r"Mode: (\w+)"),
        zxid=int(zxid, 16) if zxid else None,
        latency=time.monotonic() - start,
        text=text,
    )


def probe_tick(
    host: str, port: int, *, timeout: float, context: ssl.SSLContext | None = None, name: str | None = None
) -> float | None:
    """Ask a server for the seconds of its tick (`conf`); None if it does not tell: most servers forbid the command.

    Arguments and errors are those of `probe_server`.
    """
    found = re.search(r"^tickTime=([0-9]{1,9})$", _ask(b"conf", host, port, timeout, context, name), re.MULTILINE)
    return int(found[1]) / 1000.0 if found else None


def _ask(word: bytes, host: str, port: int, timeout: float, context: ssl.SSLContext | None, name: str | None) -> str:
    """Send a word of four letters. Returns the answer, with each line made printable."""
    end = time.monotonic() + timeout
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(socket.create_connection((host, port), timeout=timeout))
        if context:
            sock.settimeout(_left(end))
            sock = stack.enter_context(context.wrap_socket(sock, server_hostname=name or host))
        sock.settimeout(_left(end))
        sock.sendall(word)
        chunks = bytearray()
        while len(chunks) < 64 * 1024:
            sock.settimeout(_left(end))
            chunk = sock.recv(4096)
            if not chunk:
                break
            chunks += chunk
    return "\n".join(repr(line[:200])[1:-1] for line in chunks.decode("utf-8", "replace").splitlines())


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:  # otherwise a server that sends a byte now and then would take forever
        raise TimeoutError("timed out")
    return left
