"""Every public method that may wait has a time limit, finite unless None is given; and no limit that makes no sense."""

from __future__ import annotations

import inspect
import math
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import zkdiscovery
from tests.support import Recorder
from zkdiscovery import Client, InvalidSettings, Shard, State, close_on_signals, testing
from zkdiscovery.lifecycle import DEFAULT
from zkdiscovery.testing import FaultProxy, StaticClient, static_client
from zkdiscovery.testing.proxy.frames import FrameFault

FOR_A_STATE = 10.0  # seconds, as long as the default session timeout
FOR_AN_OPERATION = 5.0

LIMITS = {
    "Barrier.enter": FOR_A_STATE,
    "Barrier.leave": FOR_A_STATE,
    "Client.wait_connected": FOR_A_STATE,
    "Client.locked": FOR_A_STATE,
    "Lock.acquire": FOR_A_STATE,
    "Lock.hold": FOR_A_STATE,
    "Registration.wait_registered": FOR_A_STATE,
    "Service.wait_ready": FOR_A_STATE,
    "Service.call": 30.0,
    "Client.clear_override": FOR_AN_OPERATION,
    "Client.config_edit": FOR_AN_OPERATION,
    "Client.config_names": FOR_AN_OPERATION,
    "ConfigStore.edit": FOR_AN_OPERATION,
    "ConfigStore.replace": FOR_AN_OPERATION,
    "ConfigStore.rollback": FOR_AN_OPERATION,
    "ConfigStore.reencrypt": FOR_AN_OPERATION,
    "ConfigStore.rollout": FOR_AN_OPERATION,
    "ConfigStore.stop_rollout": FOR_AN_OPERATION,
    "ConfigStore.read": FOR_AN_OPERATION,
    "ConfigStore.history": FOR_AN_OPERATION,
    "ConfigStore.diff": FOR_AN_OPERATION,
    "Config.wait_ready": FOR_A_STATE,
    "ConfigStore.readers": FOR_AN_OPERATION,
    "ConfigStore.export": FOR_AN_OPERATION,
    "Client.election_names": FOR_AN_OPERATION,
    "Client.instances": FOR_AN_OPERATION,
    "Client.override": FOR_AN_OPERATION,
    "Client.remove": FOR_AN_OPERATION,
    "Client.service_names": FOR_AN_OPERATION,
    "Counter.add": FOR_AN_OPERATION,
    "Counter.compare_and_set": FOR_AN_OPERATION,
    "Counter.set": FOR_AN_OPERATION,
    "Counter.value": FOR_AN_OPERATION,
    "Client.shard_names": FOR_AN_OPERATION,
    "Election.candidates": FOR_AN_OPERATION,
    "Election.close": FOR_AN_OPERATION,
    "Election.leader": FOR_AN_OPERATION,
    "Lock.hold_if_free": FOR_AN_OPERATION,
    "Lock.holder": FOR_AN_OPERATION,
    "Lock.holders": FOR_AN_OPERATION,
    "Lock.request_release": FOR_AN_OPERATION,
    "Lock.try_acquire": FOR_AN_OPERATION,
    "Lock.waiters": FOR_AN_OPERATION,
    "Registration.close": FOR_AN_OPERATION,
    "Semaphore.set_limit": FOR_AN_OPERATION,
    "Shards.close": FOR_AN_OPERATION,
    "Shards.table": FOR_AN_OPERATION,
    "Registration.drain": FOR_AN_OPERATION,
    "FaultProxy.wait_connections": FOR_AN_OPERATION,
    "FrameFault.wait": FOR_AN_OPERATION,
    "expire_session": FOR_AN_OPERATION,
}

