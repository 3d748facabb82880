"""Stalls of the machine in the histories.

They are deducted from the time of calls, because no library can return from a call while no thread runs.
"""

from __future__ import annotations

from tests.faults.chaos.history import History
from tests.stalls import Stalls

STALL = 0.1  # seconds beyond a nap that count
MACHINE = "machine"


class Machine(Stalls):
    """Writes the machine's stalls into a history, as stops of all processes."""

    def __init__(self, history: History) -> None:
        super().__init__(STALL, lambda begin, end: history.write("stopped", whom=MACHINE, begin=begin, end=end))
