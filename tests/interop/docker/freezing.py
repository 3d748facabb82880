"""Half-open connections, and events that are lost: a proxy in front of an engine's API."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self


class FreezingProxy:
    """A TCP proxy whose present connections can be left half-open: they stay, and nothing passes. New ones work.

    Attributes:
        drops_events: while it is set, streams of events stay open, and lose what the engine sends.
    """

    def __init__(self, target: str, listen: str = "127.0.0.1") -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server((listen, 0))
        self.address = f"{listen}:{self._listener.getsockname()[1]}"
        self._generation = 0
        self.drops_events = False
        self.dropped = 0  # pieces of streams
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self) -> None:
        """Let nothing pass on the present connections any more."""
        self._generation += 1

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
            except OSError:
                return
            self._sockets += [client, server]
            asked = threading.Event()  # this connection is a stream of events
            for source, sink in ((client, server), (server, client)):
                arguments = source, sink, asked, source is client, self._generation
                threading.Thread(target=self._pump, args=arguments, daemon=True).start()

    def _pump(
        self, source: socket.socket, sink: socket.socket, asked: threading.Event, from_client: bool, generation: int
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if from_client and b"/events?" in data:
                    asked.set()
                elif asked.is_set() and self.drops_events and not data.startswith(b"HTTP/"):
                    self.dropped += 1
                    continue
                if generation == self._generation:
                    sink.sendall(data)
            if generation == self._generation:
                sink.shutdown(socket.SHUT_WR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
