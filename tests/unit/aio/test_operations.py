"""One-off operations of an async client, at moments that no server brings about."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest

from zkdiscovery import AsyncClient, ClientClosed
from zkdiscovery.aio.operations import Operations
from zkdiscovery.lifecycle.interrupts import interrupts_a_call
from zkdiscovery.testing import static_client


def test_a_signal_handler_knows_that_it_has_interrupted_an_operation() -> None:
    """A handler that closed the client waited for a lock that the thread which it had interrupted held."""
    static = static_client()
    told: list[bool] = []

    class Interrupted(dict[object, None]):
        def __setitem__(self, key: object, value: None) -> None:
            signal.raise_signal(signal.SIGUSR1)  # the lock is held
            super().__setitem__(key, value)

    static.feature(Operations)._waiting = Interrupted()
    before = signal.signal(signal.SIGUSR1, lambda *_: told.append(interrupts_a_call()))
    try:
        asyncio.run(AsyncClient.of(static).service_names())
    finally:
        signal.signal(signal.SIGUSR1, before)
        static.close()
    assert told == [True]


def test_an_operation_of_which_its_caller_heard_that_it_does_not_begin_never_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thread could have taken it off the queue just before the client closed, and wrote all the same."""
    static = static_client()
    operations = static.feature(Operations)
    taken: list[Any] = []
    monkeypatch.setattr(operations._worker, "schedule", lambda _key, task: taken.append(task))

    async def write() -> None:
        written: list[bool] = []
        writing = asyncio.create_task(operations.run(lambda: written.append(True)))
        await asyncio.sleep(0)
        operations.begin_close(0.0)
        taken[0]()
        with pytest.raises(ClientClosed, match="before this operation began"):
            await writing
        assert not written

    asyncio.run(write())
    static.close()
