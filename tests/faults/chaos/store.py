"""A store that checks fences: it keeps the largest one for each election or lock, and refuses smaller ones.

One thread for each connection; a write is decided and logged under one lock, so that the log is in order.
"""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import threading
from typing import Any, Self

from tests.faults.chaos.history import History, now


class FencedStore:
    """A server on a free port of 127.0.0.1; a request is a line of JSON, and so is the answer."""

    def __init__(self, history: History) -> None:
        self.history = history
        self._lock = threading.Lock()
        self._largest: dict[str, int] = {}
        store = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError, ValueError):
                    for line in self.rfile:
                        self.wfile.write(json.dumps(store._write(json.loads(line))).encode() + b"\n")

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.5,), name="fenced-store", daemon=True).start()

    def _write(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            largest = self._largest.get(request["of"], 0)
            accepted = request["fence"] >= largest
            if accepted:
                self._largest[request["of"]] = request["fence"]
            self.history.write("write", **request, accepted=accepted, largest=largest)
        return {"accepted": accepted}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class StoreClient:
    """A worker's connection to the store, used by one thread."""

    LIMIT = 1.0  # seconds for one write

    def __init__(self, port: int, who: str) -> None:
        self._port, self._who = port, who
        self._socket: socket.socket | None = None

    def write(self, of: str, fence: int, number: int, checked: float) -> bool | None:
        """Write as the holder; `checked` is when the hold was looked at last. None: the store did not answer."""
        request = {"by": self._who, "of": of, "fence": fence, "n": number, "checked": checked, "sent": now()}
        try:
            if self._socket is None:
                self._socket = socket.create_connection(("127.0.0.1", self._port), self.LIMIT)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n"):
                part = self._socket.recv(4096)
                if not part:
                    raise ConnectionError("the store hung up")
                answer += part
        except OSError:
            if self._socket is not None:
                self._socket.close()
                self._socket = None
            return None
        accepted: bool = json.loads(answer)["accepted"]
        return accepted
