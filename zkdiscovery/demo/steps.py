"""The steps of the demo: each makes something happen, waits for its effects, and records what it measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise

from zkdiscovery.demo.node import DRAIN_DELAY, SESSION_TIMEOUT, SHARD_COUNT, TURNS
from zkdiscovery.demo.run import DemoRun, StepTimeoutError
from zkdiscovery.model import Status

START_LIMIT = 20.0  # seconds for processes to start on a busy machine
SOON = 2.0  # seconds: what needs no timeout to pass; a small part of it on an idle machine
# A server expires a session at a tick after its timeout. Ours tick twice a second; 2 s is ZooKeeper's default.
EXPIRY_LIMIT = SESSION_TIMEOUT + 1.5 * 2.0 + 1.0  # seconds
CUT = SESSION_TIMEOUT + 2.0  # seconds: the session expires meanwhile
NOTICE_LIMIT = SESSION_TIMEOUT * 2 / 3 + SOON  # seconds: a ping each third of the timeout, unanswered for a third
EVERY_SHARD = list(range(SHARD_COUNT))
RETURN_LIMIT = 6.0  # seconds for the way back: a new connection, a new session, a reload


def start(run: DemoRun) -> None:
    """Start three nodes, one of which leads."""
    began = time.monotonic()
    for _ in range(3):
        run.processes.start()
    run.wait("3 instances UP", lambda: len(run.payments.available) == 3, START_LIMIT)
    run.leader(START_LIMIT)
    run.took("3 instances UP, 1 leads", time.monotonic() - began, START_LIMIT)
    run.caller.start()


def add(run: DemoRun) -> None:
    """Start one more node."""
    with run.calls(retries=False):
        node = run.processes.start()
        picked = run.wait(f"{node.name} is picked", lambda: run.can_be_picked(node.name), START_LIMIT)
        run.took("port open → picked", picked - (node.listening or picked), SOON)
        run.wait(f"{node.name} is called", lambda: run.caller.of(node.name).answered, SOON)


def take_turns(run: DemoRun) -> None:
    """Let all nodes take turns at one lock. All of them have one clock, that of the machine."""
    nodes, began = run.processes.alive, time.monotonic()
    for node in nodes:
        node.tell("turns")
    run.wait("all have had their turns", lambda: all(len(node.turns) == TURNS for node in nodes), START_LIMIT)
    run.took(f"{TURNS} turns of {len(nodes)} processes", time.monotonic() - began, START_LIMIT)
    turns = sorted(turn for node in nodes for turn in node.turns)
    overlaps = sum(after.began < before.ended for before, after in pairwise(turns))
    run.found("turns that overlap", str(overlaps), "0", held=overlaps == 0)
    fences = [turn.fence for turn in turns]
    grow = all(before < after for before, after in pairwise(fences))
    run.found("fences of the turns", f"{fences[0]} → {fences[-1]}", "each larger than the one before", held=grow)


def share_out(run: DemoRun) -> None:
    """Let all nodes share out the shards."""
    nodes, began = run.processes.alive, time.monotonic()
    for node in nodes:
        node.tell("shards")

    def shared_out() -> bool:
        fair = {SHARD_COUNT // len(nodes), -(-SHARD_COUNT // len(nodes))}
        return run.processes.shards == EVERY_SHARD and {len(node.shards) for node in nodes} <= fair

    shared = run.wait("shared out", shared_out, START_LIMIT)
    sizes = ", ".join(str(len(node.shards)) for node in nodes)
    run.took(f"{SHARD_COUNT} shards shared out: {sizes}", shared - began, START_LIMIT)


def stop(run: DemoRun) -> None:
    """Send SIGTERM to a node that does not lead. The shards of the others stay where they are."""
    leader, _ = run.leader(SOON)
    node = next(node for node in run.processes.alive if node is not leader)
    others = {other: set(other.shards) for other in run.processes.alive if other is not node}
    with run.calls(retries=False):
        run.say(f"SIGTERM to {node.name}")
        signalled = node.stop()
        unpicked = run.wait("no longer picked", lambda: not run.can_be_picked(node.name), EXPIRY_LIMIT)
        run.took("SIGTERM → not picked", unpicked - signalled, SOON)
        moved = run.wait("its shards moved", lambda: run.processes.shards == EVERY_SHARD, EXPIRY_LIMIT)
        run.took("SIGTERM → its shards moved", moved - signalled, DRAIN_DELAY + SOON)
        kept = all(shards <= set(other.shards) for other, shards in others.items())
        run.found("the others' shards", "kept" if kept else "moved", "kept", held=kept)
        gone = run.wait("instance gone", lambda: run.seen(node.name) is None, EXPIRY_LIMIT)
        run.took("SIGTERM → gone", gone - signalled, DRAIN_DELAY + SOON)
        run.wait("process ended", lambda: node.process == "stopped", START_LIMIT)


def kill_leader(run: DemoRun) -> None:
    """Send SIGKILL to the leader. It can't deregister, so that only the session timeout removes it."""
    leader, term = run.leader(SOON)
    with run.calls(retries=True):
        run.say(f"SIGKILL to {leader.name}")
        killed = leader.kill()
        gone = run.wait("instance gone", lambda: run.seen(leader.name) is None, EXPIRY_LIMIT)
        run.took("SIGKILL → instance gone", gone - killed, EXPIRY_LIMIT)
        _, next_term = run.leader(EXPIRY_LIMIT)
        run.took("SIGKILL → next leader", next_term.since - killed, EXPIRY_LIMIT)
        run.found(
            "next leader's fence", f"{term.fence} → {next_term.fence}", "larger", held=next_term.fence > term.fence
        )


