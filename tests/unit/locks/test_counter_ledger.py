"""The ledger of a counter tells whether a change was made, or says that it can't; it is never wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkdiscovery import UndecodableNode
from zkdiscovery.locks import ledger as ledger_module
from zkdiscovery.locks.counters import overwrite
from zkdiscovery.locks.ledger import MOST, Ledger, Mark, decode, encode, was_made, with_mark


def mark(client: int, number: int = 1) -> Mark:
    return Mark(f"{client:016x}", number)


def after(ledger: Ledger, *marks: Mark) -> Ledger:
    for one in marks:
        ledger = with_mark(ledger, one)
    return ledger


def test_a_client_has_one_line_the_last_one_to_change_comes_last() -> None:
    ledger = after((), mark(1), mark(2), mark(1, 2))
    assert ledger == (mark(2), mark(1, 2))
    assert decode("/c", encode(ledger)) == ledger
    assert decode("/c", b"") == ()


@pytest.mark.parametrize("data", [b"7", b"\xff", b"0123456789abcdef", b"0123456789abcdef 1 2", b"0123456789ABCDEF 1"])
def test_what_is_no_ledger(data: bytes) -> None:
    with pytest.raises(UndecodableNode, match="/c holds no ledger of a counter"):
        decode("/c", data)


def test_a_change_is_found_until_so_many_others_have_written() -> None:
    before = after((), *(mark(client) for client in range(MOST)))
    mine = mark(MOST)
    others = [mark(client, 2) for client in range(MOST)]
    assert was_made(mine, before, after(before, mine)) is True
    assert was_made(mine, before, after(before, mine, *others[:-1])) is True
    assert was_made(mine, before, after(before, mine, *others)) is None
    assert was_made(mine, before, before) is False
    assert was_made(mine, before, after(before, *others[:-1])) is False
    assert was_made(mine, before, after(before, *others)) is None
    assert was_made(mine, (), after((), *others[:-1])) is False


@given(
    before=st.lists(st.integers(0, 8), max_size=20),
    later=st.lists(st.integers(0, 8), max_size=20),
    made=st.booleans(),
)
def test_it_is_never_wrong(before: list[int], later: list[int], made: bool) -> None:
    """Any changes before, ours or not, any changes of others later, with room for five clients."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger_module, "MOST", 5)
        past = after((), *(mark(client, number) for number, client in enumerate(before)))
        mine = mark(8, 100)
        now = after(past, mine) if made else past
        now = after(now, *(mark(client, 200 + number) for number, client in enumerate(later) if client != 8))
        assert was_made(mine, past, now) in {made, None}
        if len({client for client in later if client != 8}) < 5:
            assert was_made(mine, past, now) is not None or not made


def test_no_version_of_a_node_stands_for_any() -> None:
    """Curator: what depends on versions stops where they overflow."""
    assert [write.version for write in overwrite("/c", b"1", 2**31 - 1)] == [2**31 - 1]
    assert [write.version for write in overwrite("/c", b"1", -3)] == [-3]
    assert [write.version for write in overwrite("/c", b"1", -2)] == [-2, -1]
    assert [write.version for write in overwrite("/c", b"1", 0)] == [0]
