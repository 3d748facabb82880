"""A real Consul."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest

from tests.interop.consul.server import Consul


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("CONSUL_"):
            monkeypatch.delenv(name)


@pytest.fixture
def consul(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Consul]:
    """A Consul of the test's own, whose data survive its restart."""
    with contextlib.closing(Consul(tmp_path_factory.mktemp("consul"))) as consul:
        yield consul
