"""How many small requests are under way at once: a client may have 20,000 that wait, of all kinds together."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from typing import Any, cast

from zkdiscovery.session import Exists, ReadLimits, Session, pipelined
from zkdiscovery.session.care import Care
from zkdiscovery.session.transport.channel import MAX_OUTSTANDING


class Server:
    """Answers when it is waited for, and never before."""

    def __init__(self) -> None:
        self.care = Care()
        self.most = 0
        self._asked: deque[object] = deque()

    def submit(self, request: object, **_: object) -> Future[Any]:
        self._asked.append(request)
        self.most = max(self.most, len(self._asked))
        return Future()

    def result(self, _future: object, request: object, *_: object) -> None:
        assert self._asked.popleft() is request


def test_small_requests_leave_room_for_those_of_others() -> None:
    server = Server()
    looks = [Exists(f"/services/payments/{number}") for number in range(MAX_OUTSTANDING + 5000)]
    answered = [look for look, _ in pipelined(cast("Session", server), looks, ReadLimits(1, 0.0), size=0.0)]
    assert answered == looks
    assert server.most <= MAX_OUTSTANDING / 10
