"""`Client.drain()`: nothing is held any more, and all else goes on until `close()`."""

from __future__ import annotations

import logging
import threading
import time

import pytest

from tests.conftest import MakeClient
from tests.integration.registration.helpers import read
from tests.support import LIMIT, Recorder, Truth, core_of, node_of, wait_registration, wait_view
from zkdiscovery import ClientClosed, RegistrationState, State, Status
from zkdiscovery.settings import Settings
from zkdiscovery.testing import ZookeeperServer, static_client


def test_views_calls_and_session_go_on(make_client: MakeClient, truth: Truth, namespace: str) -> None:
    client, other = make_client(), make_client()
    other.register("stock", 8081, host="10.0.0.2", id="s").wait_registered(LIMIT)
    registration = client.register("payments", 8080, host="10.0.0.1", id="a").wait_registered(LIMIT)
    stock = client.discover("stock").wait_ready(LIMIT)
    leaders: Recorder[object] = Recorder()
    client.election("other job").on_change(leaders)
    client.drain()
    assert truth.get(f"{namespace}/services/payments/a") is None
    assert registration.state is RegistrationState.CLOSED
    assert client.state is State.CONNECTED
    assert stock.call(lambda instance: instance.id) == "s"
    assert client.discover("stock").wait_ready(LIMIT).pick().id == "s"
    other.register("stock", 8082, host="10.0.0.2", id="t").wait_registered(LIMIT)
    wait_view(stock, lambda snapshot: len(snapshot) == 2)
    with other.election("other job").campaign(LIMIT):
        leaders.wait(lambda items: items[-1] is not None)
    client.close()
    assert client.state is State.CLOSED
    with pytest.raises(ClientClosed):
        stock.pick()


def test_a_term_ends_and_the_next_leader_follows_at_once(make_client: MakeClient) -> None:
    client, other = make_client(), make_client()
    led, ended = threading.Event(), threading.Event()

    def lead(term) -> None:  # type: ignore[no-untyped-def]
        led.set()
        term.wait_lost(LIMIT)
        ended.set()

    client.election("job").start(lead)
    assert led.wait(LIMIT)
    client.drain()
    assert ended.is_set()
    with other.election("job").campaign(2.0):  # T is 4 s
        assert client.state is State.CONNECTED


@pytest.mark.parametrize("end", ["drain", "close"])
@pytest.mark.parametrize("static", [False, True])
def test_nothing_new_is_held_from_then_on(make_client: MakeClient, end: str, static: bool) -> None:
    client = static_client() if static else make_client()
    election = client.election("job")
    getattr(client, end)()
    getattr(client, end)()
    with pytest.raises(ClientClosed):
        client.register("payments", 8080, host="10.0.0.1")
    with pytest.raises(ClientClosed):
        client.election("another")
    with pytest.raises(ClientClosed), election.campaign(LIMIT):
        pass
    client.close()


def test_a_close_during_a_drain_is_left_to_the_thread_that_drains(
    make_client: MakeClient, truth: Truth, namespace: str
) -> None:
    client = make_client()
    path = f"{namespace}/services/payments/a"
    held = client.register("payments", 8080, host="10.0.0.1", id="a", drain_delay=3600.0).wait_registered(LIMIT)
    draining = threading.Thread(target=client.drain)
    draining.start()
    truth.wait(path, lambda node: read(path, node).status is Status.DRAINING)  # type: ignore[union-attr]
    client.close()
    assert client.state is State.CONNECTED
    held.drain(delay=0.0)
    draining.join(LIMIT)
    assert client.state is State.CLOSED
    assert truth.get(path) is None


def test_the_default_makes_room_for_a_drain_delay(
    zkdiscovery_server: ZookeeperServer, make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(hosts=zkdiscovery_server.hosts, close_timeout=0.5)
    client = make_client(settings=settings)
    held = client.register("payments", 8080, host="10.0.0.1", drain_delay=1.5).wait_registered(LIMIT)
    begun = time.monotonic()
    client.close()
    assert 1.5 <= time.monotonic() - begun < 4.5
    assert held.state is RegistrationState.CLOSED
    assert "drain delay" not in caplog.text


def test_a_limit_that_cuts_drain_delays_is_told_with_both_numbers(
    make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_client()
    for number in range(3):
        client.register("payments", 8080 + number, host="10.0.0.1", drain_delay=8.0 + number).wait_registered(LIMIT)
    begun = time.monotonic()
    client.close(1.0)
    assert time.monotonic() - begun < 2.0
    told = [record for record in caplog.records if "drain delay" in record.getMessage()]
    assert [record.levelno for record in told] == [logging.WARNING]
    assert "cuts the drain delay of 10 s to 0.6 s" in told[0].getMessage()
    assert all(f"@10.0.0.1:{8080 + number}'" in told[0].getMessage() for number in range(3))


def test_one_that_can_not_be_reached_delays_none_of_the_others(
    make_client: MakeClient, truth: Truth, namespace: str
) -> None:
    """As at the end of a process: one thread ends all of them."""
    from zkdiscovery.lifecycle import Level, end  # noqa: PLC0415

    silent = make_client("127.0.0.1:1")
    lost = silent.register("payments", 8080, host="10.0.0.1", id="lost", on_conflict="wait")
    tracked = core_of(silent).nodes._nodes[node_of(lost)]
    tracked.uncertain = True  # as if its creation had not been answered: it is waited for
    client = make_client()
    held = client.register("payments", 8080, host="10.0.0.1", id="a", drain_delay=0.5).wait_registered(LIMIT)
    ending = threading.Thread(target=end, args=([silent.slot, client.slot], Level.DRAINED, 20.0))
    ending.start()
    truth.wait(f"{namespace}/services/payments/a", lambda node: node is None, timeout=5.0)
    wait_registration(held, RegistrationState.CLOSED, timeout=5.0)
    tracked.uncertain = False
    node_of(lost).nudge()
    ending.join(LIMIT)
    assert not ending.is_alive()
