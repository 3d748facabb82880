"""Rules of leases that are wrong: what the model, the attacks and chaos must find."""

from __future__ import annotations

import math
from collections import deque

from zkdiscovery.session import exchanges as exchanges_module
from zkdiscovery.session import lease as lease_module
from zkdiscovery.session.exchanges import LASTS, Exchanges


class Assumed(Exchanges):
    """A rule that assumes that a connection is never silent for more than T/3, so one commit proves 0.4 T."""

    trips = 1

    def __init__(self) -> None:
        super().__init__()
        self._committed: deque[float] = deque()

    def restart(self, sent: float, answered: float, timeout: float) -> None:
        """The commits of earlier connections count on."""
        super().restart(sent, answered, timeout)
        self.heard = -math.inf

    def add(self, sent: float, answered: float, *, trip: bool = False, commit: bool = False) -> None:
        """Only commits count."""
        if not commit:
            return
        half_tick = 0.25 * self._timeout
        if answered - sent > 0.1 * self._timeout:
            self._committed.clear()
        self._committed.append(sent)
        while len(self._committed) > 1 and self._committed[1] <= sent - half_tick:
            self._committed.popleft()
        heard = self._committed[0] if self._committed[0] <= sent - half_tick else -math.inf
        self.heard = max(self.heard, heard, sent - (LASTS - 0.4) * self._timeout)

    def provable(self, now: float) -> float:
        """As much as a lease needs, always."""
        return now + LASTS * self._timeout


class OneTrip(Exchanges):
    """The obvious repair: an exchange, a wait of T/4, and one transaction."""

    trips = 1


class TwoTrips(Exchanges):
    """One trip less than it takes: a leader that stood still may answer before it sends its overdue ping."""

    trips = 2


RULES: dict[str, type[Exchanges]] = {"old": Assumed, "repair": OneTrip, "two": TwoTrips}


def follow(rule: str) -> None:
    """Let all clients of this process follow another rule from now on."""
    lease_module.Exchanges = RULES[rule]  # type: ignore[misc]
    if rule != "two":
        exchanges_module.HALF_TICK = 0.25
