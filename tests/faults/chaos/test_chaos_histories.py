"""Histories on disk: read as they grow, whole lines only, deleted when they are done with."""

from __future__ import annotations

from pathlib import Path

from tests.faults.chaos.history import Histories, History


def test_lines_are_read_once_and_in_the_order_of_their_stamps(tmp_path: Path) -> None:
    """Over all files of the directory."""
    histories = Histories(tmp_path)
    with History(tmp_path, "w1.1", 1) as first, History(tmp_path, "w2.1", 1) as second:
        second.write("b", t=2.0)
        first.write("a", t=1.0)
        assert [event["ev"] for event in histories.read()] == ["a", "b"]
        first.write("c", t=3.0)
        assert [(event["who"], event["ev"]) for event in histories.read()] == [("w1.1", "c")]
        assert histories.read() == []


def test_a_line_that_was_cut_off_waits(tmp_path: Path) -> None:
    """A process that was killed in the midst of a line loses that one alone."""
    with History(tmp_path, "w1.1", 1) as history:
        history.write("whole", t=1.0)
    with (tmp_path / "00001-w1.1.jsonl").open("a") as file:
        file.write('{"t": 2.0, "wh')
    histories = Histories(tmp_path)
    assert [event["ev"] for event in histories.read()] == ["whole"]
    assert histories.read() == []


def test_what_is_done_with_is_deleted(tmp_path: Path) -> None:
    """The rounds up to a number; what follows is read on."""
    histories = Histories(tmp_path)
    with History(tmp_path, "w1.1", 1) as history:
        history.write("one")
        history.rotate(2)
        history.write("two")
        assert len(histories.read()) == 2
        histories.forget(1)
        assert [path.name for path in tmp_path.iterdir()] == ["00002-w1.1.jsonl"]
        history.write("three")
        assert [event["ev"] for event in histories.read()] == ["three"]
