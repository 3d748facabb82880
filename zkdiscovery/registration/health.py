"""The health of one instance: what its checks have said, and the status that follows. Pure: no thread, no clock.

The status that the owner wants is, in this order:
1. What `set_status` was told, unless that is UP.
2. STARTING, while nobody has told UP with `ready="manual"`, or the port is not open with `ready="listening"`.
   Telling UP ends both.
3. DOWN, while a check fails.
4. STARTING, while a check has never passed.
5. UP.

An operator's override stands above all of it.

A check that has passed fails after as many failures in a row as its threshold says, and passes again after as many
passes in a row. The first pass is enough, and until then failures do not count in the grace time. A run that says
UNKNOWN counts neither way: the rows go on after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from zkdiscovery.model import Status
from zkdiscovery.registration.checks import Check, CheckResult, Outcome


class CheckState(StrEnum):
    """The state of a check of an instance."""

    STARTING = "STARTING"
    """It has not passed yet."""
    PASSING = "PASSING"
    """It has passed, and has not failed as often as its threshold since."""
    FAILING = "FAILING"
    """It has failed as often as its threshold; the instance is DOWN."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """One check of an instance, as it is now.

    Attributes:
        name: name of the check.
        state: what it means for the instance.
        since: when that state began, in seconds since the epoch.
        result: the result of the last run; None: there was none yet.
        message: the reason of the last result.
        checked_at: when the last run ended, in seconds since the epoch; None: there was none yet.
    """

    name: str
    state: CheckState
    since: float
    result: CheckResult | None = None
    message: str = ""
    checked_at: float | None = None


class Tally:
    """Counts what the runs of one check say.

    Args:
        check: the check.
        now: seconds since the epoch.
        state: what it means for the instance at first.
    """

    def __init__(self, check: Check, now: float, state: CheckState = CheckState.STARTING) -> None:
        self._failures_needed, self._passes_needed = check.thresholds
        self._grace = check.grace
        self._failures = self._passes = 0  # in a row
        self.report = CheckReport(check.title, state, now)

    @property
    def state(self) -> CheckState:
        """What it means for the instance."""
        return self.report.state

    def note(self, outcome: Outcome, now: float, running: float) -> None:
        """Count the outcome of a run.

        Args:
            outcome: the outcome.
            now: seconds since the epoch.
            running: seconds since the checks began.
        """
        state = self._after(outcome.result, running)
        since = self.report.since if state is self.state else now
        self.report = CheckReport(self.report.name, state, since, outcome.result, outcome.message, now)

    def _after(self, result: CheckResult, running: float) -> CheckState:
        state = self.state
        if result is CheckResult.PASS:
            self._failures, self._passes = 0, self._passes + 1
            needed = 1 if state is CheckState.STARTING else self._passes_needed
            return CheckState.PASSING if self._passes >= needed else state
        if result is CheckResult.FAIL and not (state is CheckState.STARTING and running < self._grace):
            self._failures, self._passes = self._failures + 1, 0
            return CheckState.FAILING if self._failures >= self._failures_needed else state
        return state


class Health:
    """Decides the status of one instance. Not thread-safe.

    Args:
        checks: the checks of the instance.
        now: seconds since the epoch.
        state: of each check at first.

    Attributes:
        told: what `set_status` was told last; None: nothing.
        waits: it is to be STARTING until UP is told, or the port is open.
        tallies: one for each check.
    """

    def __init__(
        self, checks: Sequence[Check], *, waits: bool, now: float, state: CheckState = CheckState.STARTING
    ) -> None:
        self.told: Status | None = None
        self.waits = waits
        self.tallies = [Tally(check, now, state) for check in checks]

    @property
    def status(self) -> Status:
        """The status that the owner wants."""
        if self.told not in {None, Status.UP}:
            return self.told
        if self.waits and self.told is None:
            return Status.STARTING
        states = {tally.state for tally in self.tallies}
        if CheckState.FAILING in states:
            return Status.DOWN
        return Status.STARTING if CheckState.STARTING in states else Status.UP

    @property
    def down_by_checks(self) -> bool:
        """True if the status is DOWN because a check fails."""
        return self.status is Status.DOWN and self.told is not Status.DOWN

    @property
    def why(self) -> str:
        """Why the checks keep it from being UP, in words; "" if they do not."""
        if self.told not in {None, Status.UP} or (self.waits and self.told is None):
            return ""
        bad = CheckState.FAILING if self.status is Status.DOWN else CheckState.STARTING
        how = "fails" if bad is CheckState.FAILING else "has not passed yet"
        reports = [tally.report for tally in self.tallies if tally.state is bad]
        return "; ".join(
            f"the check {report.name} {how}" + (f": {report.message}" if report.message else "") for report in reports
        )
