"""Which server to try next, and for how long.

T is the session timeout that the server granted, or the one asked for before the first grant. A lease lasts for at
least 0.5 T when the connection breaks, and a blip of 0.4 T must end none, although one of three servers says nothing.
So the rest, T/10, must be enough to end what goes on when the blip ends, an attempt at a server or a pause, to find out
that another server is silent, and to connect to a third. Each of the first two takes T/30 at most.

- An attempt, from the connect to the end of the handshake, is given up after T/30, while the session may be saved by
  that: for T/2 from the break. After a round of silences it may take twice as long as the latest handshake took, if
  that is more: the way may be long.
- Without a session there is nothing to save. An attempt is given up after T/10, because a server that answers later
  leaves a session behind that nobody uses.
- A slow ensemble must be reachable. After each round of silences the limit doubles, up to T: without a session at once,
  with one after T/2.
- A server that was silent lately is tried after the others, no more than one of them in a round. While the others
  answer, if only by a refusal, it gets a third of the time.

Addresses count, not names. All methods run on the connection thread.
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


class Servers:
    """The plan of rounds over all known addresses, and the limit of each attempt."""

    def __init__(self, resolver: Resolver, timeout: Callable[[], float], connect_timeout: float) -> None:
        self.resolver = resolver
        self._timeout = timeout  # T
        self._connect_timeout = connect_timeout
        self._silent: dict[Address, float] = {}  # monotonic seconds; when a server was last found silent
        self._silences = 0  # since the latest success
        self._hurried = 0  # those of them while the session could be saved
        self._handshake = 0.0  # seconds that the latest successful attempt took
        self._broke = float("-inf")  # monotonic seconds; when the latest connection broke
        self._round_began = 0.0  # monotonic seconds
        self._pauses = 0  # since the latest success
        self._began = 0.0  # monotonic seconds; when the latest attempt began
        self._limit = 0.0  # seconds that it may take
        self._saves = False  # it may save a session

    def round(self) -> list[Address]:
        """The addresses to try now, in this order."""
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
        length = min(FIRST_PAUSE * 2.0 ** min(self._pauses, 10), MAX_PAUSE, ATTEMPT * self._timeout())
        self._pauses += 1
        return max(0.0, self._round_began + length * random.uniform(0.7, 1.3) - time.monotonic())

    def begin(self, *, session: bool) -> None:
        """An attempt begins, with a session or for a new one."""
        timeout, count = self._timeout(), max(1, len(self.resolver.addresses()))
        self._began = time.monotonic()
        self._saves = session and self._began < self._broke + HURRY * timeout
        limit = (ATTEMPT if session else FIRST_ATTEMPT) * timeout
        if self._silences >= count:
            limit = max(limit, 2 * self._handshake)
        doubled = min(self._connect_timeout, limit) * 2.0 ** min((self._silences - self._hurried) // count, 10)
        self._limit = min(doubled, max(timeout, self._connect_timeout))

    def left(self) -> float:
        """Seconds that are left of the attempt; more than none, because a socket's limit of 0 means something else."""
        return max(0.001, self._began + self._limit - time.monotonic())

    def silent(self, address: Address) -> None:
        """The attempt was not answered in time."""
        self._silent[address] = time.monotonic()
        self._silences += 1
        self._hurried += self._saves

    def answered(self, address: Address) -> None:
        """The attempt failed, and not by silence."""
        self._silent.pop(address, None)

    def connected(self, address: Address) -> None:
        """The attempt succeeded."""
        self._handshake = time.monotonic() - self._began
        self._silent.pop(address, None)
        self._silences = self._hurried = self._pauses = 0

    def broke(self, address: Address | None = None, *, silent: bool = False) -> None:
        """A connection broke, possibly because its server was silent."""
        self._broke = time.monotonic()
        if silent and address is not None:
            self._silent[address] = self._broke
