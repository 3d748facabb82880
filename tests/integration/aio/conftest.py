"""Fixtures of the tests of asyncio."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import MakeClient
from zkdiscovery import AsyncClient

MakeAsync = Callable[..., AsyncClient]


@pytest.fixture
def make_async(make_client: MakeClient) -> MakeAsync:
    """Makes async clients of one namespace, 4 s session timeout unless told otherwise; closes them."""

    def make(hosts: str | None = None, **options: Any) -> AsyncClient:
        return AsyncClient.of(make_client(hosts, **options))

    return make
