"""The choice of the server to try next, and for how long.

T is the session timeout that the server granted, or the one asked for before the first grant. A lease lasts for at
least 0.5 T when the connection breaks, and a blip of 0.4 T must end none, although one of three servers says nothing.
So three things have to fit into the rest, T/10: the end of the attempt or pause that is under way when the blip ends,
the discovery that another server is silent, and the connection to a third. Each of the first two takes at most T/30.

- An attempt lasts from the connect to the end of the handshake. While it may save a lease, which is for T/2 from the
  break, it is given up after T/30. After a round of silences it may take twice as long as the latest handshake took, if
  that is more: the network may be slow.
- Without a session there is nothing to save. An attempt is given up after T/10. A later answer would leave a session
  behind that nobody uses, so the limit is no shorter.
- A slow ensemble must be reachable. After each round of silences the limit doubles, up to T: without a session at once,
  with one after T/2.
- Pauses between rounds grow. A single address has no silent neighbour to allow for, so its pauses grow to T/20, and a
  server that restarts is asked less often by all of its clients.
- A server that was silent lately is tried after the others, at most one of them in a round. While the others answer,
  even by a refusal, it gets a third of the time.

The limits are counted by addresses, not by names. All methods run on the connection thread.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from zkdiscovery.session.resolver import Address, Resolver

ATTEMPT = 1 / 30  # of T; an attempt while the session may be saved
FIRST_ATTEMPT = 1 / 10  # of T; an attempt without a session
HURRY = 1 / 2  # of T; from the break, the session may be saved
LATELY = 10  # times T; for so long a silent server is tried last
FIRST_PAUSE = 0.05  # seconds between two rounds
MAX_PAUSE = 2.0  # seconds
PAUSE = 1 / 30  # of T; at most
LONE_PAUSE = 1 / 20  # of T; at most, where one address is known


class Servers:
    """The plan of rounds over all known addresses, and the limit of each attempt."""

    def __init__(self, resolver: Resolver, timeout: Callable[[], float], connect_timeout: float) -> None:
        self.resolver = resolver
        self._timeout = timeout  # T
        self._connect_timeout = connect_timeout
        self._silent: dict[Address, float] = {}  # monotonic seconds; when a server was last found silent
        self._silences = 0  # attempts without an answer since the latest success
        self._hurried = 0  # those of them while the session could be saved
        self._handshake = 0.0  # seconds that the latest successful attempt took
        self._broke = float("-inf")  # monotonic seconds; when the latest connection broke
        self._round_began = 0.0  # monotonic seconds
        self._pauses = 0  # since the latest success
        self._began = 0.0  # monotonic seconds; when the latest attempt began
        self._limit = 0.0  # seconds that it may take
        self._saves = False  # it may save a session

    def round(self) -> list[Address]:
        """Choose the addresses to try now, in this order."""
        now = self._round_began = time.monotonic()
        known = self.resolver.addresses()
        since = now - LATELY * self._timeout()
        self._silent = {address: at for address, at in self._silent.items() if at > since and address in known}
        plan = [address for address in known if address not in self._silent]
        random.shuffle(plan)
        if self._silent and (not plan or now >= max(self._silent.values()) + 2 * self._limit):
            plan.append(min(self._silent, key=self._silent.__getitem__))
        return plan

    def pause(self) -> float:
        """Seconds to wait before the next round; 0.0 if the last one took as long."""
        share = PAUSE if len(self.resolver.addresses()) > 1 else LONE_PAUSE
        length = min(FIRST_PAUSE * 2.0 ** min(self._pauses, 10), MAX_PAUSE, share * self._timeout())
        self._pauses += 1
        return max(0.0, self._round_began + length * random.uniform(0.7, 1.3) - time.monotonic())

    def begin(self, *, session: bool) -> None:
        """Note the beginning of an attempt, with a session or for a new one."""
        timeout, count = self._timeout(), max(1, len(self.resolver.addresses()))
        self._began = time.monotonic()
        self._saves = session and self._began < self._broke + HURRY * timeout
        limit = (ATTEMPT if session else FIRST_ATTEMPT) * timeout
        if self._silences >= count:
            limit = max(limit, 2 * self._handshake)
        doubled = min(self._connect_timeout, limit) * 2.0 ** min((self._silences - self._hurried) // count, 10)
        self._limit = min(doubled, max(timeout, self._connect_timeout))

    def left(self) -> float:
        """Seconds that are left of the attempt; more than 0, because a timeout of 0 makes a socket non-blocking."""
        return max(0.001, self._began + self._limit - time.monotonic())

    def silent(self, address: Address) -> None:
        """Note that the attempt was not answered in time."""
        self._silent[address] = time.monotonic()
        self._silences += 1
        self._hurried += self._saves

    def answered(self, address: Address) -> None:
        """Note that the attempt failed, and not by silence."""
        self._silent.pop(address, None)

    def connected(self, address: Address) -> None:
        """Note that the attempt succeeded."""
        self._handshake = time.monotonic() - self._began
        self._silent.pop(address, None)
        self._silences = self._hurried = self._pauses = 0

    def broke(self, address: Address | None = None, *, silent: bool = False) -> None:
        """Note that a connection broke, possibly because its server was silent."""
        self._broke = time.monotonic()
        if silent and address is not None:
            self._silent[address] = self._broke
