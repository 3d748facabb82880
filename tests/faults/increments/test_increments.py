"""A short form of `python -m tests.faults.increments`: no increment is lost, and a stale holder's write is refused."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.faults.increments.run import Mode, Outcome, increment
from tests.faults.increments.worker import Figures
from zkdiscovery.testing import ZookeeperEnsemble

PROCESSES, INCREMENTS = 8, 120


@pytest.mark.timeout(400)
@pytest.mark.parametrize("mode", ["fenced", "guarded", "plain"])
def test_none_is_lost(ensemble: ZookeeperEnsemble, ensemble_namespace: str, mode: Mode) -> None:
    outcome = increment(ensemble, ensemble_namespace, mode, processes=PROCESSES, increments=INCREMENTS)
    assert outcome.wrong == []
    assert outcome.final == INCREMENTS
    assert outcome.sum("unknown") == 0
    assert outcome.sum("refused") >= (mode != "plain")
    assert outcome.sum("by_zookeeper") >= (mode == "guarded")


def outcome_of(final: int, *values: list[int], unknown: int = 0) -> Outcome:
    figures = [Figures(some) for some in values]
    figures[0].unknown = unknown
    return Outcome(4, final, figures, Counter(), 1.0)


def test_what_is_wrong_is_seen() -> None:
    assert outcome_of(4, [1, 3], [2, 4]).wrong == []
    assert outcome_of(4, [1, 3], [2], unknown=1).wrong == []
    assert outcome_of(3, [1, 3], [2], unknown=1).wrong == []
    assert "two of them made the same number" in outcome_of(3, [1, 3], [2, 3]).wrong[0]
    assert "3 increments were made" in outcome_of(3, [1, 3], [2]).wrong[0]
    assert "the number is 5" in outcome_of(5, [1, 3], [2, 4]).wrong[0]