ASKED_TO_WAIT = {  # what waits for leadership or changes until it is closed, because that is what it is for
    "Client.while_leader",
    "Config.changes",
    "Election.campaign",
    "Election.run",
    "Election.terms",
    "Service.changes",
}
AS_SETTINGS_SAY = {"Client.close", "Client.drain", "close_on_signals"}  # `close_timeout`, which is finite
# These have no default: whoever forgets the answer must not take the end of the wait for a loss.
SAY_IT = {"Hold.wait_lost", "Shard.wait_lost"}
OTHERS = {  # finite, and not of the SDK's own waits
    "ZookeeperEnsemble.followers",
    "ZookeeperEnsemble.leader",
    "ZookeeperEnsemble.wait_serving",
    "ZookeeperServer.remove_tree",
    "ZookeeperServer.wait_ended",
}
WAIT_UNTIL_A_DEADLINE = {"Election.leave"}  # of the client that closes
WAIT_UNTIL_CLOSED = {
    "ConfigStore.staged_rollout",
    "Shards.run",
}  # or until the plan of the rollout ends
NEVER_WAIT = {
    "Attempt.done", "Attempt.fail", "Attempt.report",
    "Barrier.forked", "Barrier.revive",
    "Client.barrier", "Client.config", "Client.config_store", "Client.counter", "Client.discover",
    "Client.election", "Client.feature", "Client.lock", "Client.on_change", "Client.read_write_lock",
    "Client.register",
    "Client.register_many", "Client.registered", "Client.semaphore", "Client.shards", "Client.start",
    "Config.close", "Config.forked", "Config.note_failure", "Config.on_change", "Config.revive", "Config.source",
    "Config.status", "Config.stop_following", "Config.take", "Config.update_hold",
    "Election.end_term", "Election.forked", "Election.on_change", "Election.revive", "Election.start",
    "Hold.check", "Hold.condition", "Hold.ended", "Hold.release",
    "Lock.forked", "Lock.on_release_requested", "Lock.revive",
    "Registration.beat", "Registration.on_change", "Registration.reclaim", "Registration.set_status",
    "Registration.update",
    "Service.attempt", "Service.close", "Service.explain", "Service.follow", "Service.forked", "Service.on_change",
    "Service.pick", "Service.revive", "Service.start_from", "Service.stop_following", "Service.update_hold",
    "Shards.forked", "Shards.held", "Shards.on_change", "Shards.revive",
    "StaticClient.lose_leadership", "StaticClient.lose_lock", "StaticClient.lose_shards", "StaticClient.set_config",
    "StaticClient.set_instances",
    "Subscription.close",
    "Term.resign",
    "close_on_signals.forked", "close_on_signals.restore",
    "outcome_of", "static_client",
}  # fmt: skip
# Starts, stops and cuts processes and links of tests, each step with a limit of its own.
HARNESS = ("FaultProxy.", "FrameFault.", "ZookeeperEnsemble.", "ZookeeperMember.", "ZookeeperServer.", "zookeeper_")

HANDLES = (
    "Attempt", "Barrier", "Client", "Config", "ConfigStore", "Counter", "Election", "Lock", "Registration", "Semaphore",
    "Service", "Shard", "Shards", "Subscription", "Term", "close_on_signals",
)  # fmt: skip


