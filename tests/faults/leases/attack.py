"""One try of an attack: a candidate process at a follower, another candidate at the leader, and what is done to them.

The candidate stands still for a while as its lease begins. Then, or meanwhile, comes what the attack does. Once its
lease has begun, nothing more of it reaches the leader. The question is whether its lease is valid when the other
candidate's lease begins, on the clock of this machine.
"""

from __future__ import annotations

import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from random import Random
from typing import Any, NamedTuple

from tests.faults.elections.helpers import CHECK, MULTI, requests
from tests.faults.leases.recorded import RecordedLease, Span
from tests.faults.links import FollowerLink
from tests.integration.election.helpers import Campaigner
from tests.support import Truth
from tests.talking import TalkingProcess
from zkdiscovery import Client
from zkdiscovery.session.clock import lease_now
from zkdiscovery.testing import FaultProxy, ZookeeperEnsemble

CREATE_AND_LEAD = 90.0  # seconds that a busy machine may take for what takes no time


class Outcome(NamedTuple):
    """What came of a try.

    Attributes:
        won: the candidate's lease began in spite of all.
        overlap: seconds for which its lease was valid beside the other one's; negative: it had ended before.
        renewed: what was left of the leases after their first renewals, as shares of T.
        lasted: seconds that the longest lease of the candidate lasted.
    """

    won: bool
    overlap: float
    renewed: list[float]
    lasted: float


class Candidate(TalkingProcess):
    """The process under attack."""

    limit = CREATE_AND_LEAD

    def __init__(self, hosts: str, namespace: str, election: str, timeout: float, rule: str) -> None:
        program = "-m", "tests.faults.leases.candidate"
        super().__init__(*program, hosts, namespace, election, str(timeout), rule, stderr=subprocess.DEVNULL)

    def wait(self, *events: str, timeout: float = CREATE_AND_LEAD) -> dict[str, Any] | None:
        """The first of such events; None if there is none in time."""
        try:
            said = self.said.wait(lambda items: any(item["event"] in events for item in items), timeout)
        except AssertionError:
            return None
        return next(item for item in said if item["event"] in events)

    def resume(self) -> None:
        """Let it go on."""
        self.signal(signal.SIGCONT)


class Scene:
    """What an attack has at hand. Times are in units of T.

    Attributes:
        timeout: T, as granted, in seconds.
        chance: of this try.
        follower, leader: the members.
        link: between these two.
        proxy: before the follower; `elsewhere`: before the other follower, refusing.
        candidate: the process.
    """

    def __init__(self, ensemble: ZookeeperEnsemble, timeout: float, rule: str, seed: str, stack: ExitStack) -> None:
        self.ensemble = ensemble
        self.chance = Random(seed)
        self.leader = ensemble.leader()
        self.follower, self.other = ensemble.followers()
        self.link = stack.enter_context(FollowerLink(ensemble, self.follower, self.leader, "/elections/job/"))
        self.other_link = FollowerLink(ensemble, self.other, self.leader)
        self.proxy = stack.enter_context(FaultProxy(self.follower.hosts))
        self.elsewhere = stack.enter_context(FaultProxy(self.other.hosts))
        self.elsewhere.refuse()
        self.namespace = f"{ensemble.namespace}/{secrets.token_hex(4)}"
        hosts = f"{self.proxy.address},{self.elsewhere.address}"
        self.candidate = stack.enter_context(Candidate(hosts, self.namespace, "job", timeout, rule))
        self.proxy.alter("client_to_server", self._look)
        ready = self.candidate.wait("ready")
        assert ready is not None, "the candidate does not start"
        self.timeout = ready["timeout"]
        self.held = threading.Event()
        self.before_check: Callable[[], None] | None = None  # called once, before the next check is passed on

    def _look(self, chunk: bytes) -> bytes:
        if any(opcode == MULTI and operation == CHECK for opcode, operation, _ in requests(chunk)):
            action, self.before_check = self.before_check, None
            if action is not None:
                action()
        return chunk

    def sleep(self, share: float) -> None:
        """For that much of T."""
        time.sleep(share * self.timeout)

    def wait_term(self, timeout: float = 2.0) -> bool:
        """Wait until the candidate's lease has begun, at most `timeout` of T."""
        return self.candidate.wait("began", timeout=timeout * self.timeout) is not None


class Attack(NamedTuple):
    """An attack.

    Attributes:
        name: of it.
        step: at which the candidate stops itself; see candidate.py.
        still: for how long it stands still, from and to, in units of T; the try draws.
        meanwhile: what is done while it stands still.
        strike: what is done once it goes on; True if its lease has begun.
        tick: of the ensemble, in units of T.
        known: nothing is promised here: T is less than two ticks.
    """

    name: str
    step: str
    still: tuple[float, float]
    strike: Callable[[Scene], bool]
    meanwhile: Callable[[Scene], None] = lambda _scene: None
    tick: float = 0.125
    known: bool = False


def cut(scene: Scene) -> bool:
    """Nothing reaches the leader any more, once the lease has begun."""
    won = scene.wait_term()
    scene.link.lose()
    return won


