"""Fixtures of the fault scenarios of bridges: those of the tests of bridges."""

from __future__ import annotations

from tests.integration.bridges.conftest import engine, start_bridge

__all__ = ["engine", "start_bridge"]
