"""Who takes part in the queue of a lock, and in which order."""

from __future__ import annotations

import pytest

from zkdiscovery.locks.names import Kind, Layout, holding, in_order, is_reader, new_name, that_count

OURS = "_c_9f0c3b1e-7f5e-4f4b-9d0e-0123456789ab-lock-0000000007"
KAZOOS = "8a1d0c9b7e6f4a5b8c7d6e5f4a3b2c1d__lock__0000000006"


def test_all_layouts_stand_in_one_order() -> None:
    assert in_order([OURS, "limit", KAZOOS, "x-__READ__0000000005", "n_0000000001"]) == [
        "n_0000000001", "x-__READ__0000000005", KAZOOS, OURS,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "name", ["limit", "0000000001", "x.0000000001", "lock-000000001", "lock-00000000001", "9f0c-0123456789ab", ""]
)
def test_what_takes_no_part(name: str) -> None:
    assert in_order([name]) == []


def test_the_count_goes_on_below_zero() -> None:
    """ZooKeeper counts children in 32 bits, and prints the sign."""
    queue = ["lock-2147483646", "lock-2147483647", "lock--2147483648", "lock--2147483647"]
    assert in_order(reversed(queue)) == queue


@pytest.mark.parametrize("layout", ["curator", "kazoo"])
@pytest.mark.parametrize("kind", [Kind.LOCK, Kind.READ, Kind.WRITE])
def test_new_names_take_part_in_their_role(layout: Layout, kind: Kind) -> None:
    name, other = new_name(kind, layout), new_name(kind, layout)
    assert name.text.startswith(name.token)
    assert not other.text.startswith(name.token)
    made = f"{name.text}0000000012"
    assert in_order([made]) == [made]
    assert is_reader(made) is (kind is Kind.READ)


def test_readers_stand_behind_writers_only() -> None:
    queue = ["a-__READ__0000000000", "b-__WRIT__0000000001", "c__rlock__0000000002", "d-lock-0000000003"]
    queue.append(own := "e-__READ__0000000004")
    assert that_count(Kind.READ, queue, own) == [queue[1], queue[3], own]
    assert that_count(Kind.WRITE, queue, own) == queue


@pytest.mark.parametrize(
    ("kinds", "expected"), [("", 0), ("W", 1), ("WR", 1), ("R", 1), ("RRRWR", 3), ("RR", 2), ("WW", 1)]
)
def test_how_many_hold(kinds: str, expected: int) -> None:
    names = {"R": "__READ__", "W": "__WRIT__"}
    assert holding([f"a-{names[kind]}{number:010}" for number, kind in enumerate(kinds)]) == expected
