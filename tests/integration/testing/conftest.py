"""Tests with a parameter `source` run on the source that the run asks for; without one, on each that is here."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest

from zkdiscovery.errors import NoServerForTests
from zkdiscovery.testing import zookeeper_server

if TYPE_CHECKING:
    from zkdiscovery.testing.servers.start import SourceName


def asked_for(config: pytest.Config) -> str:
    return str(config.getoption("--zkdiscovery-source", default="auto"))


def source_of(item: pytest.Item) -> object:
    return (
        item.callspec.params.get("source") if isinstance(item, pytest.Function) and hasattr(item, "callspec") else None
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    asked = asked_for(config)
    if asked in ("local", "container"):
        others = [item for item in items if source_of(item) not in (None, asked)]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


@functools.cache
def problem_of(source: SourceName) -> str | None:
    """Why the source has no server here; None if it has one."""
    try:
        with zookeeper_server(source=source):
            return None
    except NoServerForTests as error:
        return str(error)


@pytest.fixture(scope="module", params=["local", "container"])
def source(request: pytest.FixtureRequest) -> SourceName:
    name: SourceName = request.param
    if (problem := problem_of(name)) is not None:
        if asked_for(request.config) == name:
            pytest.fail(problem, pytrace=False)
        pytest.skip(f"no server from the source {name}: {problem}")
    return name
