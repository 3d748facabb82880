"""The same for WSGI: `/` answers at once, `/slow?seconds=2` late."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

from tests.faults.servers.paying import marked_slow


def app(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Answer, late if that is wanted."""
    if environ["PATH_INFO"] == "/slow":
        with marked_slow():
            time.sleep(float(parse_qs(environ["QUERY_STRING"])["seconds"][0]))
    answer = f"paid by {os.getpid()}".encode()
    start_response("200 OK", [("Content-Length", str(len(answer)))])
    return [answer]
