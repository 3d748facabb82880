"""Each invariant of locks and shards: a history that breaks it is found, and one that does not is let pass."""

from __future__ import annotations

import math

import pytest

from tests.faults.chaos.carry import FIRST_LIMIT, Carry, LimitChange
from tests.faults.chaos.checker import check_round
from tests.faults.chaos.figures import Figures
from tests.faults.chaos.history import Event
from tests.faults.chaos.holds import ASKED, FORGOTTEN, most_in_force, together
from tests.faults.chaos.test_chaos_checker import event, violated

MUTEX, INDEX, GPU, PART = "locks/mutex", "locks/index", "semaphores/gpu", "shards/parts/locks/0"

ALONE, BESIDE = {"one holder at a time"}, {"no reader beside a writer"}
TOO_MANY = {"never more holds than the limit"}
FOREIGN = {"nobody deletes the node of a hold"}


def hold(
    kind: str,
    fence: int,
    begin: float,
    last: float,
    *,
    of: str = INDEX,
    asked: float | None = None,
    over: str | None = None,
) -> list[Event]:
    """A hold that was proven valid from `begin` to `last`, each in a process of its own."""
    who, asked = f"w{fence}.1", begin if asked is None else asked
    return [
        event(begin, who, "hold", kind=kind, of=of, fence=fence, asked=asked, begin=begin, remaining=1.0),
        event(last, who, "valid", of=of, fence=fence, to=last, remaining=1.0, over=over),
    ]


def lease(fence: int, begin: float, last: float, asked: float | None = None) -> list[Event]:
    return hold("lease", fence, begin, last, of=GPU, asked=asked)


def changed(begin: float, end: float, number: int, result: str = "ok") -> Event:
    return event(end, "w1.1", "limit", of=GPU, begin=begin, end=end, number=number, result=result)


# -- who excludes whom --


@pytest.mark.parametrize(
    ("kinds", "found"),
    [
        (("lock", "lock"), ALONE),
        (("write", "write"), ALONE),
        (("lock", "write"), ALONE),
        (("read", "write"), BESIDE),
        (("write", "read"), BESIDE),
        (("lock", "read"), BESIDE),
        (("read", "read"), set()),
    ],
)
def test_holds_at_one_time(kinds: tuple[str, str], found: set[str]) -> None:
    """Readers alone may overlap."""
    first, second = kinds
    assert not violated([*hold(first, 10, 1.0, 2.0), *hold(second, 20, 2.1, 3.0)])
    assert violated([*hold(first, 10, 1.0, 2.0), *hold(second, 20, 1.9, 3.0)]) == found
    assert not violated([*hold(first, 10, 1.0, 2.0, of=MUTEX), *hold(second, 20, 1.9, 3.0)])


def test_a_writer_beside_one_of_many_readers() -> None:
    """Not only the newest one counts."""
    readers = [*hold("read", 10, 1.0, 9.0), *hold("read", 20, 2.0, 3.0), *hold("read", 30, 4.0, 5.0)]
    assert not violated([*readers, *hold("write", 40, 9.1, 10.0)])
    assert violated([*readers, *hold("write", 40, 6.0, 7.0)]) == BESIDE


@pytest.mark.parametrize(
    ("earlier", "later", "found"),
    [
        ("lock", "lock", {"fences grow"}),
        ("write", "read", {"fences grow"}),
        ("read", "write", {"fences grow"}),
        ("read", "read", set()),
    ],
)
def test_fences_that_fall(earlier: str, later: str, found: set[str]) -> None:
    """Those of readers are in no order."""
    assert violated([*hold(earlier, 20, 1.0, 2.0), *hold(later, 10, 3.0, 4.0)]) == found


def test_a_node_deleted_from_outside_is_beyond_any_lease() -> None:
    """Only the fence counts then, of that hold alone."""
    overlap = [*hold("read", 10, 1.0, 5.0), *hold("read", 11, 1.0, 5.0), *hold("write", 20, 4.9, 9.0)]
    both = [event(4.8, "controller", "exempt", of=INDEX, fence=fence) for fence in (10, 11)]
    assert not violated([*both, *overlap])
    assert violated([both[0], *overlap]) == BESIDE


# -- shards --


