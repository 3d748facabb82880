"""Functions of users that would run nothing: refused at once, or once they return a coroutine, everywhere."""

from __future__ import annotations

import functools
import gc
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from tests.support import LIMIT, wait_until
from zkdiscovery import Instance
from zkdiscovery.testing import StaticClient, static_client

Use = Callable[[StaticClient, Callable[..., Any]], object]


def register(client: StaticClient) -> Any:
    return client.register("orders", 8080)


def discover(client: StaticClient, **preferences: Any) -> Any:
    return client.discover("payments", **preferences)


USES: dict[str, Use] = {
    "Client.on_change": lambda client, fn: client.on_change(fn),
    "Service.on_change": lambda client, fn: discover(client).on_change(fn),
    "Registration.on_change": lambda client, fn: register(client).on_change(fn),
    "Lock.on_release_requested": lambda client, fn: client.lock("invoice").on_release_requested(fn),
    "Election.start": lambda client, fn: client.election("report").start(fn),
    "Election.run": lambda client, fn: client.election("report").run(fn),
    "Shards.run": lambda client, fn: client.shards("orders", 1).run(fn),
    "Shards.on_change": lambda client, fn: client.shards("orders", 1).on_change(fn),
    "Config.on_change": lambda client, fn: client.config("shop").on_change(fn),
    "while_leader": lambda client, fn: client.while_leader("report")(fn)(),
    "registered": lambda client, fn: client.registered("orders", 8080)(fn)(),
    "Service.call": lambda client, fn: discover(client).call(fn),
    "Service.call, hedged": lambda client, fn: discover(client).call(fn, hedge=LIMIT),
    "where": lambda client, fn: discover(client, where=fn),
    "classify": lambda client, fn: discover(client, classify=fn),
}

RAISE = ["Election.run", "while_leader", "registered", "Service.call", "Service.call, hedged"]
LOG = ["Service.on_change", "Config.on_change", "Registration.on_change", "Election.start", "where"]

called: list[object] = []


async def coroutine(value: object = None) -> None:
    called.append(value)


async def async_generator(value: object = None) -> AsyncIterator[object]:
    yield called.append(value)


def generator(value: object = None) -> Iterator[object]:
    yield called.append(value)


class AsyncCallable:
    async def __call__(self, value: object = None) -> None:
        called.append(value)

    async def method(self, value: object = None) -> None:
        called.append(value)


def returns_a_coroutine(value: object = None) -> Any:
    return coroutine(value)


@pytest.fixture
def client() -> Iterator[StaticClient]:
    called.clear()
    with static_client(payments=["127.0.0.1:8080"]) as client:
        yield client
    gc.collect()  # a coroutine that was never awaited would warn, and warnings are errors
    assert called == []


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    "fn",
    [
        pytest.param(coroutine, id="async def"),
        pytest.param(async_generator, id="async generator"),
        pytest.param(generator, id="generator"),
        pytest.param(functools.partial(coroutine), id="partial"),
        pytest.param(functools.partial(functools.partial(AsyncCallable()), None), id="partial of a partial"),
        pytest.param(AsyncCallable(), id="async __call__"),
        pytest.param(AsyncCallable().method, id="method"),
    ],
)
def test_what_runs_nothing_is_refused_at_once(client: StaticClient, use: str, fn: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="must be a plain function"):
        USES[use](client, fn)
    assert client.registrations in ([], [each for each in client.registrations if use == "Registration.on_change"])


@pytest.mark.parametrize("use", RAISE)
def test_a_function_that_returns_a_coroutine_raises(client: StaticClient, use: str) -> None:
    with pytest.raises(TypeError, match="must be a plain function, and it returned a coroutine"):
        USES[use](client, returns_a_coroutine)
    (standing,) = client.discover("payments").explain()
    assert standing.failures == 0
    assert client.election("report").run(lambda term: term.fence) is not None, "nobody leads any more"


@pytest.mark.parametrize("use", LOG)
def test_a_function_that_returns_a_coroutine_is_logged_on_a_thread_of_the_client(
    client: StaticClient, use: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        USES[use](client, returns_a_coroutine)
        if use == "Registration.on_change":
            client.registrations[0].set_status("DOWN")
        if use != "Registration.on_change":  # which hears of the close
            wait_until(lambda: "returned a coroutine" in caplog.text)
        client.close(LIMIT)
    assert "returned a coroutine" in caplog.text


def test_a_classification_that_returns_a_coroutine_is_none(
    client: StaticClient, caplog: pytest.LogCaptureFixture
) -> None:
    payments = discover(client, classify=returns_a_coroutine)
    assert payments.call(lambda instance: instance.port) == 8080
    with pytest.raises(ConnectionError), payments.attempt():
        raise ConnectionError
    assert "is no Outcome" in caplog.text
    assert payments.explain()[0].failures == 1


def test_a_where_that_raises_is_logged_once_for_all_instances(
    client: StaticClient, caplog: pytest.LogCaptureFixture
) -> None:
    def where(instance: Instance) -> bool:
        raise LookupError

    client.set_instances("payments", [f"127.0.0.1:{port}" for port in range(8000, 8100)])
    assert discover(client, where=where).available == ()
    (record,) = [record for record in caplog.records if "`where`" in record.getMessage()]
    assert record.getMessage().endswith("127.0.0.1:8000 and 99 more are left out")
