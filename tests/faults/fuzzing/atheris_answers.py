"""Coverage-guided fuzzing of what a server may answer, by hand: for as long as you let it run.

    pip install atheris
    python -m tests.faults.fuzzing.atheris_answers -max_total_time=600

It stops at the first answer that raises anything but ValueError, struct.error or, for a transaction, an error of ours.
"""

from __future__ import annotations

import struct
import sys

import atheris

with atheris.instrument_imports(include=["zkdiscovery"]):
    from zkdiscovery.errors import ZkDiscoveryError
    from zkdiscovery.session.requests import (
        CONTAINER,
        Check,
        Create,
        Delete,
        Exists,
        GetChildren,
        GetData,
        Multi,
        MultiRead,
        SetData,
    )

REQUESTS = (
    Create("/a", b"", ()),
    SetData("/a", b""),
    Exists("/a"),
    GetData("/a"),
    GetChildren("/a"),
    Multi([Create("/a", b"", ()), Create("/b", b"", (), CONTAINER), SetData("/c", b""), Check("/d"), Delete("/e")]),
    MultiRead(["/a", "/b", "/c"]),
)


def try_one(data: bytes) -> None:
    """One input: its first byte chooses the request."""
    if not data:
        return
    request = REQUESTS[data[0] % len(REQUESTS)]
    try:
        result = request.deserialize(data, 1)
    except (ValueError, struct.error):
        return
    except ZkDiscoveryError:
        assert isinstance(request, Multi)
        return
    if isinstance(request, Multi):
        assert len(result) == len(request.operations)
    if isinstance(request, MultiRead):
        assert len(result) == len(request.paths)
    if isinstance(request, GetChildren):
        assert all(isinstance(name, str) for name in result)


if __name__ == "__main__":
    atheris.Setup(sys.argv, try_one)
    atheris.Fuzz()
