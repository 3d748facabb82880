"""Misfortunes that were met once and must not be met again: interrupted, exhausted, raced, wiped."""

from __future__ import annotations

import logging
import math
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import MakeClient
from tests.support import LIMIT, Recorder, Truth, core_of, feed_of, wait_epoch, wait_state, wait_view
from zkdiscovery import ClientClosed, Instance, Registration, State
from zkdiscovery.discovery import Discovery
from zkdiscovery.discovery import discovery as discovery_module
from zkdiscovery.registration import Registrar
from zkdiscovery.session.transport import kazoo_client
from zkdiscovery.session.transport.connection import Connection
from zkdiscovery.testing import FaultProxy


@pytest.mark.parametrize("timeout", [None, 1e300, 0])
def test_any_number_is_a_time_limit_and_none_is_no_limit(make_client: MakeClient, timeout: float | None) -> None:
    client = make_client()
    client.wait_connected(LIMIT)
    payments = client.discover("payments")
    registration = client.register("payments", 8080, host="127.0.0.1").wait_registered(LIMIT)
    payments.wait_ready(LIMIT)
    payments.wait_ready(timeout)
    registration.wait_registered(timeout)
    registration.drain(timeout=timeout)
    client.close(timeout)
    assert client.state is State.CLOSED


def test_what_is_no_number_is_no_time_limit(make_client: MakeClient) -> None:
    client = make_client()
    uses: list[Callable[[Any], object]] = [
        client.wait_connected,
        client.discover("payments").wait_ready,
        client.instances,
        client.close,
    ]
    for use in (uses[0], uses[1], uses[3], lambda value: client.instances("payments", value)):
        for value in (math.nan, math.inf, -1.0, "5", True):
            with pytest.raises(ValueError, match="a timeout must be a number of seconds"):
                use(value)
    assert client.state is not State.CLOSED


