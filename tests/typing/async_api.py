"""What type checkers know of the async names. Checked by test_typing.py, with mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, assert_type

from zkdiscovery import (
    AsyncClient,
    AsyncConfig,
    AsyncRegistration,
    AsyncService,
    AsyncSubscription,
    AsyncTerm,
    Candidate,
    Change,
    Client,
    ConfigChange,
    Draft,
    Instance,
    State,
)

client = AsyncClient("zk:2181", namespace="/shop", base_path=None, zone=None, session_timeout=10.0, settings=None)


@client.registered("payments", 8080)
async def serve(registration: AsyncRegistration) -> int:
    return registration.instance.port


@client.while_leader("report", timeout=None)
async def report(term: AsyncTerm) -> str:
    term.check()
    return "done"


@client.while_leader("report")
async def clean() -> str:
    return "done"


async def fetch(instance: Instance) -> bytes:
    return instance.url.encode()


async def fetch_in_time(instance: Instance, /, *, timeout: float) -> int:
    return round(timeout)


async def note(change: Change) -> None:
    print(change.delta)


async def life() -> None:
    assert_type(AsyncClient.of(Client()), AsyncClient)
    assert_type(client.sync, Client)
    assert_type(serve, Callable[[], Coroutine[Any, Any, int]])
    assert_type(await report(), str | None)
    assert_type(await clean(), str | None)
    async with client as entered:
        assert_type(entered, AsyncClient)
    assert_type(await client.start(), AsyncClient)
    assert_type(await client.wait_connected(None), AsyncClient)
    assert_type(client.state, State)
    assert_type(client.on_change(print), AsyncSubscription[State])
    assert_type(await client.service_names(), list[str])
    assert_type(await client.instances("payments"), list[Instance])
    assert_type(await client.override("payments", "a", status="DOWN"), Instance)
    assert_type(await client.remove("payments", "a"), bool)
    await client.drain(None)
    await client.aclose()


async def registrations() -> None:
    async with client.register("payments", 8080, ready="listening") as registration:
        assert_type(await registration.wait_registered(), AsyncRegistration)
        assert_type(registration.on_change(print), AsyncSubscription[AsyncRegistration])
        await registration.drain(delay=1.0)
    assert_type(client.register_many([{"service": "a", "port": 1}]), list[AsyncRegistration])


async def views() -> None:
    payments = client.discover("payments", balancer="round_robin")
    assert_type(await payments.wait_ready(), AsyncService)
    assert_type(payments.pick(), Instance)
    assert_type(await payments.call(fetch, retry_on=(OSError, ValueError)), bytes)
    assert_type(await payments.call(fetch_in_time, timeout=1.0, hedge=0.1), int)
    async with payments.attempt() as attempt:
        assert_type(attempt.instance, Instance)
    assert_type(payments.changes(), AsyncIterator[Change])
    async for change in payments.changes(timeout=1.0):
        assert_type(change, Change)
    with payments.on_change(note) as subscription:
        assert_type(subscription, AsyncSubscription[Change])


async def configuration() -> None:
    config = client.config("shop", int)
    assert_type(config, AsyncConfig[int])
    assert_type((await config.wait_ready()).value, int)
    async for change in config.changes():
        assert_type(change, ConfigChange[int])
    store = client.config_store("shop")
    async with store.edit("slow bank") as draft:
        assert_type(draft, Draft)
    assert_type(await store.rollback(40), int)
    async with client.config_edit(["base", "shop"], "both") as drafts:
        assert_type(drafts["base"], Draft)


async def elections() -> None:
    election = client.election("report", on_suspend="release")
    async with election.campaign(timeout=10.0) as term:
        assert_type(term, AsyncTerm)
        assert_type(await term.wait_lost(1.0), bool)
        term.resign()
    assert_type(await election.run(lead), int | None)
    election.start(lead)
    assert_type(await election.candidates(), list[Candidate])
    assert_type(await election.leader(), Candidate | None)
    assert_type(election.on_change(print), AsyncSubscription[Candidate | None])
    await election.aclose()


async def lead(term: AsyncTerm) -> int:
    return term.fence
