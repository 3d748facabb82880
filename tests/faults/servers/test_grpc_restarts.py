"""No lost RPC: gRPC servers that are restarted one after the other, or killed, under 100 RPCs a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import grpc
import pytest

from tests.conftest import MakeClient
from tests.faults.servers.callers import OnLoop
from tests.faults.servers.fleet import Fleet
from tests.faults.servers.load import Load, Picks
from tests.faults.servers.stops import kill_with_slow_call, restart_each
from tests.support import LIMIT
from zkdiscovery import Client
from zkdiscovery.integrations.grpc import aio_channel, channel

METHOD = "/Payments/Pay"


class Grpc:
    """A blocking RPC."""

    def __init__(self, client: Client) -> None:
        self.picks = Picks()
        self._channel = channel(client, "payments", balancer=self.picks)
        self._method = self._channel.unary_unary(METHOD)

    def call(self, path: str) -> str:
        answer: bytes = self._method(path.encode(), timeout=LIMIT)
        return answer.decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._channel.close()


class GrpcFuture(Grpc):
    """A future."""

    def call(self, path: str) -> str:
        answer: bytes = self._method.future(path.encode(), timeout=LIMIT).result()
        return answer.decode()


class AioGrpc(OnLoop):
    """grpc.aio."""

    async def open(self) -> None:
        self._channel = aio_channel(self._client, "payments", balancer=self.picks)
        self._method: Any = self._channel.unary_unary(METHOD)

    async def close(self) -> None:
        await self._channel.close()

    async def fetch(self, path: str) -> str:
        answer: bytes = await self._method(path.encode(), timeout=LIMIT)
        return answer.decode()


CALLERS = [AioGrpc, *(pytest.param(caller, marks=pytest.mark.load) for caller in (Grpc, GrpcFuture))]


def serving(kind: str) -> Callable[[int], list[str]]:
    """The command of a server; it finds its port in its environment."""
    return lambda _port: ["-m", "tests.faults.servers.grpc_paying", kind]


pytestmark = pytest.mark.timeout(150)  # each restart waits for the slow RPC that is under way


@pytest.mark.parametrize(
    ("caller_type", "kind"),
    [
        pytest.param(Grpc, "threads", marks=pytest.mark.load),
        pytest.param(GrpcFuture, "asyncio", marks=pytest.mark.load),
        (AioGrpc, "threads"),
    ],
)
def test_rolling_restart_of_grpc_servers(
    caller_type: Any, kind: str, tmp_path: Path, environment: dict[str, str], make_client: MakeClient
) -> None:
    client = make_client()
    with Fleet(serving(kind), tmp_path, environment) as fleet, caller_type(client) as caller:
        view = client.discover("payments").wait_ready(LIMIT, at_least=3)
        with Load(caller) as load:
            restart_each(fleet, load, view)
    print(f"{caller_type.__name__}: {load.ended} RPCs, {len(load.failed)} failed, {load.retried} connected elsewhere")
    assert (load.failed, load.retried) == ([], 0), fleet.said()


@pytest.mark.parametrize("caller_type", CALLERS)
def test_kill_of_a_grpc_server(
    caller_type: Any, tmp_path: Path, environment: dict[str, str], make_client: MakeClient
) -> None:
    """Only RPCs that were under way at the killed process fail, and made once more, they succeed."""
    client = make_client()
    with Fleet(serving("threads"), tmp_path, environment) as fleet, caller_type(client) as caller:
        client.discover("payments").wait_ready(LIMIT, at_least=3)
        with Load(caller) as load:
            killed = kill_with_slow_call(fleet, load)
    print(f"{caller_type.__name__}: {load.ended} RPCs, {len(load.failed)} failed, {load.retried} connected elsewhere")
    assert load.failed, "the slow RPC was under way"
    for failed in load.failed:
        assert isinstance(failed.error, grpc.RpcError), failed
        assert failed.began < killed, failed
        assert not isinstance(failed.again, Exception), failed
