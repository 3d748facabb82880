"""Curator, kazoo and we take turns at one lock, as many as TURNS says each: no two are inside at the same time.

The processes stamp the beginning and the end of each turn with the monotonic clock, of which a machine has one.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.interop.conftest import GetProgram
from tests.interop.overlaps import changes, overlaps, shared
from tests.interop.programs import Program
from tests.interop.turns import Turn
from tests.support import Truth

TURNS = int(os.environ.get("TURNS", "100"))

pytestmark = pytest.mark.timeout(120 + TURNS)

OURS = ["threads", "asyncio"]
SAFE = {
    "Curator": [*OURS, "Curator"],
    "kazoo with patterns": [*OURS, "kazoo with patterns"],
    "kazoo, its own layout": [*(f"{who}, kazoo's layout" for who in OURS), "kazoo"],
    "Curator and kazoo with Curator's names": ["threads", "Curator", "kazoo with Curator's names"],
}


@pytest.mark.parametrize("kind", ["mutex", "read-write"])
@pytest.mark.parametrize("takers", SAFE.values(), ids=SAFE)
def test_no_two_are_inside(program: GetProgram, truth: Truth, namespace: str, takers: list[str], kind: str) -> None:
    path = f"{namespace}/contended"
    truth.create(path)  # a parent that ZooKeeper does not reap: kazoo makes it once only
    programs = [program(who) for who in takers]
    with ThreadPoolExecutor(len(programs)) as pool:

        def take(program: Program) -> list[Turn]:
            return [Turn(*turn) for turn in program.obey("turns", limit=60 + TURNS, path=path, kind=kind, turns=TURNS)]

        taken = list(pool.map(take, programs))
    assert [len(turns) for turns in taken] == [TURNS] * len(taken)
    everything = [turn for turns in taken for turn in turns]
    assert overlaps(everything) == []
    assert changes(taken) > TURNS / 2  # they did contend
    assert (shared(everything) > 0) == (kind == "read-write")
    assert truth.children(path) == []
    print(f"{', '.join(takers)}, {kind}: {len(everything)} turns, {changes(taken)} hand-overs, "
          f"{shared(everything)} shared, 0 overlaps")  # fmt: skip


def test_overlaps_are_found() -> None:
    write, read = Turn("write", 10, 20), Turn("read", 10, 20)
    apart = [Turn(kind, begin, begin + 5) for kind, begin in (("write", 0), ("read", 5), ("write", 20), ("read", 25))]
    assert overlaps([write, *apart[2:], apart[0]]) == []
    assert overlaps([read, Turn("read", 12, 30), Turn("read", 19, 21)]) == []
    assert overlaps([write, Turn("write", 19, 21)]) == [(write, Turn("write", 19, 21))]
    assert overlaps([read, Turn("write", 19, 21)]) == [(read, Turn("write", 19, 21))]
    assert overlaps([write, Turn("read", 11, 12)]) == [(write, Turn("read", 11, 12))]
    long = Turn("read", 0, 100)
    assert overlaps([long, Turn("read", 1, 2), Turn("write", 50, 51)]) == [(long, Turn("write", 50, 51))]
    long = Turn("write", 0, 100)
    assert len(overlaps([long, Turn("write", 1, 2), Turn("read", 50, 51)])) == 2
    assert (shared([long, read]), shared([read, Turn("read", 15, 16)])) == (0, 1)
    assert changes([[write], [Turn("read", 0, 1), Turn("read", 30, 31)]]) == 2
