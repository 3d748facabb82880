"""What the demo shows: each act makes something happen, waits for what must follow, and notes what it measured."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from zkdiscovery.demo.node import DRAIN_DELAY, SESSION_TIMEOUT
from zkdiscovery.demo.stage import TooLate
from zkdiscovery.model import Status

if TYPE_CHECKING:
    from collections.abc import Callable

    from zkdiscovery.demo.stage import Stage

START_LIMIT = 20.0  # seconds for processes to start on a busy machine
SOON = 2.0  # seconds: what needs no timeout to pass; a small part of it on an idle machine
# A server expires a session at a tick after its timeout. Ours tick twice a second; 2 s is ZooKeeper's default.
EXPIRY_LIMIT = SESSION_TIMEOUT + 1.5 * 2.0 + 1.0  # seconds
CUT = SESSION_TIMEOUT + 2.0  # seconds: the session expires meanwhile
NOTICE_LIMIT = SESSION_TIMEOUT * 2 / 3 + SOON  # seconds: a ping each third of the timeout, unanswered for a third
RETURN_LIMIT = 6.0  # seconds for the way back: a new connection, a new session, a reload


def start(stage: Stage) -> None:
    """Three nodes, one of which leads."""
    began = time.monotonic()
    for _ in range(3):
        stage.cast.start()
    stage.wait("3 instances UP", lambda: len(stage.payments.available) == 3, START_LIMIT)
    stage.leader(START_LIMIT)
    stage.took("3 instances UP, 1 leads", time.monotonic() - began, START_LIMIT)
    stage.caller.start()


def add(stage: Stage) -> None:
    """One more."""
    with stage.calls(retries=False):
        node = stage.cast.start()
        picked = stage.wait(f"{node.name} is picked", lambda: stage.can_be_picked(node.name), START_LIMIT)
        stage.took("port open → picked", picked - (node.listening or picked), SOON)
        stage.wait(f"{node.name} is called", lambda: stage.caller.of(node.name).answered, SOON)


def stop_politely(stage: Stage) -> None:
    """SIGTERM to one that does not lead."""
    leader, _ = stage.leader(SOON)
    node = next(node for node in stage.cast.nodes if node.alive and node is not leader)
    with stage.calls(retries=False):
        stage.say(f"SIGTERM to {node.name}")
        told = node.stop()
        avoided = stage.wait("no longer picked", lambda: not stage.can_be_picked(node.name), EXPIRY_LIMIT)
        stage.took("SIGTERM → not picked", avoided - told, SOON)
        gone = stage.wait("instance gone", lambda: stage.seen(node.name) is None, EXPIRY_LIMIT)
        stage.took("SIGTERM → gone", gone - told, DRAIN_DELAY + SOON)
        stage.wait("process ended", lambda: node.process == "stopped", START_LIMIT)


def kill_leader(stage: Stage) -> None:
    """SIGKILL to the one that leads. It can't say goodbye: only the session timeout tells."""
    leader, term = stage.leader(SOON)
    with stage.calls(retries=True):
        stage.say(f"SIGKILL to {leader.name}")
        killed = leader.kill()
        gone = stage.wait("instance gone", lambda: stage.seen(leader.name) is None, EXPIRY_LIMIT)
        stage.took("SIGKILL → instance gone", gone - killed, EXPIRY_LIMIT)
        _, next_term = stage.leader(EXPIRY_LIMIT)
        stage.took("SIGKILL → next leader", next_term.since - killed, EXPIRY_LIMIT)
        stage.found(
            "next leader's fence", f"{term.fence} → {next_term.fence}", "larger", held=next_term.fence > term.fence
        )


def cut_off(stage: Stage) -> None:
    """Nothing passes between client and ZooKeeper. An instance is added meanwhile, which the client can't know."""
    with stage.calls(retries=False):
        stage.say("cut: nothing passes between the client and ZooKeeper")
        cut = time.monotonic()
        stage.proxy.blackhole()
        stale = stage.wait("known to be stale", lambda: stage.payments.snapshot.stale, NOTICE_LIMIT)
        stage.took("cut → known to be stale", stale - cut, NOTICE_LIMIT)
        node = stage.cast.start()
        stage.wait(f"{node.name} registers", lambda: node.registered, START_LIMIT)
        time.sleep(max(0.0, cut + CUT - time.monotonic()))
        age = stage.payments.snapshot.age
        unaware = stage.seen(node.name) is None
        stage.found("served from stale cache", f"for {age:.1f} s", f"{node.name} unseen", held=age > 0 and unaware)
    with stage.calls(retries=False):
        stage.say("healed: the way to ZooKeeper is free again")
        healed = time.monotonic()
        stage.proxy.heal()
        back = stage.wait(
            f"reloaded, {node.name} seen",
            lambda: not stage.payments.snapshot.stale and stage.seen(node.name) is Status.UP,
            RETURN_LIMIT,
        )
        stage.took(f"healed → {node.name} seen", back - healed, RETURN_LIMIT)


ACTS: tuple[tuple[str, str, Callable[[Stage], None]], ...] = (
    ("start", "three processes serve, one of them leads", start),
    ("add", "a fourth process", add),
    ("stop", "SIGTERM: one process says goodbye", stop_politely),
    ("kill", "SIGKILL: the leader dies", kill_leader),
    ("cut", "the client is cut off from ZooKeeper", cut_off),
)


def perform(stage: Stage, announce: Callable[[], None], linger: float) -> bool:
    """All acts, one after another; the first that waits in vain ends it.

    Args:
        stage: where.
        announce: called when an act begins.
        linger: seconds that an act is left standing at its end, for people to look.

    Returns:
        True if all was as expected.
    """
    for number, (_, _, act) in enumerate(ACTS, 1):
        stage.act = number
        announce()
        try:
            act(stage)
        except TooLate:
            return False
        time.sleep(linger)
    return all(finding.held for finding in stage.findings)