def test_a_discovery_that_races_the_end_of_the_client(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    client = make_client()
    made = discovery_module.make_view
    views = []

    def make_view(*arguments: Any) -> Any:
        views.append(made(*arguments))
        client.close()  # another thread's, just here
        return views[0]

    monkeypatch.setattr(discovery_module, "make_view", make_view)
    with pytest.raises(ClientClosed):
        client.discover("payments")
    assert list(views[0].changes()) == [], "the loop ends"


def test_an_interrupted_close_leaves_nothing_in_zookeeper(
    make_client: MakeClient, truth: Truth, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client()
    client.register("payments", 8080, id="a", host="127.0.0.1").wait_registered(LIMIT)

    def impatient(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Registrar, "close", impatient)
    with pytest.raises(KeyboardInterrupt):
        client.close()
    truth.wait(f"{namespace}/services/payments/a", lambda node: node is None, timeout=3.0)  # T is 4 s


def test_a_view_that_is_closed_in_a_fork_needs_no_lock_of_the_parent(make_client: MakeClient) -> None:
    client = make_client()
    view = client.discover("payments")
    wait_view(view, lambda snapshot: snapshot.loaded)
    with core_of(client).feature(Discovery)._lock:  # another thread's
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            view.close()
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_filter_that_exits_ends_no_thread_of_ours(make_client: MakeClient) -> None:
    client = make_client()
    client.register("payments", 8080, host="127.0.0.1").wait_registered(LIMIT)

    def leave(_: Instance) -> bool:
        raise SystemExit

    left_out = client.discover("payments", where=leave)
    assert client.discover("payments").wait_ready(LIMIT).pick().port == 8080
    assert left_out.available == ()


def test_a_worker_that_was_busy_during_a_blip_leaves_no_view_stale(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy
) -> None:
    client = make_client(zkdiscovery_proxy.address)
    for service in "ab":
        client.register(service, 8080, host="127.0.0.1").wait_registered(LIMIT)
    entered, leave = threading.Event(), threading.Event()

    def slow(_: Instance) -> bool:
        entered.set()
        return leave.wait(LIMIT)

    states: Recorder[State] = Recorder()
    client.on_change(states)
    busy = client.discover("a", where=slow)
    assert entered.wait(LIMIT)
    view = client.discover("b")
    zkdiscovery_proxy.drop()
    states.wait(lambda items: State.SUSPENDED in items and items[-1] is State.CONNECTED)
    leave.set()
    for each in (busy, view):
        wait_view(each, lambda snapshot: snapshot.loaded and not snapshot.stale)
    fence = threading.Event()  # whatever was due before is done when this is
    core_of(client).loader.worker.schedule("fence", fence.set)
    assert fence.wait(LIMIT)
    assert not view.snapshot.stale


def test_data_that_was_lost_and_came_anew_under_the_same_transaction_ids(
    make_client: MakeClient, namespace: str, truth: Truth
) -> None:
    client = make_client()
    client.register("payments", 8080, id="a", host="127.0.0.1").wait_registered(LIMIT)
    view = client.discover("payments").wait_ready(LIMIT)
    session = core_of(client).session
    children = feed_of(view)._children
    # As after a wipe: what the cache holds under these ids is of another history.
    held = view.snapshot.instances[0]
    feed_of(view)._instances["a"] = held.with_(weight=9.0)
    session.data_losses += 1
    session.link.drop("a test")  # type: ignore[union-attr]
    wait_view(view, lambda snapshot: snapshot.version > 1 and not snapshot.stale and snapshot.instances == (held,))
    assert children._data_losses == session.data_losses


def test_no_file_descriptor_for_a_new_link(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("zkdiscovery.session.links.REBUILD_DELAYS", (0.05,))
    client = make_client()
    registration: Registration = client.register("payments", 8080, host="127.0.0.1").wait_registered(LIMIT)
    failures = [OSError(24, "Too many open files")]
    pair = kazoo_client.Handler.create_socket_pair
    read = Connection._read_header
    nonsense = [RuntimeError("an answer that makes no sense")]

    def create_socket_pair(self: Any) -> Any:
        if failures:
            raise failures.pop()
        return pair(self)

    def read_header(self: Any, timeout: float) -> Any:
        if nonsense:
            raise nonsense.pop()
        return read(self, timeout)

    monkeypatch.setattr(kazoo_client.Handler, "create_socket_pair", create_socket_pair)
    monkeypatch.setattr(Connection, "_read_header", read_header)
    wait_state(client, State.SUSPENDED)
    wait_epoch(client, 1)
    registration.wait_registered(LIMIT)
    assert not failures
    assert "can't connect anew, trying again" in caplog.text


def test_no_thread_for_the_first_task(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    client = make_client()
    client.wait_connected(LIMIT)
    failures = [RuntimeError("can't start new thread")]
    start = threading.Thread.start

    def exhausted(self: threading.Thread) -> None:
        if self.name == "zkdiscovery-owner" and failures:
            raise failures.pop()
        start(self)

    monkeypatch.setattr(threading.Thread, "start", exhausted)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        client.register("payments", 8080, host="127.0.0.1")
    client.register("payments", 8081, host="127.0.0.1").wait_registered(LIMIT)


def test_a_watch_that_is_armed_after_its_end_is_not_set(make_client: MakeClient) -> None:
    client = make_client()
    client.wait_connected(LIMIT)
    session = core_of(client).session
    watch = session.watches.add("/anything", lambda *_: None)
    watch.close()
    future = watch.arm(generation=session.generation, deadline=math.inf)
    assert "was closed" in str(future.exception(LIMIT))


def test_a_broken_handshake_logs_no_password(caplog: pytest.LogCaptureFixture) -> None:
    from kazoo.protocol.serialization import Connect  # noqa: PLC0415 - what kazoo would log

    caplog.set_level(logging.DEBUG)
    adapter = kazoo_client.QuietLogger(logging.getLogger("zkdiscovery.session"))
    adapter.error("Exception raised during deserialization of request: %s", Connect(0, 0, 1, 1, b"hunter2", None))
    assert "Connect" in caplog.text
    assert "hunter2" not in caplog.text
