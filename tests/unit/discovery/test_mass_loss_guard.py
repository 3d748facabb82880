"""The guard's arithmetic, with times given."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zkdiscovery.discovery.guard import DEREGISTRATION_WINDOW, MassLossGuard, was_deregistered
from zkdiscovery.model import Instance, Status
from zkdiscovery.settings import Guard
from zkdiscovery.znodes import Marks

TIMEOUT = 10.0  # seconds


def instance(number: int, status: Status = Status.UP) -> Instance:
    return Instance("payments", "127.0.0.1", 8080, id=f"i{number}", status=status)


INSTANCES = [instance(number) for number in range(100)]


def instances(*numbers: int) -> list[Instance]:
    return [INSTANCES[number] for number in numbers]


def guard(**settings: object) -> MassLossGuard:
    return MassLossGuard(Guard.model_validate(settings), TIMEOUT)


def suspects(guard: MassLossGuard) -> set[int]:
    return {int(suspect.id[1:]) for suspect in guard.suspects}


def test_more_than_half_of_at_least_three() -> None:
    cases = [(3, 1, 3), (2, 2, 0), (3, 2, 3), (2, 1, 2), (2, 0, 0), (1, 0, 0), (1, 2, 0), (100, 99, 100), (100, 100, 0)]
    for lost, left, suspected in cases:
        watcher = guard()
        assert watcher.lost(instances(*range(lost)), left, 0.0) == suspected
        assert len(watcher.suspects) == suspected


def test_losses_within_the_window_count_as_one() -> None:
    watcher = guard()
    assert watcher.lost(instances(1), 3, 0.0) == 0
    assert watcher.lost(instances(2), 2, 4.0) == 0
    assert watcher.lost(instances(3), 1, 5.0) == 3, "those, too, that vanished first"
    assert suspects(watcher) == {1, 2, 3}


def test_losses_beyond_the_window_do_not() -> None:
    watcher = guard()
    for number in range(3):
        assert watcher.lost(instances(number), 3 - number, 5.1 * number) == 0
    assert watcher.suspects == ()


def test_whoever_follows_a_mass_loss_belongs_to_it() -> None:
    """Also after the window, as long as the others are held."""
    watcher = guard()
    assert watcher.lost(instances(1, 2, 3), 1, 0.0) == 3
    assert watcher.lost(instances(4), 0, 8.0) == 1
    assert suspects(watcher) == {1, 2, 3, 4}
    assert [suspect.id for suspect in watcher.release(10.0)] == ["i1", "i2", "i3"]
    assert watcher.next_release() == 18.0


def test_nobody_is_held_longer_because_others_follow() -> None:
    watcher = guard()
    watcher.lost(instances(1, 2, 3), 4, 0.0)
    assert watcher.suspects == ()
    watcher.lost(instances(4), 3, 1.0)
    assert watcher.next_release() == 11.0
    watcher.lost(instances(5), 2, 2.0)
    watcher.lost([], 2, 3.0)
    assert watcher.next_release() == 11.0
    assert len(watcher.release(11.0)) == 4
    assert watcher.next_release() == 12.0
    assert watcher.lost([], 2, 11.5) == 0, "a change of others brings nobody back"
    assert suspects(watcher) == {5}


def test_suspects_are_let_go() -> None:
    watcher = guard()
    watcher.lost(instances(1, 2, 3), 1, 5.0)
    assert watcher.next_release() == 15.0
    assert watcher.release(14.9) == []
    assert [suspect.id for suspect in watcher.release(15.0)] == ["i1", "i2", "i3"]
    assert watcher.suspects == ()
    assert watcher.next_release() is None
    assert watcher.lost(instances(4), 0, 15.1) == 0, "those that were let go count no more"


def test_who_returns_is_no_suspect() -> None:
    watcher = guard()
    watcher.lost(instances(1, 2, 3), 1, 0.0)
    watcher.returned(["i2", "unknown"])
    assert suspects(watcher) == {1, 3}
    watcher.lost(instances(2), 1, 1.0)
    assert suspects(watcher) == {1, 2, 3}
    assert watcher.next_release() == 10.0


def test_who_returns_was_not_lost() -> None:
    watcher = guard()
    watcher.lost(instances(1), 3, 0.0)
    watcher.returned(["i1"])
    assert watcher.lost(instances(2, 3), 2, 1.0) == 0
    assert watcher.lost(instances(4), 1, 1.0) == 3


def test_limits_of_ones_own() -> None:
    watcher = guard(minimum=5, fraction=0.2, window=1.0, hold=30.0)
    assert watcher.lost(instances(1, 2), 2, 0.0) == 0, "four are less than five"
    assert watcher.lost(instances(3, 4), 6, 2.0) == 2, "a quarter is more than a fifth; the first two are too long ago"
    assert watcher.next_release() == 32.0


def test_switched_off() -> None:
    watcher = guard(enabled=False)
    assert watcher.lost(instances(1, 2, 3), 0, 0.0) == 0
    assert watcher.suspects == ()


def test_the_session_timeout_is_the_measure() -> None:
    watcher = guard()
    assert (watcher.hold, watcher.window) == (10.0, 5.0)
    watcher.session_timeout = 4.0
    assert (watcher.hold, watcher.window) == (4.0, 2.0)


@given(
    order=st.permutations(range(8)), left=st.integers(0, 12), fraction=st.floats(0.05, 0.95), parts=st.integers(1, 8)
)
def test_the_order_of_losses_is_all_one(order: list[int], left: int, fraction: float, parts: int) -> None:
    """Lost at once, or bit by bit within the window: the same suspects in the end."""
    at_once, bit_by_bit = guard(fraction=fraction), guard(fraction=fraction)
    at_once.lost(instances(*order), left, 0.0)
    counted = 0
    for part in range(parts):
        lost = order[part::parts]
        still_there = left + sum(len(order[later::parts]) for later in range(part + 1, parts))
        counted += bit_by_bit.lost(instances(*lost), still_there, 0.1 * part)
    assert suspects(bit_by_bit) == suspects(at_once)
    assert suspects(at_once) == (set(range(8)) if fraction * (8 + left) < 8 else set())
    assert counted == len(suspects(bit_by_bit))


@given(
    st.lists(
        st.tuples(st.floats(0.0, 6.0), st.sets(st.integers(0, 9)), st.sets(st.integers(0, 9))), min_size=1, max_size=20
    )
)
def test_whatever_happens(steps: list[tuple[float, set[int], set[int]]]) -> None:
    """Nobody who is there is a suspect, nobody is one for longer than the hold, every suspect is let go."""
    watcher, now, there = guard(), 0.0, set(range(10))
    suspected_at: dict[int, float] = {}
    for delay, coming, going in steps:
        now += delay
        watcher.release(now)
        watcher.returned([f"i{number}" for number in coming])
        there |= coming
        suspected_at = {number: since for number, since in suspected_at.items() if number in suspects(watcher)}
        lost = going & there
        there -= lost
        before = suspects(watcher)
        new = watcher.lost(instances(*sorted(lost)), len(there), now)
        assert suspects(watcher) >= before
        assert new == len(suspects(watcher) - before)
        suspected_at = dict.fromkeys(suspects(watcher), now) | suspected_at
        assert not suspects(watcher) & there
        assert all(now - since < TIMEOUT for since in suspected_at.values())
    watcher.release(now + TIMEOUT)
    assert watcher.suspects == ()


def test_deregistrations() -> None:
    up = instance(1)
    for leaving in (Status.DRAINING, Status.OUT_OF_SERVICE):
        assert was_deregistered(instance(1, leaving), None)
    for staying in (Status.UP, Status.DOWN, Status.STARTING):
        assert not was_deregistered(instance(1, staying), None)
    assert was_deregistered(up, Marks(changed_at=5.0, deleted_at=5.0 + DEREGISTRATION_WINDOW, there=False))
    assert not was_deregistered(up, Marks(changed_at=5.0, deleted_at=5.1 + DEREGISTRATION_WINDOW, there=False))
    assert not was_deregistered(up, Marks(deleted_at=1.0, there=False)), "no change seen, at whatever time"
    assert not was_deregistered(up, Marks(changed_at=6.0, deleted_at=5.0))