def public_callables() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Functions, and methods of the classes that do something; the others hold values."""
    for package in (zkdiscovery, testing):
        for name in package.__all__:
            thing = getattr(package, name)
            if inspect.isfunction(thing) or name == "close_on_signals":
                yield name, thing
            if inspect.isclass(thing) and (package is testing or name in HANDLES):
                yield from methods(thing)
    yield from methods(FrameFault)


def methods(cls: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name, method in inspect.getmembers(cls, inspect.isfunction):
        owner = method.__qualname__.partition(".")[0].removeprefix("Base")  # what sync and async handles share
        owner = "Client" if owner in {"ConfigMethods", "LockMethods", "ShardMethods"} else owner
        if not name.startswith("_"):
            yield f"{owner}.{name}", method


CALLABLES = dict(public_callables())
LIMITED = {name: sig for name, fn in CALLABLES.items() if "timeout" in (sig := inspect.signature(fn)).parameters}


def test_every_method_that_may_wait_has_a_time_limit() -> None:
    limited = {name for name in LIMITED if not name.startswith("StaticClient.")}
    assert limited == {*LIMITS, *ASKED_TO_WAIT, *AS_SETTINGS_SAY, *SAY_IT, *OTHERS}
    unlimited = {name for name in CALLABLES.keys() - LIMITED.keys() if not name.startswith(HARNESS)}
    static = {name for name in unlimited if name.startswith("StaticClient.")}
    of_its_own = {name for name in static if name.replace("StaticClient.", "Client.") not in NEVER_WAIT}
    assert (unlimited - static) | of_its_own == NEVER_WAIT | WAIT_UNTIL_A_DEADLINE | WAIT_UNTIL_CLOSED


def test_defaults_are_finite() -> None:
    found = {name: sig.parameters["timeout"].default for name, sig in LIMITED.items()}
    for name, default in found.items():
        own = name.replace("StaticClient.", "Client.")
        if own in LIMITS:
            assert default == LIMITS[own], name
        elif own in ASKED_TO_WAIT:
            assert default is None, name
        elif own in AS_SETTINGS_SAY:
            assert default is DEFAULT, name
        elif own in SAY_IT or name == "ZookeeperServer.wait_ended":
            assert default is inspect.Parameter.empty, name
        else:
            assert isinstance(default, float), name
            assert math.isfinite(default), name


def test_the_static_client_has_the_limits_of_the_client() -> None:
    for name, method in inspect.getmembers(StaticClient, inspect.isfunction):
        theirs = inspect.signature(getattr(Client, name, method)).parameters.get("timeout")
        ours = inspect.signature(method).parameters.get("timeout")
        assert (ours and ours.default) == (theirs and theirs.default), name


@pytest.fixture
def client() -> Iterator[StaticClient]:
    with static_client(payments=["127.0.0.1:8080"]) as client:
        yield client


USES: dict[str, Callable[[StaticClient, Any], object]] = {
    "Client.wait_connected": lambda client, value: nowhere(lambda away: away.wait_connected(value)),
    "Client.instances": lambda client, value: nowhere(lambda away: away.instances("payments", value)),
    "Client.service_names": lambda client, value: nowhere(lambda away: away.service_names(value)),
    "Client.shard_names": lambda client, value: nowhere(lambda away: away.shard_names(value)),
    "Client.election_names": lambda client, value: nowhere(lambda away: away.election_names(value)),
    "Client.config_edit": lambda client, value: client.config_edit(["shop"], "why", timeout=value).__enter__(),
    "Client.config_names": lambda client, value: nowhere(lambda away: away.config_names(value)),
    "Config.changes": lambda client, value: nowhere(lambda away: next(away.config("shop").changes(value))),
    "Config.wait_ready": lambda client, value: nowhere(lambda away: away.config("shop").wait_ready(value)),
    "ConfigStore.readers": lambda client, value: client.config_store("shop").readers(value),
    "ConfigStore.edit": lambda client, value: client.config_store("shop").edit("why", timeout=value).__enter__(),
    "ConfigStore.replace": lambda client, value: client.config_store("shop").replace({}, "why", timeout=value),
    "ConfigStore.rollback": lambda client, value: client.config_store("shop").rollback(1, timeout=value),
    "ConfigStore.rollout": lambda client, value: client.config_store("shop").rollout(value),
    "ConfigStore.stop_rollout": lambda client, value: client.config_store("shop").stop_rollout("why", value),
    "ConfigStore.reencrypt": lambda client, value: client.config_store("shop").reencrypt(timeout=value),
    "ConfigStore.read": lambda client, value: client.config_store("shop").read(timeout=value),
    "ConfigStore.history": lambda client, value: client.config_store("shop").history(value),
    "ConfigStore.diff": lambda client, value: client.config_store("shop").diff(1, timeout=value),
    "ConfigStore.export": lambda client, value: client.config_store("shop").export(timeout=value),
    "Client.override": lambda client, value: nowhere(lambda away: away.override("a", "b", weight=1.0, timeout=value)),
    "Client.clear_override": lambda client, value: nowhere(lambda away: away.clear_override("a", "b", timeout=value)),
    "Client.remove": lambda client, value: nowhere(lambda away: away.remove("a", "b", timeout=value)),
    "Client.while_leader": lambda client, value: client.while_leader("report", timeout=value),
    "Client.close": lambda client, value: client.close(value),
    "Client.drain": lambda client, value: client.drain(value),
    "close_on_signals": lambda client, value: close_on_signals(client, timeout=value),
    "Barrier.enter": lambda client, value: client.barrier("load", 2).enter(value),
    "Barrier.leave": lambda client, value: client.barrier("load", 2).leave(value),
    "Counter.add": lambda client, value: client.counter("orders").add(timeout=value),
    "Counter.compare_and_set": lambda client, value: client.counter("orders").compare_and_set(0, 1, timeout=value),
    "Counter.set": lambda client, value: client.counter("orders").set(1, timeout=value),
    "Counter.value": lambda client, value: client.counter("orders").value(value),
    "Election.candidates": lambda client, value: nowhere(lambda away: away.election("report").candidates(value)),
    "Election.leader": lambda client, value: nowhere(lambda away: away.election("report").leader(value)),
    "Election.campaign": lambda client, value: client.election("report").campaign(value).__enter__(),
    "Election.close": lambda client, value: client.election("report").close(value),
    "Election.run": lambda client, value: client.election("report").run(print, value),
    "Election.terms": lambda client, value: next(client.election("report").terms(value)),
    "Client.locked": lambda client, value: client.locked("report", timeout=value),
    "Lock.hold_if_free": lambda client, value: client.lock("report").hold_if_free(value).__enter__(),
    "Lock.acquire": lambda client, value: client.lock("report").acquire(value),
    "Lock.hold": lambda client, value: client.lock("report").hold(value).__enter__(),
    "Lock.holder": lambda client, value: client.lock("report").holder(value),
    "Lock.holders": lambda client, value: client.lock("report").holders(value),
    "Lock.request_release": lambda client, value: client.lock("report").request_release(value),
    "Lock.try_acquire": lambda client, value: client.lock("report").try_acquire(value),
    "Lock.waiters": lambda client, value: client.lock("report").waiters(value),
    "Registration.wait_registered": lambda client, value: client.register("a", 80).wait_registered(value),
    "Registration.drain": lambda client, value: client.register("a", 80).drain(timeout=value),
    "Registration.close": lambda client, value: client.register("a", 80).close(value),
    "Semaphore.set_limit": lambda client, value: client.semaphore("report").set_limit(2, value),
    "Shard.wait_lost": lambda client, value: a_shard(client).wait_lost(value),
    "Shards.close": lambda client, value: client.shards("orders").close(value),
    "Shards.table": lambda client, value: nowhere(lambda away: away.shards("orders").table(value)),
    "Service.call": lambda client, value: client.discover("payments").call(print, timeout=value),
    "Service.changes": lambda client, value: next(client.discover("payments").changes(value)),
    "Service.wait_ready": lambda client, value: client.discover("payments").wait_ready(value),
    "Hold.wait_lost": lambda client, value: next(client.election("report").terms()).wait_lost(value),
    "FaultProxy.wait_connections": lambda client, value: with_proxy(lambda proxy: proxy.wait_connections(0, value)),
    "FrameFault.wait": lambda client, value: with_proxy(lambda proxy: proxy.lose_request().wait(value)),
    "expire_session": lambda client, value: testing.expire_session(1, b"", "127.0.0.1:1", value),
}


def nowhere(use: Callable[[Client], object]) -> None:
    with Client("127.0.0.1:1") as away:
        use(away)


def a_shard(client: Client) -> Shard:
    """One that is held until the client closes."""
    begun: Recorder[Shard] = Recorder()

    def consume(shard: Shard) -> None:
        begun(shard)
        shard.wait_lost(None)

    threading.Thread(target=client.shards("orders", 1).run, args=(consume,)).start()
    return begun.wait(bool)[0]


def with_proxy(use: Callable[[FaultProxy], object]) -> None:
    with FaultProxy("127.0.0.1:1") as proxy:
        use(proxy)


def test_every_limit_is_used_below() -> None:
    assert USES.keys() == {*LIMITS, *ASKED_TO_WAIT, *AS_SETTINGS_SAY, *SAY_IT}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1, -0.001, "5", True, [1.0]], ids=repr)
def test_what_is_no_time_is_refused_and_changes_nothing(client: StaticClient, use: str, value: object) -> None:
    with pytest.raises(InvalidSettings, match="a timeout must be a number of seconds, 0 or more, or None"):
        USES[use](client, value)
    assert client.state is State.CONNECTED
    assert all(registration.state == "REGISTERED" for registration in client.registrations)


@pytest.mark.parametrize("use", ["Client.close", "Election.campaign", "Registration.close", "Service.wait_ready"])
@pytest.mark.parametrize("value", [0, 0.5, 1e300, None])
def test_any_other_number_and_none_are_time_limits(client: StaticClient, use: str, value: float | None) -> None:
    USES[use](client, value)