def owned(fence: int, begin: float, last: float, over: str | None = None) -> list[Event]:
    return hold("shard", fence, begin, last, of=PART, over=over)


def test_owners_that_follow_each_other() -> None:
    """The next one begins after the one before has ended; another shard is another queue."""
    assert not violated([*owned(10, 1.0, 2.0, "released"), *owned(20, 2.1, 3.0)])
    assert not violated([*owned(10, 1.0, 2.0), *hold("shard", 20, 1.9, 3.0, of="shards/parts/locks/1")])


def test_a_shard_that_is_held_twice() -> None:
    """By what both owners have proved."""
    assert violated([*owned(10, 1.0, 2.0), *owned(20, 1.9, 3.0)]) == {"one owner of a shard at a time"}


def test_fences_of_a_shard_that_fall() -> None:
    """From owner to owner."""
    assert violated([*owned(20, 1.0, 2.0), *owned(10, 2.1, 3.0)]) == {"fences grow"}


# -- how holds end --

REASONS = ("its node was deleted from outside", "/locks/index/_c_1-lock-0000000001 was deleted from outside")


@pytest.mark.parametrize("kind", ["lock", "read", "lease", "shard", "term"])
@pytest.mark.parametrize("reason", REASONS)
def test_a_node_that_nobody_of_the_run_deleted(kind: str, reason: str) -> None:
    """Something deletes nodes that are not its own."""
    events = hold(kind, 10, 1.0, 2.0, over=reason)
    assert violated(events) == FOREIGN
    assert not violated([event(1.5, "controller", "exempt", of=INDEX, fence=10), *events])
    assert violated([event(1.5, "controller", "exempt", of=INDEX, fence=11), *events]) == FOREIGN


def test_a_node_that_went_with_a_session_ended_by_force() -> None:
    """Its process may hear of the node first, and had no time for a stamp since."""
    first, last = hold("lock", 10, 1.0, 2.0, over=REASONS[0])
    told = {**last, "t": 2.3}
    forced = [event(2.1, "w10.1", "forced", done=False), event(2.2, "w10.1", "forced", done=True)]
    assert not violated([first, *forced, told])
    assert violated([first, *[{**each, "who": "w11.1"} for each in forced], told]) == FOREIGN


@pytest.mark.parametrize("reason", ["released", "the session was not renewed in time", "it was lost with its session"])
def test_holds_that_end_as_they_may(reason: str) -> None:
    """By their holder, or because the session is over."""
    assert not violated(hold("lock", 10, 1.0, 2.0, over=reason))


# -- limits --


def test_up_to_the_limit() -> None:
    """As many as its first user has stored, and one more."""
    full = [*lease(10, 1.0, 9.0), *lease(20, 2.0, 9.0)]
    assert FIRST_LIMIT == 2
    assert not violated([*full, *lease(30, 9.1, 10.0)])
    assert violated([*full, *lease(30, 8.9, 10.0)]) == TOO_MANY


def test_a_hold_that_began_later_but_stood_before() -> None:
    """What has the smaller fence counts, whenever its process came to look at it."""
    assert violated([*lease(10, 1.0, 9.0), *lease(20, 5.0, 9.0), *lease(30, 4.0, 9.0)]) == TOO_MANY


def test_a_limit_that_is_lowered_ends_no_hold() -> None:
    """The limit counts that was in force when a hold was acquired."""
    three = [changed(0.1, 0.2, 3), *lease(10, 1.0, 9.0), *lease(20, 2.0, 9.0), *lease(30, 3.0, 9.0)]
    assert not violated(three)
    lowered = changed(4.0, 4.1, 1)
    assert not violated([*three, lowered])
    assert violated([*three, lowered, *lease(40, 8.0, 9.0)]) == TOO_MANY
    assert not violated([*three, lowered, *lease(40, 9.1, 10.0)])


def test_a_limit_that_may_have_been_in_force() -> None:
    """A hold was acquired at some time between the request for it and its first stamp."""
    two = [*lease(10, 1.0, 9.0), *lease(20, 2.0, 9.0)]
    raised, lowered = changed(3.0, 3.1, 3), changed(5.0, 5.1, 2)
    assert not violated([*two, raised, lowered, *lease(30, 7.0, 9.0, asked=5.0)])
    assert violated([*two, raised, lowered, *lease(30, 7.0, 9.0, asked=5.2)]) == TOO_MANY


