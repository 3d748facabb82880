"""The part of a session that sends requests and waits for their answers."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, Protocol

from zkdiscovery.session.care import Care
from zkdiscovery.session.requests import Request


class Requester(Protocol):
    """A session; see there."""

    care: Care

    def submit(self, request: Request, *, deadline: float, generation: int | None = None) -> Future[Any]:
        """Send a request without waiting."""

    def result(self, future: Future[Any], request: Request, deadline: float, patience: float = 0.0) -> Any:
        """Wait for the answer of a submitted request."""
