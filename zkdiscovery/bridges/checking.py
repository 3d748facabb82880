"""The health checks that a source asks for. The bridge runs them at the addresses that it writes.

A check decides between STARTING, UP and DOWN for what the source calls UP. Anything else, such as DRAINING, stands, and
is not checked.

An instance that stands in ZooKeeper goes on in the state in which its last bridge left it. So neither a restart of a
bridge nor a change of leaders changes a status, and thresholds count there as well.

Threads: the bridge's. The threads of the client's checks run them, and wake the bridge when a status changes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from zkdiscovery.bridges.naming import Key
from zkdiscovery.core import Core
from zkdiscovery.errors import InvalidInstance
from zkdiscovery.model import Instance, Status
from zkdiscovery.registration.address import is_address
from zkdiscovery.registration.checks import ProbingCheck, Target
from zkdiscovery.registration.health import CheckState
from zkdiscovery.registration.instance_health import InstanceHealth

log = logging.getLogger("zkdiscovery.bridges")

_STATES = {Status.UP: CheckState.PASSING, Status.DOWN: CheckState.FAILING}


class Checked:
    """An imported instance that is checked.

    Args:
        core: of the client.
        instance: what is checked.
        check: the check.
        state: of the check at first.
        changed: called when the status changes; must not block.

    Raises:
        InvalidInstance: the check can't run.
        NoThreadAvailable: the system has no thread to give.
    """

    def __init__(
        self, core: Core, instance: Instance, check: ProbingCheck, state: CheckState, changed: Callable[[], None]
    ) -> None:
        if not is_address(instance.host):
            raise InvalidInstance(f"a check goes to an address, because it resolves no names: got {instance.host!r}")
        self.wanted = instance
        self.check = check
        self._changed = changed
        self._health = _Health(core, self, check, state)
        self._health.start()
        self._health.begin(None, None)

    @property
    def status(self) -> Status:
        """The status that the check decides."""
        return self._health.status

    def close(self) -> None:
        """Check no more. Never blocks."""
        self._health.close()

    # -- what its health tells (the threads of the checks) --

    @property
    def name(self) -> str:
        """Its name in messages."""
        return f"{self.wanted.service} at {self.wanted.netloc}"

    def take_status(self, _host: str | None = None) -> bool:
        """Wake the bridge."""
        self._changed()
        return True

    def note_down(self, why: str) -> None:
        """Log why it is DOWN."""
        log.warning("%s is DOWN: %s", self.name, why)

    def note_trouble(self, check: str, why: str) -> None:
        """Log that its check can't run."""
        log.warning("%s: the check %s can't run: %s", self.name, check, why)

    def deregister_for_now(self) -> bool:
        """Is not asked for: only the source says what is to be there."""
        return False

    def note_silent(self, where: str) -> None:
        """Is not asked for: nobody waits for its port."""


class _Health(InstanceHealth):
    """The health of an instance of another machine, or of a container."""

    def __init__(self, core: Core, checked: Checked, check: ProbingCheck, state: CheckState) -> None:
        super().__init__(core, checked, "now", [check], None, state=state)
        self._checked = checked

    def target(self) -> Target:
        own = self._checked.wanted
        return Target(own.host, [own.host], own.port, own.tls_port)


class Checking:
    """All checks of one source.

    Args:
        core: of the client.
        changed: called when a status changes; must not block.
    """

    def __init__(self, core: Core, changed: Callable[[], None]) -> None:
        self._core = core
        self._changed = changed
        self._running: dict[Key, Checked] = {}

    def decide(
        self,
        desired: Mapping[Key, Instance],
        checks: Mapping[Key, ProbingCheck],
        standing: Mapping[Key, Instance],
        problems: dict[str, str],
    ) -> dict[Key, Instance]:
        """Run exactly these checks. Return what is to stand in ZooKeeper, without what can't be checked.

        Args:
            desired: what the source has.
            checks: those of them that are checked.
            standing: what stands in ZooKeeper.
            problems: is told what can't be checked.
        """
        decided = dict(desired)
        due = {key: check for key, check in checks.items() if desired[key].status is Status.UP}
        for key in self._running.keys() - due.keys():
            self._running.pop(key).close()
        for key, check in due.items():
            target = desired[key]
            try:
                status = self._run(key, target, check, standing.get(key)).status
            except InvalidInstance as error:
                problems[f"{target.service} at {target.netloc}"] = str(error)
                del decided[key]
            else:
                decided[key] = target.with_(status=status)
        return decided

    def close(self) -> None:
        """Check nothing any more. Never blocks."""
        while self._running:
            self._running.popitem()[1].close()

    def _run(self, key: Key, target: Instance, check: ProbingCheck, standing: Instance | None) -> Checked:
        """Go on with a check, or begin with it if it is another one, or goes to another address."""
        running = self._running.get(key)
        if running is not None:
            if running.check == check and running.wanted.netloc == target.netloc:
                return running
            self._running.pop(key).close()
        state = CheckState.STARTING if standing is None else _STATES.get(standing.own.status, CheckState.STARTING)
        begun = self._running[key] = Checked(self._core, target, check, state, self._changed)
        return begun
