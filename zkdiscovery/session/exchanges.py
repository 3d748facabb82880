"""Proofs, from the answered messages of one connection, of when the ensemble's leader has heard of the session.

Pure arithmetic: no threads, no clock, no I/O. T is the granted session timeout. All times are of the lease clock.

What ZooKeeper does
- The leader expires a session T after it last heard of it, or later. It hears of the clients of another server with
  that server's answers to its pings, which list the sessions heard of since the ping before. It sends a ping each half
  tick. T is two ticks or more, so a ping is due at most T/4 after any moment.
- So neither an acknowledged ping of ours nor a committed write of ours tells the leader of us by itself.
- Leader and server talk over one connection, in order in either direction.

An *exchange* is a message of ours and its answer: `sent` is read before its first byte leaves, `answered` when its
answer is handled. A pause of our process between any two steps makes `sent` earlier or `answered` later, and both prove
less, never more. A *trip* is an exchange that was answered by way of the leader: a write or a `sync`.

The proof. Take an exchange E, and three trips, each sent after the one before was answered:

    first.sent >= E.answered + 0.275 T      second.sent >= first.answered      third.sent >= second.answered

- Our server has noted E when E is answered.
- The leader's next ping is due T/4 later. 0.025 T is for a ping that is late.
- The leader has answered `first`, so it ran after the ping was due. A leader that stood still may answer `first` as it
  wakes, before it sends the overdue ping. It reads `second` later, so the ping precedes the answer to `second`: both
  come over one connection.
- So our server has answered the ping, which includes E, before `second` is answered and before it passes on `third`.
- The leader reads that answer before it reads `third`. `third` is a transaction. Its commit proves that a majority
  followed this leader after it had heard of E. A later leader counts T from its own beginning.

A commit of `third` therefore proves that the session lives until E.sent + T. We use E.sent + 0.9 T; the last tenth
allows for clocks of different rates.

Our server passes a handshake (of a new session, or of one that moves to this connection) on to the leader, which counts
T anew at once. This exchange needs no ping: `third` alone proves it. `third` is needed, because a leader that has lost
its majority still accepts a session.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterable

# All of the session timeout T:
LASTS = 0.9  # from an exchange that the leader has surely heard of
HALF_TICK = 0.275  # in which the leader sends its next ping: half a tick is at most T/4, and the rest is for a late one
SPACING = 0.025  # between two exchanges that are remembered

TRIPS = 3  # trips that prove an exchange; the last one is a transaction


class Exchanges:
    """The exchanges of one connection, in the order of their answers, and what they prove. Its owner has the lock.

    Stage n holds pairs (E.sent, since): exchanges with n trips, and the time from which a trip must be sent to be the
    next one. Both numbers grow along a stage. In stage 0 an exchange waits for the ping.
    """

    trips = TRIPS

    def __init__(self) -> None:
        self.heard = -math.inf  # the leader has heard of the session at this time, or later
        self._timeout = math.inf
        self._stages: list[deque[tuple[float, float]]] = [deque() for _ in range(self.trips)]

    def restart(self, sent: float, answered: float, timeout: float) -> None:
        """Begin anew with the handshake of a connection, on which T seconds were granted."""
        self.heard = -math.inf
        self._timeout = timeout
        for stage in self._stages:
            stage.clear()
        self._stages[-1].append((sent, answered))

    def add(self, sent: float, answered: float, *, trip: bool = False, commit: bool = False) -> None:
        """Note an exchange.

        Args:
            sent: read before the first byte left.
            answered: read after the answer came.
            trip: True if it was answered by way of the leader.
            commit: True if it was a trip, and a transaction that the leader has committed.
        """
        stages = self._stages
        if commit:
            self.heard = max(self.heard, _newest(stages[-1], sent))
        if trip:
            for before, after in reversed([*itertools.pairwise(stages)]):  # a trip is one step of a proof
                newest = _newest(before, sent)
                if newest > (after[-1][0] if after else -math.inf):
                    after.append((newest, answered))
        for stage in stages:
            while len(stage) > 1 and stage[1][1] <= sent:  # later exchanges were sent later, and find stage[1]
                stage.popleft()
        if not stages[0] or sent >= stages[0][-1][0] + SPACING * self._timeout:
            stages[0].append((sent, answered + HALF_TICK * self._timeout))

    @property
    def proven(self) -> float:
        """The time until which the session surely lives."""
        return self.heard + LASTS * self._timeout

    def provable(self, now: float) -> float:
        """The time until which it surely lives, if a transaction that is sent now is committed."""
        return max(self.heard, _newest(self._stages[-1], now)) + LASTS * self._timeout

    def ripe(self, now: float) -> float:
        """The time at which the next proof can begin, because an exchange has waited long enough for a ping."""
        return next((since for _, since in self._stages[0] if since > now), now + HALF_TICK * self._timeout)


def _newest(stage: Iterable[tuple[float, float]], sent: float) -> float:
    """The newest exchange of a stage whose next trip is one that was sent at `sent`."""
    return max((value for value, since in stage if since <= sent), default=-math.inf)