def cut_off(run: DemoRun) -> None:
    """Cut the client off from ZooKeeper. An instance is added meanwhile, which the client can't know."""
    with run.calls(retries=False):
        run.say("cut: nothing passes between the client and ZooKeeper")
        cut = time.monotonic()
        run.proxy.blackhole()
        stale = run.wait("known to be stale", lambda: run.payments.snapshot.stale, NOTICE_LIMIT)
        run.took("cut → known to be stale", stale - cut, NOTICE_LIMIT)
        node = run.processes.start()
        run.wait(f"{node.name} registers", lambda: node.registered, START_LIMIT)
        time.sleep(max(0.0, cut + CUT - time.monotonic()))
        age = run.payments.snapshot.age
        unaware = run.seen(node.name) is None
        run.found("served from stale cache", f"for {age:.1f} s", f"{node.name} unseen", held=age > 0 and unaware)
    with run.calls(retries=False):
        run.say("healed: the way to ZooKeeper is free again")
        healed = time.monotonic()
        run.proxy.heal()
        back = run.wait(
            f"reloaded, {node.name} seen",
            lambda: not run.payments.snapshot.stale and run.seen(node.name) is Status.UP,
            RETURN_LIMIT,
        )
        run.took(f"healed → {node.name} seen", back - healed, RETURN_LIMIT)


STEPS: tuple[tuple[str, str, Callable[[DemoRun], None]], ...] = (
    ("start", "three processes serve, one of them leads", start),
    ("add", "a fourth process", add),
    ("lock", "all take turns at one lock", take_turns),
    ("shards", "all share out the parts of a task", share_out),
    ("stop", "SIGTERM: one process deregisters and ends", stop),
    ("kill", "SIGKILL: the leader dies", kill_leader),
    ("cut", "the client is cut off from ZooKeeper", cut_off),
)


def run_steps(run: DemoRun, announce: Callable[[], None], linger: float) -> bool:
    """Run all steps, one after another; the first one that waits in vain is the last.

    Args:
        run: the run.
        announce: called when a step begins.
        linger: seconds to wait after each step, so that people can look.

    Returns:
        True if all was as expected.
    """
    for number, (_, _, step) in enumerate(STEPS, 1):
        run.step = number
        announce()
        try:
            step(run)
        except StepTimeoutError:
            return False
        time.sleep(linger)
    return all(finding.held for finding in run.findings)
