"""Records the answers of the ZooKeeper that is installed: `python -m tests.recorded`."""

from __future__ import annotations

import json
import struct
import time

from tests.recorded import REQUESTS, file_of
from zkdiscovery.session.requests import encode
from zkdiscovery.testing import zookeeper_server
from zkdiscovery.testing.wire import RawSession, four_letter_word

_LIMIT = 10.0  # seconds for each answer


def record() -> None:
    """Send all requests to a new server and keep what it sends."""
    with zookeeper_server(source="local") as server, RawSession(server.hosts) as session:
        frames = {
            name: _exchange(session, encode(request), xid)
            for xid, (name, request) in enumerate(REQUESTS.items(), start=1)
        }
        said = {"srvr": four_letter_word(server.hosts, "srvr"), "frames": frames}
        file_of(server.version).write_text(json.dumps(said, indent=1) + "\n")
        print("recorded", server.version)


def _exchange(session: RawSession, request: bytes, xid: int) -> list[str]:
    session._send(struct.pack(">i", xid) + request)
    came: list[bytes] = []
    while not came or struct.unpack_from(">i", came[-1]) != (xid,):
        came.append(session._receive(time.monotonic() + _LIMIT))
    return [frame.hex() for frame in came]


record()
