"""An ensemble of three for the fault tests, whole again after each of them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from zkdiscovery import Client
from zkdiscovery.testing import FaultProxy, ZookeeperEnsemble, ZookeeperMember, zookeeper_ensemble

MakeEnsembleClient = Callable[..., tuple[Client, tuple[FaultProxy, ...]]]


@pytest.fixture(scope="session")
def _ensemble() -> Iterator[ZookeeperEnsemble]:
    # Of local processes: containers start and stop at a pace of their own, and scenarios have time limits.
    with zookeeper_ensemble(source="local") as ensemble:
        yield ensemble


@pytest.fixture
def ensemble(_ensemble: ZookeeperEnsemble) -> Iterator[ZookeeperEnsemble]:
    """Three servers that serve, whatever the test before did to them."""
    yield _ensemble
    _ensemble.repair()


@pytest.fixture
def ensemble_namespace(ensemble: ZookeeperEnsemble) -> str:
    """A namespace of the ensemble that no other test uses."""
    return f"{ensemble.namespace}/{secrets.token_hex(4)}"


@pytest.fixture
def make_ensemble_client(ensemble: ZookeeperEnsemble, ensemble_namespace: str) -> Iterator[MakeEnsembleClient]:
    """Makes clients of one namespace, each with a fault proxy before each of its members; heals and closes all."""
    made: list[FaultProxy] = []
    with ExitStack() as stack:

        def make(
            members: Sequence[ZookeeperMember] | None = None, **options: Any
        ) -> tuple[Client, tuple[FaultProxy, ...]]:
            chosen = ensemble.members if members is None else members
            proxies = tuple(stack.enter_context(FaultProxy(member.hosts)) for member in chosen)
            made.extend(proxies)
            options = {"namespace": ensemble_namespace, "session_timeout": 4.0, **options}
            client = Client(",".join(proxy.address for proxy in proxies), **options)
            stack.callback(client.close, 3.0)
            return client, proxies

        yield make
        ensemble.heal()  # first, because a client that can't reach a server waits for its limit
        for proxy in made:
            proxy.heal()
