"""The session as users see it: through the client."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from tests.conftest import MakeClient
from tests.integration.discovery.helpers import Written
from tests.support import LIMIT, Recorder, Truth, core_of, wait_state
from zkdiscovery import AuthenticationFailed, Client, ClientClosed, InvalidSettings, NotConnected, State
from zkdiscovery.testing import FaultProxy


def test_states_are_told(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy, zkdiscovery_expire: Callable[[Client], None]
) -> None:
    client = make_client(zkdiscovery_proxy.address)
    assert client.state is State.NEW
    states: Recorder[State] = Recorder()
    client.on_change(states)
    client.start()
    states.wait(lambda seen: seen == [State.CONNECTED])
    zkdiscovery_proxy.refuse()
    states.wait(lambda seen: seen[-1] is State.SUSPENDED)
    zkdiscovery_expire(client)
    zkdiscovery_proxy.heal()
    states.wait(lambda seen: seen[-1] is State.CONNECTED)
    client.close()
    states.wait(lambda seen: seen[-1] is State.CLOSED)
    assert client.state is State.CLOSED
    with pytest.raises(ClientClosed):
        client.wait_connected()


def test_closing_in_a_callback(make_client: MakeClient) -> None:
    client = make_client()
    closed = threading.Event()

    def close(state: State) -> None:
        if state is State.CONNECTED:
            client.close()
            closed.set()

    client.on_change(close)
    client.start()
    assert closed.wait(LIMIT)
    assert client.state is State.CLOSED


def test_a_callback_that_blocks_holds_up_no_request(make_client: MakeClient, payments: Written) -> None:
    payments.add("a")
    client = make_client()
    entered, leave = threading.Event(), threading.Event()
    client.on_change(lambda _: (entered.set(), leave.wait(LIMIT)))
    client.start()
    assert entered.wait(LIMIT)
    assert [instance.id for instance in client.instances("payments")] == ["a"]
    assert client.discover("payments").wait_ready(LIMIT).pick().id == "a"
    start = time.monotonic()
    client.close(timeout=0.5)
    assert time.monotonic() - start < 1.5, "a callback that does not end is not waited for beyond the limit"
    leave.set()


def test_no_thread_is_left(make_client: MakeClient, payments: Written) -> None:
    payments.add("a")
    before = set(threading.enumerate())
    client = make_client()
    view = client.discover("payments").wait_ready(LIMIT)
    view.on_change(lambda _: None)
    client.register("payments", 8080, host="127.0.0.1").wait_registered(LIMIT)
    assert {thread.name for thread in set(threading.enumerate()) - before} >= {
        "zkdiscovery-connection",
        "zkdiscovery-maintenance",
        "zkdiscovery-cache",
    }
    client.close(LIMIT)
    assert set(threading.enumerate()) <= before


def test_closing_while_cut_off_keeps_to_its_limit(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy, payments: Written
) -> None:
    payments.add("a")
    before = set(threading.enumerate())
    client = make_client(zkdiscovery_proxy.address)
    client.discover("payments").wait_ready(LIMIT)
    registration = client.register("payments", 8080, host="127.0.0.1").wait_registered(LIMIT)
    zkdiscovery_proxy.refuse()
    wait_state(client, State.SUSPENDED)
    start = time.monotonic()
    client.close(timeout=1.0)
    assert time.monotonic() - start < 2.0
    assert "payments" in repr(registration)
    for thread in set(threading.enumerate()) - before:
        thread.join(LIMIT)
        assert not thread.is_alive(), "it ends by itself"


def test_settings_that_can_not_be_used_are_told_at_the_first_use(make_client: MakeClient) -> None:
    client = make_client("no port:here")
    with pytest.raises(InvalidSettings, match="hosts"):
        client.start()
    assert client.state is State.NEW


def test_errors_raised_many_times_do_not_grow(make_client: MakeClient, zkdiscovery_proxy: FaultProxy) -> None:
    """One and the same error object, raised again and again, would keep the frames of all who raised it."""
    zkdiscovery_proxy.refuse()
    client = make_client(zkdiscovery_proxy.address).start()
    core_of(client).session.fail(AuthenticationFailed("refused"), final=True)
    depths = []
    for _ in range(3):
        with pytest.raises(AuthenticationFailed) as raised:
            client.wait_connected(0.1)
        depths.append(len(raised.traceback))
    assert len(set(depths)) == 1


def test_not_connected_in_time(make_client: MakeClient, zkdiscovery_proxy: FaultProxy, truth: Truth) -> None:
    zkdiscovery_proxy.refuse()
    client = make_client(zkdiscovery_proxy.address)
    with pytest.raises(NotConnected, match=r" within 0\.2 s.*zkdiscovery doctor") as raised:
        client.wait_connected(0.2)
    assert isinstance(raised.value, ConnectionError)
    assert not raised.value.outcome_unknown
