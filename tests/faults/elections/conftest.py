"""Fixtures of the fault scenarios of elections: those of the election tests, and a queue on an ensemble."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.election.conftest import line, queue
from tests.integration.election.helpers import NAME, Line
from tests.support import Truth
from zkdiscovery.testing import ZookeeperEnsemble

__all__ = ["line", "queue"]


@pytest.fixture
def ensemble_line(ensemble: ZookeeperEnsemble, ensemble_namespace: str) -> Iterator[Line]:
    """An empty queue on the ensemble; who joins it is closed at the end."""
    with Truth(ensemble.hosts) as truth:
        line = Line(truth, f"{ensemble_namespace}/elections/{NAME}")
        yield line
        line.end()
