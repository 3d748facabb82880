"""Fixtures of the election tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.election.helpers import NAME, Line
from tests.support import Truth


@pytest.fixture
def queue(namespace: str) -> str:
    """Where the candidates stand."""
    return f"{namespace}/elections/{NAME}"


@pytest.fixture
def line(truth: Truth, queue: str) -> Iterator[Line]:
    """An empty queue; who joins it is closed at the end."""
    line = Line(truth, queue)
    yield line
    line.end()
