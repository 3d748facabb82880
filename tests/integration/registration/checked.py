"""A service whose health a test decides, and an instance whose health is checked."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

from tests.integration.registration.helpers import path_of, wait_stored
from tests.support import LIMIT, Truth
from zkdiscovery import (
    Client,
    HttpCheck,
    Registration,
    Status,
)

FAST: dict[str, Any] = {"interval": 0.02, "timeout": 5.0, "failure_threshold": 2, "success_threshold": 2, "grace": 0.0}
BROKEN = "HTTP/1.1 503 Service Unavailable"
FINE = "HTTP/1.1 204 No Content"


class Service:
    """A server of HTTP on a real port, whose answers a test decides; None: it accepts, and says nothing.

    Attributes:
        port: its port.
        answers: how often it was asked.
    """

    def __init__(self, answer: Callable[[int], str | None] = lambda _: FINE) -> None:
        self.answer = answer
        self.answers = 0
        self._held: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def says(self, answer: str | None) -> None:
        """Answer so from now on."""
        self.answer = lambda _: answer

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            answer = self.answer(self.answers)
            self.answers += 1
            if answer is None:
                self._held.append(connection)
                continue
            with connection:
                if connection.recv(65_536):
                    connection.sendall(f"{answer}\r\nContent-Length: 0\r\n\r\n".encode())

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()
        for connection in self._held:
            connection.close()


def check(**options: Any) -> HttpCheck:
    return HttpCheck("/ready", **{**FAST, **options})


def register(client: Client, service: Service, *given: Any, **options: Any) -> Registration:
    return client.register(
        "payments", service.port, host="127.0.0.1", id="a", checks=given or [check()], **options
    ).wait_registered(LIMIT)


def wait_status(truth: Truth, registration: Registration, status: Status) -> None:
    wait_stored(truth, path_of(registration), lambda instance: instance.status is status)
