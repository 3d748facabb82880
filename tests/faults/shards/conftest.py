"""Fixtures of the fault scenarios of shards: those of the tests of shards."""

from __future__ import annotations

from tests.integration.shards.conftest import consume, make_async, processes, root

__all__ = ["consume", "make_async", "processes", "root"]
