"""What a bridge remembers of an engine's containers between two lists."""

from __future__ import annotations

from zkdiscovery.bridges.docker.memory import Memory
from zkdiscovery.bridges.source import Death


def test_a_death_is_told_again_and_again() -> None:
    memory = Memory()
    memory.note_death("a", 5.0)
    assert memory.deaths([]) == memory.deaths([]) == [Death("a")]


def test_a_death_whose_event_was_lost() -> None:
    memory = Memory()
    assert memory.deaths(["a", "b"]) == []
    assert memory.deaths(["b"]) == [Death("a")]


def test_a_container_that_was_started_again() -> None:
    memory = Memory()
    memory.deaths(["a"])
    memory.note_death("a", 5.0)
    assert memory.deaths(["a"]) == [Death("a", before=5.0)]


def test_nothing_is_told_of_a_new_run_if_the_end_of_the_former_is_unknown() -> None:
    memory = Memory()
    memory.deaths(["a"])
    memory.deaths([])
    assert memory.deaths(["a"]) == []


def test_a_signal_is_forgotten_with_the_run_and_not_for_a_later_one() -> None:
    memory = Memory()
    memory.note_signal("a", "15", 1.0)
    memory.forget_signal("a", 0.5)
    assert memory.signals() == {"a": ("15", 1.0)}
    memory.note_death("a", 2.0)
    assert memory.signals() == {}
