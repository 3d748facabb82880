"""Bugs to plant, each of which the witnesses must find."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from unittest.mock import patch

from zkdiscovery.config import commit, fetching, pointer


@contextmanager
def two_requests() -> Iterator[None]:
    """Read the pointers of layers one by one."""
    read = pointer.read_pointers

    def one_by_one(session: Any, layouts: list[Any], generation: int, deadline: float) -> list[Any]:
        return [read(session, [layout], generation, deadline)[0] for layout in layouts]

    with patch.object(fetching, "read_pointers", one_by_one):
        yield


@contextmanager
def pointer_first() -> Iterator[None]:
    """Move the pointers, and write the pieces afterwards."""
    store, move, writes = commit.store_pieces, commit.Commit._move, commit.Commit._writes

    def moving(self: Any, pointers: Any, numbers: Any, records: Any, generation: int, deadline: float) -> bool:
        moved = move(self, pointers, numbers, records, generation, deadline)
        for layout, (_, pieces) in zip(self._layouts, records, strict=True):
            if pieces:
                time.sleep(0.05)  # a writer that takes its time
            store(self._session, layout, pieces, generation, deadline)
        return moved

    def unchecked(self: Any, pointers: Any, numbers: Any, records: Any) -> list[Any]:
        return [write for write in writes(self, pointers, numbers, records) if not isinstance(write, commit.Check)]

    with (
        patch.object(commit, "store_pieces", lambda *_: None),
        patch.object(commit.Commit, "_move", moving),
        patch.object(commit.Commit, "_writes", unchecked),
    ):
        yield


BUGS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "two-requests": two_requests,
    "pointer-first": pointer_first,
}
