"""Fixtures of the tests of the config centre."""

from __future__ import annotations

from tests.integration.aio.conftest import MakeAsync, make_async

__all__ = ["MakeAsync", "make_async"]
