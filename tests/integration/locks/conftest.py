"""Fixtures of the tests of locks."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.aio.conftest import MakeAsync, make_async
from tests.support import Truth

__all__ = ["MakeAsync", "make_async"]

Queue = Callable[[], list[str]]


@pytest.fixture
def parent(namespace: str) -> str:
    """Where the places of the lock "invoice" stand."""
    return f"{namespace}/locks/invoice"


@pytest.fixture
def queue(truth: Truth, parent: str) -> Queue:
    """The names of these places."""
    return lambda: truth.children(parent)