def test_a_change_whose_outcome_is_unknown() -> None:
    """It may come into force at any time until the round is over, and be in force until the next change."""
    two = [*lease(10, 1.0, 9.0), *lease(20, 2.0, 9.0)]
    unknown = changed(0.1, 0.1, 3, ASKED)
    assert not violated([*two, unknown, changed(2.0, 2.1, 2), *lease(30, 7.0, 9.0)])
    violations, carry = check_round(sorted([*two, unknown], key=lambda event: event["t"]), Carry())
    assert not violations
    assert not violated(lease(30, 8.0, 9.0), carry)
    assert violated(
        [changed(9.1, 9.2, 2), *lease(30, 11.0, 12.0), *lease(40, 11.0, 12.0), *lease(50, 11.5, 12.0)], carry
    )


def test_a_change_that_was_asked_for_and_done() -> None:
    """Whoever asked says so first, because it may be killed."""
    done = [changed(0.1, 0.1, 3, ASKED), changed(0.1, 0.9, 3), changed(1.0, 1.0, 1, ASKED), changed(1.0, 1.1, 1)]
    assert not violated([*done, *lease(10, 2.0, 9.0)])
    assert violated([*done, *lease(10, 2.0, 9.0), *lease(20, 3.0, 9.0)]) == TOO_MANY
    assert not violated([*done[:3], *lease(10, 2.0, 9.0), *lease(20, 3.0, 9.0), *lease(30, 4.0, 9.0)])


def test_the_limit_of_rounds_ago_is_in_force() -> None:
    """However long nobody has changed it."""
    _, carry = check_round([changed(1.0, 1.1, 1)], Carry())
    for begin in (100.0, 200.0, 300.0):
        violations, carry = check_round([*lease(int(begin), begin, begin + 1.0)], carry)
        assert not violations
    assert violated([*lease(400, 400.0, 401.0), *lease(401, 400.5, 401.0)], carry) == TOO_MANY


def test_most_in_force() -> None:
    """The largest of all that may have been."""
    changes = [LimitChange(GPU, 1.0, 2.0, 4, sure=True), LimitChange(GPU, 5.0, 6.0, 1, sure=True)]
    assert most_in_force(changes, GPU, 0.0, 0.9) == FIRST_LIMIT
    assert most_in_force(changes, GPU, 0.0, 1.5) == 4
    assert most_in_force(changes, GPU, 2.1, 9.0) == 4
    assert most_in_force(changes, GPU, 5.5, 9.0) == 4
    assert most_in_force(changes, GPU, 6.1, math.inf) == 1
    assert most_in_force(changes, "semaphores/other", 6.1, 9.0) == FIRST_LIMIT


def test_a_limit_that_was_forgotten() -> None:
    """A semaphore that has been used has a limit for good."""
    assert violated([changed(1.0, 1.1, 0, FORGOTTEN)]) == {"a limit is never forgotten"}


# -- figures --


def test_readers_together() -> None:
    """Those of the round that began while another reader of the same lock was valid."""
    events = [*hold("read", 10, 1.0, 5.0), *hold("read", 20, 2.0, 3.0), *hold("read", 30, 5.1, 6.0)]
    events += hold("read", 40, 2.0, 3.0, of=MUTEX)
    _, carry = check_round(sorted(events, key=lambda event: event["t"]), Carry())
    holds = carry.holds.values()
    assert together(holds, {10, 20, 30, 40}, "read") == 1
    assert together(holds, {30}, "read") == 0
    assert together(holds, {10, 20, 30, 40}, "lease") == 0


def test_moves_of_shards() -> None:
    """An owner that takes its shard again has not moved it."""
    again = [{**each, "who": "w20.1"} for each in owned(30, 3.5, 4.0)]
    events = [*owned(10, 1.0, 2.0), *owned(20, 2.2, 3.0), *again]
    violations, carry = check_round(events, Carry())
    assert not violations
    figures = Figures(7)
    figures.add(events, carry)
    table = figures.table()
    assert table["holds of shards"] == 3
    assert table["moves of shards to other processes"] == 1
    assert table["longest gap without an owner of a shard, s"] == 0.5
