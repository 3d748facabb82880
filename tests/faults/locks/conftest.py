"""Fixtures of the fault scenarios of locks: those of the tests of locks."""

from __future__ import annotations

from tests.integration.locks.conftest import make_async, parent, queue

__all__ = ["make_async", "parent", "queue"]
