"""The part of a session that its leases, watches and reads need; they lie below it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

from zkdiscovery.session.care import Care
from zkdiscovery.session.requests import Request
from zkdiscovery.session.states import State, StateChange
from zkdiscovery.threads.worker import Worker


class Requester(Protocol):
    """A session; see there."""

    timeout: float  # seconds
    generation: int
    state: State
    care: Care
    maintenance: Worker

    def listen(self, listener: Callable[[StateChange], None]) -> None:
        """Call `listener` at each transition."""

    def submit(self, request: Request, *, deadline: float, generation: int | None = None) -> Future[Any]:
        """Send a request without waiting."""

    def result(self, future: Future[Any], request: Request, deadline: float, patience: float = 0.0) -> Any:
        """Wait for the answer of a submitted request."""
