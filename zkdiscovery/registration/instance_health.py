"""The health of one instance as time goes by: its port, its checks, and the status that follows.

`health.py` decides; this module asks at the right moments. The checks begin once the place of the instance is known;
with `ready="listening"` once its port accepts, because none could pass before.

Guarantees
- A check never overtakes itself, and all checks of a client run on the few threads of one scheduler.
- They go on while ZooKeeper can't be reached.
- A status is written only when it changes.
- What is closed, or belongs to the parent of a forked child, is checked no more.

Threads: the threads of `core.checks` look at the port, those of the `Checkers` run the checks and end the wait of
`deregister_after`; any thread beats, tells a status, reads and closes.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from zkdiscovery.core import Core, Feature, Phase
from zkdiscovery.errors import InvalidInstance
from zkdiscovery.model import Instance, Status
from zkdiscovery.registration.checks import Check, CheckResult, Outcome, Probe, ProbingCheck, Target, TtlCheck
from zkdiscovery.registration.health import CheckReport, CheckState, Health, Tally
from zkdiscovery.registration.instance_port import InstancePort
from zkdiscovery.registration.options import Ready
from zkdiscovery.registration.readiness import local_addresses
from zkdiscovery.threads import Worker

log = logging.getLogger("zkdiscovery.registration")

AT_ONCE = 32  # checks that may run at the same time
ADDRESSES_FOR = 10.0  # seconds for which the addresses of this machine are not looked up again
STARTING_INTERVAL = 1.0  # seconds at most between two runs in the grace time, until the first pass
BEAT = Outcome(CheckResult.PASS, "beat")


def jitter() -> float:
    """What an interval is multiplied by, so that checks that began together spread."""
    return random.uniform(0.9, 1.1)


class Checkers(Feature):
    """The scheduler of all checks of one client, and its threads.

    Attributes:
        worker: runs the checks.
    """

    phase = Phase.OWNED

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        self.worker = self.make_worker()

    def make_worker(self) -> Worker:
        """What runs the checks; a client without ZooKeeper has another one."""
        return Worker("zkdiscovery-health", threads=AT_ONCE)

    def run(self, probe: Probe, target: Target) -> Outcome:
        """Run a check once."""
        try:
            return probe.run(target)
        except Exception as error:
            log.exception("a health check failed in a way that it should not")
            return Outcome(CheckResult.UNKNOWN, f"the check could not run: {error!r}")

    def close(self, deadline: float) -> None:
        self.worker.close(max(0.0, deadline - time.monotonic()))


class Watcher(Protocol):
    """The owned instance, as its health uses it."""

    wanted: Instance

    @property
    def name(self) -> str:
        """Its name in messages."""

    def take_status(self, host: str | None = None) -> bool:
        """Take over the status, and the host if one is given. False if it leaves."""

    def deregister_for_now(self) -> bool:
        """Take it out until it is no longer DOWN. False if it must stay, because an operator has set its status."""

    def note_silent(self, where: str) -> None:
        """Log that nothing has listened at its port for long."""

    def note_down(self, why: str) -> None:
        """Log that its checks have found it DOWN."""

    def note_trouble(self, check: str, why: str) -> None:
        """Log that a check can't run."""


