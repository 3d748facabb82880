"""A set of children, watched behind a proxy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.znodes.watched_set import Set
from zkdiscovery.testing import FaultProxy


@pytest.fixture
def path(namespace: str) -> str:
    return f"{namespace}/set"


@pytest.fixture
def watched(zkdiscovery_proxy: FaultProxy, path: str) -> Iterator[Set]:
    """A set behind the proxy."""
    watched = Set(zkdiscovery_proxy.address, path)
    yield watched
    watched.close()
