"""The loop's thread waits for nothing, whatever becomes of ZooKeeper and of names."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import pytest

from tests.integration.aio.conftest import MakeAsync
from tests.integration.aio.loops import until
from tests.support import LIMIT
from zkdiscovery import AsyncClient, ZkDiscoveryError
from zkdiscovery.testing import FaultProxy

WAITING = [
    (threading.Condition, "wait"),
    (threading.Event, "wait"),
    (threading.Thread, "join"),
    (Future, "result"),
    (time, "sleep"),
    (socket, "getaddrinfo"),
    (socket, "create_connection"),
    (socket.socket, "connect"),
]


def waits_for_nothing(name: str, first: Any = None, *_: object) -> bool:
    """True for an event that is set, and for a datagram socket, whose connection is a note in the kernel."""
    if isinstance(first, threading.Event):
        return first.is_set()
    return name == "connect" and first.type == socket.SOCK_DGRAM


@contextmanager
def nothing_waits_here(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Note what waits on this thread, but for the start of a thread, which hands over to it."""
    me = threading.get_ident()
    waited: list[str] = []

    def watched(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() == me and sys._getframe(1).f_code is not threading.Thread.start.__code__:
                if waits_for_nothing(name, *args):
                    return original(*args, **kwargs)
                callers = [sys._getframe(depth).f_code.co_qualname for depth in range(1, 6)]
                if "Thread.start" not in callers:
                    waited.append(f"{name} in {' < '.join(callers)}")
            return original(*args, **kwargs)

        patch.setattr(owner, name, call)

    with monkeypatch.context() as patch:
        for owner, name in WAITING:
            watched(owner, name)
        yield waited


async def use_everything(client: AsyncClient, *, there: bool) -> None:
    """Use the client as programs do; where ZooKeeper is absent, each wait ends with an error."""

    async def attempt(work: Any) -> None:
        try:
            await work
        except ZkDiscoveryError:
            assert not there

    limit = LIMIT if there else 0.1
    registration = client.register("payments", 8080, id="a", ready="listening")
    registration.set_status("UP")
    registration.update(weight=2.0)
    view = client.discover("payments")
    await attempt(client.wait_connected(limit))
    await attempt(registration.wait_registered(limit))
    await attempt(view.wait_ready(limit))
    if there:
        await view.call(lambda _: asyncio.sleep(0))
        async with view.attempt():
            pass
    view.explain()
    view.on_change(print).close()
    async for _ in view.changes(0.05):
        pass
    election = client.election("report")
    await attempt(client.service_names(limit))
    await attempt(client.instances("payments", limit))
    await attempt(election.candidates(limit))
    await attempt(election.run(lambda _: asyncio.sleep(0), limit))
    await attempt(registration.drain(timeout=limit))
    await attempt(client.drain(0.5))
    await client.aclose(0.5)


def run(monkeypatch: pytest.MonkeyPatch, client: AsyncClient, *, there: bool, entered: bool = True) -> None:
    async def main() -> list[str]:
        with nothing_waits_here(monkeypatch) as waited:
            if entered:
                async with client:
                    await use_everything(client, there=there)
            else:
                await use_everything(client, there=there)
            return waited

    assert asyncio.run(main()) == []


@pytest.mark.parametrize("entered", [True, False])
def test_with_zookeeper(monkeypatch: pytest.MonkeyPatch, make_async: MakeAsync, entered: bool) -> None:
    run(monkeypatch, make_async(), there=True, entered=entered)


@pytest.mark.parametrize("fault", ["refuse", "pause"])
def test_without_zookeeper(
    monkeypatch: pytest.MonkeyPatch, make_async: MakeAsync, zkdiscovery_proxy: FaultProxy, fault: str
) -> None:
    getattr(zkdiscovery_proxy, fault)()
    run(monkeypatch, make_async(zkdiscovery_proxy.address), there=False)


def test_where_names_do_not_resolve(monkeypatch: pytest.MonkeyPatch, make_async: MakeAsync) -> None:
    run(monkeypatch, make_async("no-such-host.invalid:2181"), there=False)


def test_through_a_cut_and_back(
    monkeypatch: pytest.MonkeyPatch, make_async: MakeAsync, zkdiscovery_proxy: FaultProxy
) -> None:
    client = make_async(zkdiscovery_proxy.address)

    async def main() -> list[str]:
        with nothing_waits_here(monkeypatch) as waited:
            async with client:
                registration = await client.register("payments", 8080, id="a").wait_registered(LIMIT)
                view = await client.discover("payments").wait_ready(LIMIT)
                async with client.election("report").campaign(LIMIT):
                    generation = client.slot.current().session.generation
                    threading.Thread(target=zkdiscovery_proxy.drop).start()
                    await until(lambda: client.slot.current().session.generation > generation)
                    await until(lambda: not view.snapshot.stale)
                await registration.wait_registered(LIMIT)
            return waited

    assert asyncio.run(main()) == []


def test_the_check_finds_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> list[str]:
        with nothing_waits_here(monkeypatch) as waited:
            time.sleep(0.001)  # noqa: ASYNC251 - it is to be found
            return waited

    (found,) = asyncio.run(main())
    assert found.startswith("sleep in ")
