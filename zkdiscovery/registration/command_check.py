"""Checks by a command; see `supervise/limited.py` for how one is run."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field

from zkdiscovery.errors import InvalidInstance
from zkdiscovery.registration.checks import CheckResult, Outcome, Probe, ProbingCheck, Target, in_trouble
from zkdiscovery.supervise import LimitedCommand, StatusLost
from zkdiscovery.validation import shown

_SHOWN = 200  # characters of what a command wrote


@dataclass(frozen=True)
class CommandCheck(ProbingCheck):
    """Runs a command. It passes with exit status 0.

    The command runs in a process group of its own, which is killed at the limit. It sees the environment and the
    working directory of this process.

    Args:
        argv: the program, searched in PATH, and its arguments. For a command of the shell: `["sh", "-c", "..."]`.

    Raises:
        InvalidInstance: a value is out of range. At the registration: there is no such program.
    """

    argv: Sequence[str] = field(default=(), kw_only=False)
    timeout: float = field(default=5.0, kw_only=True)  # seconds

    def __post_init__(self) -> None:
        super().__post_init__()
        argv: object = self.argv
        if isinstance(argv, (str, bytes)) or not isinstance(argv, Sequence):
            raise InvalidInstance(
                f"the command of a check must be a list of arguments, such as ['sh', '-c', '...']: got {shown(argv)}"
            )
        if not argv or not all(isinstance(text, str) and "\0" not in text for text in argv) or not argv[0]:
            raise InvalidInstance(f"the command of a check must be one string or more: got {shown(argv)}")
        object.__setattr__(self, "argv", tuple(argv))

    def _describe(self) -> str:
        return " ".join(self.argv)[:80]

    def probe(self) -> Probe:
        if shutil.which(self.argv[0]) is None:
            raise InvalidInstance(f"the command of a check can't be run: there is no program {self.argv[0]!r} here")
        return _CommandProbe(self)


class _CommandProbe:
    def __init__(self, check: CommandCheck) -> None:
        self._timeout = check.timeout
        self._command = LimitedCommand(check.argv)

    def run(self, _target: Target) -> Outcome:
        try:
            run = self._command.run(self._timeout)
        except StatusLost:
            return Outcome(
                CheckResult.UNKNOWN,
                "the check could not run: other code of this process waits for all of its children, or ignores SIGCHLD",
            )
        except OSError as error:
            return in_trouble(error)
        said = " ".join(run.output.decode(errors="replace").split())[:_SHOWN]
        if run.status is None:
            how = f"not done within {self._timeout:g} s, and killed"
            return Outcome(CheckResult.FAIL, f"{how}: {said}" if said else how)
        result = CheckResult.FAIL if run.status else CheckResult.PASS
        how = f"exit status {run.status}" if run.status >= 0 else f"ended by signal {-run.status}"
        return Outcome(result, f"{how}: {said}" if said else how)

    def close(self) -> None:
        self._command.close()
