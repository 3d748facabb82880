"""What a member does about a table, step by step, without ZooKeeper."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from zkdiscovery.shards.membership import Membership
from zkdiscovery.shards.table import Card, Layout, Table
from zkdiscovery.threads import Steps, run_steps

ME, OTHER = Card("me", 1.0), Card("other", 1.0)


class FakePlace:
    """A place that holds when a test says so."""

    def __init__(self) -> None:
        self.hold: Any = None
        self.holds = False
        self.over = False
        self.released = False

    def release(self) -> None:
        self.released = self.over = True
        self.holds = False

    def withdraw(self, _reason: str) -> None:
        self.release()

    def leaving(self, _timeout: float) -> Steps[None]:
        yield from ()


class FakeNode:
    """The node of a member, connected or not."""

    connected = True
    left = 0
    ended = 0

    def leave(self) -> None:
        self.left += 1

    def end(self) -> None:
        self.ended += 1

    def leaving(self, _timeout: float) -> Steps[None]:
        yield from ()

    def forked(self) -> None: ...


def table(mine: tuple[int, ...], others: tuple[int, ...] = ()) -> Table:
    return Table(8, {"me": ME, "other": OTHER}, {"me": mine, "other": others})


class Fixture:
    """A membership, and the places that it has taken."""

    def __init__(self) -> None:
        self.places: dict[int, FakePlace] = {}
        self.while_taking: Callable[[], None] = lambda: None
        self.node = FakeNode()
        self.held: list[tuple[int, ...]] = []
        self.membership: Membership[Any] = Membership(
            Layout("orders", "/shards/orders"), "me", self.take, lambda: "me", self.held.append
        )
        self.membership.register(self.node)

    def take(self, number: int, _tell: Callable[[], None]) -> Any:
        self.places[number] = place = FakePlace()
        self.while_taking()
        return cast("Any", place)

    def hold(self, *numbers: int) -> None:
        for number in numbers:
            self.places[number].holds = True


def test_a_table_that_comes_during_a_step_is_not_forgotten() -> None:
    fixture = Fixture()
    newer = [table((1, 2))]

    def take_newer() -> None:
        if newer:
            fixture.membership.take_table(newer.pop())

    fixture.while_taking = take_newer
    fixture.membership.take_table(table((1,)))
    fixture.membership.step()
    assert fixture.membership.news, "there is another one to follow"
    fixture.membership.step()
    assert sorted(fixture.places) == [1, 2]
    assert not fixture.membership.news


def test_only_what_moves_is_left_after_its_consumer_has_ended() -> None:
    fixture = Fixture()
    membership = fixture.membership
    membership.take_table(table((1, 2, 3)))
    assert membership.step() == []
    fixture.hold(1, 2)
    ready = membership.step()
    assert [claim.number for claim in ready] == [1, 2]
    for claim in ready:
        claim.busy = True
    membership.take_table(table((2,), (1, 3)))
    assert membership.step() == []
    assert [claim.leaving for claim in ready] == [True, False]
    assert (fixture.places[1].released, fixture.places[3].released) == (False, True)
    membership.take_table(table((1, 2)))  # it comes back, but its consumer must end all the same
    membership.step()
    assert not fixture.places[1].released
    before = fixture.places[1]
    ready[0].ended()
    membership.step()
    assert before.released
    assert membership.news
    membership.step()
    assert fixture.places[1] is not before
    assert fixture.held == [(1, 2), (2,)]


def test_one_that_leaves_waits_for_the_next_table_at_most_two_seconds() -> None:
    for handed_over in (False, True):
        fixture = Fixture()
        membership = fixture.membership
        membership.take_table(table((1,), (2,)))
        membership.step()
        fixture.hold(1)
        (claim,) = membership.step()
        claim.busy = True
        steps = membership.leaving(1e12)
        wait = next(steps)
        assert not wait.condition()
        assert fixture.node.left > 0
        assert not claim.leaving
        if handed_over:
            membership.take_table(Table(8, {"other": OTHER}, {"other": (1, 2)}))
        wait = steps.send(handed_over)
        assert claim.leaving
        assert not fixture.places[1].released
        claim.ended()
        run_steps(steps)
        assert fixture.places[1].released
        assert membership.over
        assert fixture.node.ended == 1
        assert fixture.held == [(1,), ()]


def test_a_member_alone_or_without_contact_waits_for_no_table() -> None:
    for alone in (True, False):
        fixture = Fixture()
        membership = fixture.membership
        membership.take_table(Table(8, {"me": ME}, {"me": (1,)}) if alone else table((1,), (2,)))
        fixture.node.connected = alone
        membership.step()
        fixture.hold(1)
        membership.step()
        run_steps(membership.leaving(1e12))
        assert fixture.places[1].released
