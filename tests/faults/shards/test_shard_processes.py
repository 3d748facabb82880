"""Members that are killed, stopped and restarted: only their shards move, in time, and none is ever held twice."""

from __future__ import annotations

import math
import signal

import pytest

from tests.integration.shards.history import check_never_twice, gaps, pids
from tests.integration.shards.members import Group, T
from tests.support import LIMIT, Truth, wait_until
from zkdiscovery.session.clock import lease_now

HOWS = ("threads", "asyncio", "threads")


@pytest.fixture
def late() -> float:
    """Seconds until the shards of a member that was killed are held again: T, 1.5 ticks, and 2 s.

    T is two ticks of the server or more.
    """
    return T + 1.5 * T / 2 + 2.0


def test_the_shards_of_a_killed_member_move_in_time_and_no_others(processes: Group, late: float) -> None:
    first, killed, third = (processes.start(how) for how in HOWS)
    processes.wait_settled(first, killed, third)
    before = first.held, killed.held, third.held
    begun = {number: len(holds) for number, holds in processes.history().items()}
    at = lease_now()
    killed.signal(signal.SIGKILL)
    first.wait_held(lambda held: len(held) == 6)
    third.wait_held(lambda held: len(held) == 6)
    assert before[0] < first.held
    assert before[2] < third.held
    wait_until(lambda: all(len(processes.history()[number]) > begun[number] for number in before[1]))
    history = processes.history()
    check_never_twice(history)
    for number, holds in history.items():
        if number in before[1]:
            assert holds[-1].begin - at < late, f"shard {number} came late"
        else:
            assert len(holds) == begun[number], f"shard {number} has moved"


def test_one_that_joins_moves_its_part_at_most(processes: Group) -> None:
    members = [processes.start(how) for how in HOWS]
    processes.wait_settled(*members)
    before = pids(processes.history())
    members.append(processes.start("asyncio"))
    processes.wait_settled(*members)
    after = pids(processes.history())
    moved = [number for number in after if after[number] != before[number]]
    assert len(moved) <= math.ceil(12 / 4)
    assert {after[number][-1] for number in moved} == {members[-1].pid}
    check_never_twice(processes.history())


def test_a_stopped_member_finds_its_shards_lost(processes: Group) -> None:
    first, stopped = processes.start(), processes.start("asyncio")
    processes.wait_settled(first, stopped)
    stopped.signal(signal.SIGSTOP)
    first.wait_held(lambda held: len(held) == 12)
    stopped.signal(signal.SIGCONT)
    stopped.wait_held(lambda held: not held)
    processes.wait_settled(first, stopped)
    check_never_twice(processes.history())


def test_the_assigner_is_killed_in_the_middle(processes: Group, truth: Truth, namespace: str, late: float) -> None:
    assigner = processes.start()
    assigner.wait_held(lambda held: len(held) == 12)
    others = [processes.start(how) for how in HOWS]
    # They have joined, and no table has them yet: it comes a second later.
    wait_until(lambda: len(truth.children(f"{namespace}/shards/orders/members")) == 4, 2 * LIMIT)
    at = lease_now()
    assigner.signal(signal.SIGKILL)
    processes.wait_settled(*others)
    wait_until(lambda: all({held.pid for held in holds} - {assigner.pid} for holds in processes.history().values()))
    history = processes.history()
    check_never_twice(history)
    assert max(holds[-1].begin for holds in history.values()) - at < late


def test_a_rolling_restart_leaves_no_shard_for_long(processes: Group) -> None:
    members = [processes.start(how) for how in HOWS]
    processes.wait_settled(*members)
    for number, how in enumerate(HOWS):
        old = members[number]
        old.signal(signal.SIGTERM)
        others = [member for member in members if member is not old]
        processes.wait_settled(*others)
        members[number] = processes.start(how)
        processes.wait_settled(*members)
    history = processes.history()
    check_never_twice(history)
    longest = max(gap for each in gaps(history).values() for gap in each)
    assert longest < T, "a member that leaves hands its shards over, nobody waits for its session"


def test_members_come_and_go_at_random(processes: Group) -> None:
    members = [processes.start(how) for how in HOWS]
    processes.wait_settled(*members)
    for step, number in enumerate((signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP)):
        members.append(processes.start(HOWS[step]))
        members[step].signal(number)
    processes.wait_settled(*members[3:])
    members[2].signal(signal.SIGCONT)
    processes.wait_settled(*members[2:])
    check_never_twice(processes.history())