def pause_leader(scene: Scene) -> bool:
    """The leader stands still in the window between the exchange and the proof."""
    scene.sleep(scene.chance.uniform(0.0, 0.3))
    scene.leader.pause()
    scene.sleep(scene.chance.uniform(0.02, 0.3))
    scene.leader.resume()
    return cut(scene)


def pause_follower_before(scene: Scene) -> bool:
    """The follower stands still after it has answered the last `sync`, before the check reaches it."""

    def pause() -> None:
        scene.follower.pause()
        scene.held.set()

    said = scene.candidate.wait("began", "unproven")
    if said == {"event": "unproven"}:  # what it sent before it stood still has proven nothing; the next one counts
        scene.before_check = pause
    if scene.before_check is not None and scene.held.wait(scene.timeout):
        scene.sleep(scene.chance.uniform(0.05, 0.3))
        scene.follower.resume()
    return cut(scene)


def pause_follower_after(scene: Scene) -> bool:
    """The follower stands still once the lease has begun."""
    won = scene.wait_term()
    scene.follower.pause()
    return won


def hold_then_lose(scene: Scene) -> bool:
    """What the leader says is held after the exchange; what the follower says is lost after the proof."""
    resumed = lease_now()
    scene.candidate.wait("began", "unproven")
    time.sleep(max(0.0, resumed + 0.05 * scene.timeout - lease_now()))  # it reads something; the leader asks later
    scene.link.hold_from_leader()
    late = resumed + 0.3 * scene.timeout
    scene.sleep(0.25)
    if not scene.link.wait_passed(late, 0.1 * scene.timeout):  # it sends no proof before it hears of the leader
        scene.link.pass_on()
        scene.link.wait_passed(late, scene.timeout)
    scene.link.lose_to_leader()
    return scene.wait_term(0.5)


def move(scene: Scene) -> None:
    """The session has to move to the other follower."""
    scene.proxy.refuse()
    scene.elsewhere.heal()


def cut_elsewhere(scene: Scene) -> bool:
    """As `cut`, at the member to which the session has moved."""
    won = scene.wait_term()
    scene.other_link.lose()
    return won


def pause_elsewhere(scene: Scene) -> bool:
    """The member to which the session has moved stands still once the lease has begun."""
    won = scene.wait_term()
    scene.other.pause()
    return won


LONG = (0.84, 0.92)  # nearly the session

ATTACKS = [
    Attack("client stopped before its proof", "prove", LONG, cut),
    Attack("client stopped before sending", "send", LONG, cut),
    Attack("client stopped before the answer", "answer", LONG, cut),
    Attack("client stopped before the lease", "begin", LONG, cut),
    Attack("leader stopped in the window", "prove", (0.5, 0.7), pause_leader, tick=0.5),
    Attack("follower stopped before the check", "prove", (0.5, 0.7), pause_follower_before),
    Attack("follower stopped after the check", "prove", LONG, pause_follower_after),
    Attack("held, then lost", "prove", (0.38, 0.43), hold_then_lose, tick=0.25),
    Attack("moved, then cut", "prove", (0.5, 0.7), cut_elsewhere, move),
    Attack("moved, then stopped", "prove", (0.5, 0.7), pause_elsewhere, move),
    Attack("T of half a tick (known limit)", "prove", (0.4, 0.6), cut, tick=2.0, known=True),
]


def attempt(ensemble: ZookeeperEnsemble, attack: Attack, timeout: float, rule: str, seed: str) -> Outcome:
    """Try an attack once on an ensemble that serves, and heal it."""
    with ExitStack() as stack:
        stack.callback(ensemble.repair)
        scene = Scene(ensemble, timeout, rule, seed, stack)
        truth = stack.enter_context(Truth(scene.leader.hosts))
        rival = stack.enter_context(
            Client(scene.leader.hosts, namespace=scene.namespace, session_timeout=timeout).wait_connected(30.0)
        )
        scene.sleep(scene.chance.uniform(0.3, 0.9))
        scene.candidate.tell(attack.step)
        assert scene.candidate.wait("stopping") is not None, "it does not come so far"
        stopped = lease_now()
        path = f"{scene.namespace}/elections/job"
        follower = Campaigner(rival, "job").start()
        truth.wait(path, lambda node: node is not None and node.stat.num_children == 2)
        attack.meanwhile(scene)
        still = scene.chance.uniform(*attack.still) * scene.timeout
        time.sleep(max(0.0, stopped + still - lease_now()))
        scene.link.wait_report(timeout / 2)
        scene.candidate.resume()
        won = attack.strike(scene)
        follower.terms.wait(bool, 6.0 * scene.timeout + 30.0)
        time.sleep(0.15 * scene.timeout)  # its first renewal
        for member in (scene.follower, scene.other):
            member.resume()
        scene.candidate.tell("report")
        report = scene.candidate.wait("report")
        assert report is not None, "no report"
        before = [Span(*span) for span in report["leases"]]
        after = [lease.span for lease in RecordedLease.all if lease.path.startswith(scene.namespace)]
        follower.leave()
        follower.join()
    first = min(span.began for span in after)
    overlap = max((span.ended - first for span in before if span.began < first), default=-scene.timeout)
    renewed = [span.renewed / scene.timeout for span in (*before, *after) if span.renewed is not None]
    return Outcome(won, overlap, renewed, max((span.ended - span.began for span in before), default=0.0))
