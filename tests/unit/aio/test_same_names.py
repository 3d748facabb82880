"""The sync and the async client, and their handles, have the same names with the same arguments."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import zkdiscovery
from zkdiscovery import (
    AsyncBarrier,
    AsyncClient,
    AsyncConfig,
    AsyncConfigStore,
    AsyncCounter,
    AsyncElection,
    AsyncHold,
    AsyncLock,
    AsyncReadWriteLock,
    AsyncRegistration,
    AsyncSemaphore,
    AsyncService,
    AsyncShard,
    AsyncShards,
    AsyncSubscription,
    AsyncTerm,
    Barrier,
    Client,
    Config,
    ConfigStore,
    Counter,
    Election,
    Hold,
    Lock,
    ReadWriteLock,
    Registration,
    Semaphore,
    Service,
    Shard,
    Shards,
    Subscription,
    Term,
)

PAIRS = [
    (Client, AsyncClient),
    (Registration, AsyncRegistration),
    (Service, AsyncService),
    (Election, AsyncElection),
    (Term, AsyncTerm),
    (Hold, AsyncHold),
    (Lock, AsyncLock),
    (ReadWriteLock, AsyncReadWriteLock),
    (Semaphore, AsyncSemaphore),
    (Barrier, AsyncBarrier),
    (Counter, AsyncCounter),
    (Config, AsyncConfig),
    (ConfigStore, AsyncConfigStore),
    (Shards, AsyncShards),
    (Shard, AsyncShard),
    (Subscription, AsyncSubscription),
]
ONLY_SYNC = {"terms"}
ONLY_ASYNC = {"sync", "of", "aclose", "released", "slot"}  # `slot` is an attribute of each Client
SAME = {"close"}  # of subscriptions, which wait for nothing
NEVER_WAIT = {  # plain calls in both
    "attempt", "barrier", "beat", "check", "condition", "config", "config_store", "counter", "discover", "election",
    "end_term", "ended", "explain", "feature", "follow", "forked", "held", "leave", "lock", "locked", "note_failure",
    "on_change", "on_release_requested", "pick", "read_write_lock", "reclaim", "register", "register_many",
    "registered", "release", "resign", "revive", "semaphore", "set_status", "shards", "source", "start_from", "status",
    "stop_following", "take", "update", "update_hold", "while_leader",
}  # fmt: skip


def public(cls: type) -> dict[str, Any]:
    found = {name: member for name, member in inspect.getmembers(cls) if not name.startswith("_")}
    found.pop("close", None) if "aclose" in found else None
    return found


@pytest.mark.parametrize(("sync", "asynchronous"), PAIRS, ids=lambda cls: cls.__name__)
def test_names_and_arguments(sync: type, asynchronous: type) -> None:
    ours, theirs = public(sync), public(asynchronous)
    if "close" in ours and "aclose" in theirs:
        theirs["close"] = theirs.pop("aclose")
    assert ours.keys() - theirs.keys() <= ONLY_SYNC
    assert theirs.keys() - ours.keys() <= ONLY_ASYNC
    for name in ours.keys() & theirs.keys():
        if callable(ours[name]) and inspect.isfunction(ours[name]):
            assert arguments(ours[name]) == arguments(theirs[name]), f"{sync.__name__}.{name}"
        else:
            assert type(ours[name]) is type(theirs[name]) or inspect.isclass(ours[name]), name


def arguments(function: Any) -> list[tuple[str, Any, Any]]:
    """Name, kind and default of each argument."""
    return [
        (parameter.name, parameter.kind, parameter.default)
        for parameter in inspect.signature(function).parameters.values()
    ]


@pytest.mark.parametrize(("sync", "asynchronous"), PAIRS, ids=lambda cls: cls.__name__)
def test_what_may_wait_is_awaited(sync: type, asynchronous: type) -> None:
    """What takes a timeout waits, and so is awaited, or is an async iterator or context manager."""
    for name, function in inspect.getmembers(asynchronous, inspect.isfunction):
        if name.startswith("_") or name in NEVER_WAIT | SAME or f"{sync.__name__}.{name}" == "Election.start":
            continue
        inner = inspect.unwrap(function)
        assert inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner), name


def test_the_public_list_has_both() -> None:
    for sync, asynchronous in PAIRS:
        assert {sync.__name__, asynchronous.__name__} <= set(zkdiscovery.__all__)
