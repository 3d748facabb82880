"""Ask one server how it is (`srvr`), outside any session."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import time
from typing import NamedTuple


class ServerInfo(NamedTuple):
    """What a server says of itself.

    Attributes:
        version: e.g. `3.8.0`; "" if it does not say (the command may not be on its whitelist).
        mode: `leader`, `follower`, `observer`, `standalone`, or "".
        zxid: last transaction seen; None if it does not say.
        latency: seconds that the question took.
        text: the whole answer.
    """

    version: str
    mode: str
    zxid: int | None
    latency: float
    text: str


def probe_server(host: str, port: int, *, timeout: float = 1.0, context: ssl.SSLContext | None = None) -> ServerInfo:
    """Connect, send `srvr`, read the answer; `timeout` in seconds bounds the whole.

    Raises:
        OSError: no connection, no answer in time, or no TLS.
    """
    start = time.monotonic()
    end = start + timeout
    with contextlib.ExitStack() as stack:
        sock = stack.enter_context(socket.create_connection((host, port), timeout=timeout))
        if context:
            sock = stack.enter_context(context.wrap_socket(sock, server_hostname=host))
        sock.sendall(b"srvr")
        chunks = bytearray()
        while len(chunks) < 64 * 1024:
            sock.settimeout(max(0.001, end - time.monotonic()))
            chunk = sock.recv(4096)
            if not chunk:
                break
            chunks += chunk
    text = chunks.decode("utf-8", "replace")

    def find(pattern: str) -> str:
        match = re.search(pattern, text)
        return match.group(1) if match else ""

    zxid = find(r"Zxid: 0x([0-9a-fA-F]+)")
    return ServerInfo(
        version=find(r"Zookeeper version: ([0-9][0-9.]*)"),
        mode=find(r"Mode: (\w+)"),
        zxid=int(zxid, 16) if zxid else None,
        latency=time.monotonic() - start,
        text=text,
    )
