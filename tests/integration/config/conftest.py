"""Fixtures and helpers of the tests of the config centre."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.integration.aio.conftest import MakeAsync, make_async
from tests.support import LIMIT, core_of
from zkdiscovery import Client, Config
from zkdiscovery.session.translate import path_of

__all__ = ["MakeAsync", "make_async", "requests", "wait_config"]


def wait_config(config: Config[Any], predicate: Callable[[Any], object], timeout: float = LIMIT) -> Any:
    """Wait until the value of a configuration is as wanted; return it."""

    def holds() -> bool:
        return config._reading is not None and bool(predicate(config.value))

    assert config._changed.wait_for(holds, timeout), f"waited in vain: {config!r} {config._reading}"
    return config.value


@contextmanager
def requests(client: Client) -> Iterator[Counter[tuple[str, str]]]:
    """Count the requests that a client's present connection sends, by name and by what they are about."""
    session = core_of(client).session
    assert session.link is not None
    channel = session.link.channel
    counts: Counter[tuple[str, str]] = Counter()
    original = channel.submit

    def submit(request: Any, **options: Any) -> Any:
        path = path_of(request) or ""
        about = next((part for part in ("pointer", "revisions", "pieces", "readers") if f"/{part}" in path), "others")
        counts[type(request).__name__, about] += 1
        return original(request, **options)

    channel.submit = submit  # type: ignore[method-assign]
    try:
        yield counts
    finally:
        del channel.submit  # type: ignore[method-assign]
