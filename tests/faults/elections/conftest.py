"""Fixtures of the fault scenarios of elections: those of the election tests."""

from __future__ import annotations

from tests.integration.election.conftest import line, queue

__all__ = ["line", "queue"]