class InstanceHealth:
    """Looks after the port and the checks of one instance.

    Args:
        core: what the client works with.
        watcher: whose health it is.
        ready: when it is ready.
        checks: its checks.
        deregister_after: seconds of being DOWN by its checks after which it is taken out; None: never.
        spread: gives what an interval is multiplied by.
        state: of each check at first.

    Raises:
        InvalidInstance: a check can't run here.
    """

    def __init__(
        self,
        core: Core,
        watcher: Watcher,
        ready: Ready,
        checks: Sequence[Check],
        deregister_after: float | None,
        spread: Callable[[], float] = jitter,
        state: CheckState = CheckState.STARTING,
    ) -> None:
        self._core = core
        self._watcher = watcher
        self._deregister_after = deregister_after
        self._lock = threading.Lock()
        self._health = Health(checks, waits=ready != "now", now=time.time(), state=state)
        self._began: float | None = None  # monotonic seconds
        self._closed = False
        self._listen_port: int | None = None
        self._hosts: tuple[str, float, Sequence[str]] = ("", 0.0, ())  # for a host, until when, at which addresses
        self._port = InstancePort(core.checks, lambda: watcher.wanted, self._on_listening, watcher.note_silent)
        self._waits_for_port = ready == "listening"
        self._checkers = core.feature(Checkers) if checks else None
        self._rounds: list[_Round | _Ttl] = []
        if self._checkers is not None:
            for check, tally in zip(checks, self._health.tallies, strict=True):
                if isinstance(check, ProbingCheck):
                    self._rounds.append(_Round(self, self._checkers, check, tally, spread))
                elif isinstance(check, TtlCheck):
                    self._rounds.append(_Ttl(self, self._checkers, check, tally))

    # -- reading (any thread) --

    @property
    def status(self) -> Status:
        """The status that the owner wants."""
        with self._lock:
            return self._health.status

    @property
    def reports(self) -> tuple[CheckReport, ...]:
        """Its checks, as they are now."""
        with self._lock:
            return tuple(tally.report for tally in self._health.tallies)

    @property
    def why(self) -> str:
        """Why it is not ready, in words; "" if that is not known here."""
        with self._lock:
            if self._waits_for_port and self._health.status is Status.STARTING and self._health.told is None:
                return self._port.silence
            return self._health.why

    @property
    def closed(self) -> bool:
        """True once nothing is checked any more."""
        return self._closed

    # -- its life (any thread) --

    def start(self) -> None:
        """Start the threads that it needs.

        Raises:
            NoThreadAvailable: the system has no thread to give.
        """
        if self._waits_for_port:
            self._core.checks.start()
        if self._checkers is not None:
            self._checkers.worker.start()

    def begin(self, listen_port: int | None, other: str | None) -> None:
        """Begin to look at the port or to check, because its place is known. Never blocks.

        Args:
            listen_port: where the program listens, if that was said.
            other: the IPv6 address to advertise if the program listens on IPv6 alone.
        """
        self._listen_port = listen_port
        if self._waits_for_port:
            self._port.watch(listen_port, other)
        else:
            self._check()

    def tell(self, status: Status) -> None:
        """Take over a status that a user has set."""
        with self._lock:
            self._health.told = status

    def beat(self) -> None:
        """Note a sign of life. Never blocks.

        Raises:
            InvalidInstance: no check waits for one.
        """
        for ttl in self._rounds:
            if isinstance(ttl, _Ttl):
                ttl.beat()
                return
        raise InvalidInstance(
            f"no check of {self._watcher.name} waits for a beat: register it with checks=[TtlCheck(15)]"
        )

    def close(self) -> None:
        """Look and check no more. Never blocks; a look under way goes on, a command is killed."""
        with self._lock:
            self._closed = True
        self._port.close()
        for each in self._rounds:
            each.close()
        if self._checkers is not None:
            self._checkers.worker.cancel(self)

    def forked(self) -> None:
        """In a forked child: it is the parent's, and so are the locks and the commands."""
        self._lock = threading.Lock()
        self._closed = True

    # -- the threads of the checks --

    def _on_listening(self, host: str, port: int) -> None:
        watcher, before = self._watcher, self._watcher.wanted.host
        if host != before:
            log.info("%s listens on IPv6 alone: advertising %s in place of %s", watcher.name, host, before)
        with self._lock:
            self._health.waits = self._waits_for_port = False
        if watcher.take_status(host):
            log.info(
                "port %d accepts connections: %s is %s", port, watcher.name, "checked" if self._rounds else "ready"
            )
            self._check()

    def _check(self) -> None:
        """Begin with the checks."""
        with self._lock:
            if self._closed:
                return
            self._began = time.monotonic()
        for each in self._rounds:
            each.begin()

    @property
    def running(self) -> float:
        """Seconds since the checks began."""
        return 0.0 if self._began is None else time.monotonic() - self._began

    def target(self) -> Target:
        """Where the program can be reached from here."""
        own = self._watcher.wanted
        now = time.monotonic()
        host, until, hosts = self._hosts
        if host != own.host or now >= until:
            hosts = local_addresses(own.host, proxied=self._listen_port is not None)
            self._hosts = own.host, now + ADDRESSES_FOR, hosts
        return Target(own.host, hosts, self._listen_port or own.port, own.tls_port)

    def note(self, tally: Tally, decide: Callable[[], Outcome | None]) -> None:
        """Count the outcome of a run, and take the consequences.

        Args:
            tally: of the check.
            decide: gives the outcome; None: there is none. Called with the lock held.
        """
        with self._lock:
            outcome = None if self._closed else decide()
            if outcome is None:
                return
            status, before = self._health.status, tally.report
            tally.note(outcome, time.time(), self.running)
            changed, why = self._health.status is not status, self._health.why
        watcher = self._watcher
        if outcome.result is CheckResult.UNKNOWN is not before.result:
            watcher.note_trouble(before.name, outcome.message)
        if changed and watcher.take_status():
            self._follow(status, why)

    def _follow(self, before: Status, why: str) -> None:
        """Log a change of the status, and begin or end the wait for being taken out."""
        watcher, after, limit = self._watcher, self.status, self._deregister_after
        worker = None if self._checkers is None else self._checkers.worker
        if after is Status.DOWN:
            watcher.note_down(why)
            if limit is not None and worker is not None:
                worker.schedule(self, self._down_for_long, limit)
            return
        if worker is not None:
            worker.cancel(self)
        log.info("the checks of %s pass: %s in place of %s", watcher.name, after, before)

    def _down_for_long(self) -> None:
        if not self._watcher.deregister_for_now() and self._checkers is not None and self._deregister_after is not None:
            self._checkers.worker.schedule(self, self._down_for_long, self._deregister_after)


