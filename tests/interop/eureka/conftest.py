"""A real Eureka."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.interop.eureka.server import Eureka


@pytest.fixture(scope="session")
def one_eureka() -> Iterator[Eureka]:
    """The server that tests share which leave it running."""
    with contextlib.closing(Eureka()) as eureka:
        yield eureka


@pytest.fixture
def eureka(one_eureka: Eureka) -> Eureka:
    """The same, empty."""
    for each in one_eureka.apps().values():
        one_eureka.ask("DELETE", f"/apps/{each['app']}/{each['instanceId']}")
    one_eureka.wait_ports()
    return one_eureka
