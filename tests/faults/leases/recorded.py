"""Leases that write down from when to when they were valid."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from zkdiscovery.session import lease as lease_module
from zkdiscovery.session.clock import lease_now
from zkdiscovery.session.lease import Lease


class Span(NamedTuple):
    """Time in which a lease was valid, on the lease clock of this machine.

    Attributes:
        path: its node.
        began: not before.
        ended: not after.
        renewed: seconds that were left after its first renewal; None if it had none.
    """

    path: str
    began: float
    ended: float
    renewed: float | None


class RecordedLease(Lease):
    """A lease that knows when it began and ended."""

    all: ClassVar[list[RecordedLease]] = []

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._began = lease_now()
        self._ended: float | None = None
        self._renewed: float | None = None
        self.all.append(self)

    def end(self, reason: str) -> None:
        """As it does, with the time at which it was over."""
        super().end(reason)
        self._ended = self._ended or lease_now()

    def extend(self, deadline: float) -> None:
        """As it does, with what was left after the first renewal."""
        before = self._deadline
        super().extend(deadline)
        if self._renewed is None and self._deadline > before:
            self._renewed = self._deadline - lease_now()

    @property
    def span(self) -> Span:
        """When it was valid: its deadline counts, whoever looked at it."""
        ended = self._deadline if self._ended is None else min(self._ended, self._deadline)
        return Span(self.path, self._began, ended, self._renewed)


def record() -> None:
    """Let all leases of this process be recorded."""
    lease_module.Lease = RecordedLease  # type: ignore[misc]