class _Round:
    """A check of one instance that looks again and again."""

    def __init__(
        self, health: InstanceHealth, checkers: Checkers, check: ProbingCheck, tally: Tally, spread: Callable[[], float]
    ) -> None:
        self._health = health
        self._checkers = checkers
        self._check = check
        self._tally = tally
        self._spread = spread
        self._probe = check.probe()

    def begin(self) -> None:
        self._checkers.worker.schedule(self, self._run)

    def close(self) -> None:
        self._checkers.worker.cancel(self)
        self._probe.close()

    def _run(self) -> None:
        health, check = self._health, self._check
        if health.closed:
            return
        began = time.monotonic()
        outcome = self._checkers.run(self._probe, health.target())
        health.note(self._tally, lambda: outcome)
        interval = check.interval
        if self._tally.state is CheckState.STARTING and health.running < check.grace:
            interval = min(interval, STARTING_INTERVAL)
        pause = interval * self._spread() - (time.monotonic() - began)
        if not health.closed:
            self._checkers.worker.schedule(self, self._run, max(0.0, pause))


class _Ttl:
    """A check of one instance that waits for beats."""

    def __init__(self, health: InstanceHealth, checkers: Checkers, check: TtlCheck, tally: Tally) -> None:
        self._health = health
        self._worker = checkers.worker
        self._check = check
        self._tally = tally
        self._until = 0.0  # monotonic seconds by which the next beat must come; under the lock of the health

    def begin(self) -> None:
        self._wait(max(self._check.ttl, self._check.grace))

    def close(self) -> None:
        self._worker.cancel(self)

    def beat(self) -> None:
        late = False

        def note() -> Outcome:
            nonlocal late  # with the lock, because the look that finds it late ends the looks
            late = self._tally.state is not CheckState.PASSING
            self._until = time.monotonic() + self._check.ttl
            return BEAT

        self._health.note(self._tally, note)
        if late:
            self._wait(self._check.ttl)

    def _wait(self, seconds: float) -> None:
        self._until = max(self._until, time.monotonic() + seconds)
        self._worker.schedule(self, self._look, seconds)

    def _look(self) -> None:
        left = 0.0

        def judge() -> Outcome | None:
            nonlocal left
            left = self._until - time.monotonic()
            return Outcome(CheckResult.FAIL, f"no beat for {self._check.ttl:g} s") if left <= 0 else None

        self._health.note(self._tally, judge)
        if left > 0:
            self._worker.schedule(self, self._look, left)
