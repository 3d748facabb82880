"""The client for users' own unit tests."""

from __future__ import annotations

import math
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support import Recorder
from zkdiscovery import (
    Change,
    ClientClosed,
    CommandCheck,
    CounterOverflow,
    Hold,
    HoldLost,
    Instance,
    InvalidInstance,
    LeadershipLost,
    NodeMissing,
    NoInstanceAvailable,
    RegistrationState,
    State,
    Status,
    Term,
    TtlCheck,
)
from zkdiscovery.testing import static_client


def test_fixed_instances_are_discovered_and_picked() -> None:
    client = static_client(payments=["127.0.0.1:8001", Instance("payments", "10.0.0.1", 80, id="b", weight=2.0)])
    payments = client.discover("payments").wait_ready(at_least=2)
    assert {payments.pick().id for _ in range(50)} == {"127.0.0.1:8001", "b"}
    assert [instance.id for instance in client.instances("payments")] == ["127.0.0.1:8001", "b"]
    assert client.service_names() == ["payments"]
    assert client.state is State.CONNECTED


def test_names_that_are_no_keywords() -> None:
    client = static_client({"order-items": ["127.0.0.1:1"]})
    assert client.discover("order-items").pick().netloc == "127.0.0.1:1"


def test_views_follow_what_a_test_sets() -> None:
    client = static_client(payments=["127.0.0.1:1"])
    payments = client.discover("payments")
    seen: Recorder[Change] = Recorder()
    payments.on_change(seen)
    client.set_instances("payments", ["127.0.0.1:2"])
    seen.wait(lambda changes: bool(changes) and changes[-1].after.instances[0].port == 2)
    assert payments.pick().port == 2
    client.set_instances("payments", [])
    with pytest.raises(NoInstanceAvailable):
        payments.pick()


def test_bad_instances_change_nothing() -> None:
    client = static_client(payments=["127.0.0.1:1"])
    with pytest.raises(InvalidInstance):
        client.set_instances("payments", ["127.0.0.1:2", "127.0.0.1:0"])
    assert [instance.port for instance in client.instances("payments")] == [1]


def test_it_tells_its_states() -> None:
    states: Recorder[State] = Recorder()
    client = static_client(payments=["127.0.0.1:1"])
    assert client.state is State.NEW, "nothing has been used yet"
    client.on_change(states)
    with client:
        states.wait(lambda items: items == [State.CONNECTED])
    states.wait(lambda items: items == [State.CONNECTED, State.CLOSED])


def test_a_closed_client_takes_no_instances() -> None:
    client = static_client(payments=["127.0.0.1:1"])
    view = client.discover("payments")
    client.close()
    known = repr(client)
    with pytest.raises(ClientClosed):
        client.set_instances("orders", ["127.0.0.1:2"])
    with pytest.raises(ClientClosed):
        client.set_instances("payments", ["127.0.0.1:2"])
    assert repr(client) == known
    assert [instance.port for instance in view.instances] == [1]


@pytest.mark.parametrize(
    "entry", ["127.0.0.1", "8001", ":8001", "::1:8001", "[::1]", "a:b", "a/b:80", 8001, None, Instance("bills", "a", 1)]
)
def test_what_is_no_instance_of_the_service(entry: str | Instance) -> None:
    with pytest.raises(InvalidInstance):
        static_client(payments=[entry])


def test_an_ipv6_address() -> None:
    (instance,) = static_client(payments=["[::1]:8001"]).instances("payments")
    assert (instance.host, instance.port) == ("::1", 8001)


def test_a_granted_term_has_no_end() -> None:
    with static_client().election("report").campaign() as term:
        assert repr(term) == "<Term 'report' fence=1 no end>"


def test_the_environment_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZKDISCOVERY_GUARD", "no JSON")
    monkeypatch.setenv("ZKDISCOVERY_ZONE", "prod")
    assert static_client().register("payments", 1).instance.zone is None


def test_registrations_are_recorded() -> None:
    client = static_client()
    registration = client.register("payments", 8080, metadata={"a": "b"}).wait_registered()
    registration.update(weight=2.0)
    assert [r.instance.weight for r in client.registrations] == [2.0]
    assert registration.state is RegistrationState.REGISTERED
    registration.close()
    assert registration.state is RegistrationState.CLOSED
    assert client.registrations == [registration]


def test_the_decorator_registers_and_drains() -> None:
    client = static_client()

    @client.registered("payments", 8080, ready="now")
    def serve() -> RegistrationState:
        return client.registrations[0].state

    assert serve() is RegistrationState.REGISTERED
    assert client.registrations[0].state is RegistrationState.CLOSED


def test_every_term_is_granted_with_growing_fences() -> None:
    client = static_client()
    with client.election("report").campaign() as first:
        assert not first.lost
        leader = client.election("report").leader()  # seen by another object, too
        assert leader is not None
        assert leader.fence == first.fence
    assert first.lost
    with client.election("report").campaign() as second:
        assert second.fence > first.fence

    @client.while_leader("report")
    def work(term: Term) -> int:
        term.check()
        return term.fence

    fence = work()
    assert fence is not None
    assert fence > second.fence


def test_leadership_can_be_lost_in_a_test() -> None:
    client = static_client()
    turns = []

    @client.while_leader("report")
    def work(term: Term) -> str:
        turns.append(term.fence)
        if len(turns) == 1:
            client.lose_leadership("report")
            with pytest.raises(LeadershipLost):
                term.check()
        return "done"

    assert work() == "done"
    assert len(turns) == 2


def test_overrides_and_removal() -> None:
    client = static_client(payments=["127.0.0.1:1"])
    payments = client.discover("payments")
    client.override("payments", "127.0.0.1:1", status=Status.OUT_OF_SERVICE)
    assert not payments.available
    assert str(client.override("payments", "127.0.0.1:1", status="DOWN").override) == "DOWN instead of UP"
    assert client.clear_override("payments", "127.0.0.1:1").status is Status.UP
    assert client.remove("payments", "127.0.0.1:1")
    assert not client.remove("payments", "127.0.0.1:1")
    with pytest.raises(NodeMissing):
        client.override("payments", "127.0.0.1:1", weight=1.0)


def test_a_closed_client_says_so() -> None:
    client = static_client(payments=["127.0.0.1:1"])
    with client:
        registration = client.register("payments", 1)
    assert registration.state is RegistrationState.CLOSED
    assert client.state is State.CLOSED
    with pytest.raises(ClientClosed):
        client.discover("payments")


def test_a_closed_view_takes_no_subscriptions() -> None:
    client = static_client(payments=["127.0.0.1:1"])
    view = client.discover("payments")
    view.close()
    with pytest.raises(ClientClosed, match="'payments' was closed"):
        view.on_change(print)


def test_a_term_can_be_waited_for_without_a_limit() -> None:
    client = static_client()
    with client.election("report").campaign() as term, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(term.wait_lost, None)
        client.lose_leadership("report")
        assert waiting.result(20.0)


def test_a_shared_registration_is_registered_at_once() -> None:
    with static_client() as client:
        registration = client.register("payments", 8080, on_conflict="share")
        assert registration.wait_registered().state == "REGISTERED"
        registration.set_status("DOWN")
        assert registration.instance.status == "DOWN"
        registration.close()
        assert registration.state == "CLOSED"


def test_every_lock_is_granted_with_growing_fences() -> None:
    with static_client() as client:
        lock, other = client.lock("invoice"), client.lock("invoice")
        with lock.hold() as hold:
            assert [who.fence for who in lock.holders()] == [hold.fence]
            assert hold.remaining == math.inf
            with pytest.raises(RuntimeError, match="not re-entrant"):
                lock.try_acquire()
            again = other.try_acquire()
            assert again is not None
            assert again.fence > hold.fence
            hold.check()
        assert hold.lost
        assert lock.holders() == other.holders() != []
        with client.read_write_lock("index").read, client.read_write_lock("index").write.hold() as write:
            assert not write.lost
    assert again.lost


def test_a_lock_can_be_lost_in_a_test() -> None:
    with static_client() as client:
        with pytest.raises(HoldLost, match="lost in a test"), client.lock("invoice"):
            client.lose_lock("invoice")
        with pytest.raises(HoldLost, match="the client was closed"), client.lock("invoice"):
            client.close()


def test_holders_are_told_of_requests() -> None:
    with static_client() as client:
        lock, told = client.lock("invoice"), Recorder[Hold]()
        lock.on_release_requested(told)
        assert lock.request_release() == []
        with lock as hold:
            assert [who.fence for who in client.lock("invoice").request_release()] == [hold.fence]
            assert told.wait(lambda items: len(items) == 1) == [hold]
            assert not hold.lost
        with client.semaphore("gpu", 2) as hold:
            assert [who.fence for who in client.semaphore("gpu").request_release()] == [hold.fence]


def test_counters_count_in_this_process() -> None:
    with static_client() as client:
        counter = client.counter("orders")
        assert counter.value() == 0
        assert (counter.add(), counter.add(5), counter.add(-2)) == (1, 6, 4)
        assert client.counter("orders").compare_and_set(4, 10)
        assert not counter.compare_and_set(4, 11)
        assert counter.value() == 10
        counter.set(2**63 - 1)
        with pytest.raises(CounterOverflow, match="the counter 'orders' was not changed"):
            counter.add()
        hold = client.lock("invoice").acquire()
        counter.set(7, guard=hold)
        client.lose_lock("invoice")
        with pytest.raises(HoldLost, match="lost in a test"):
            counter.add(guard=hold)
        assert counter.value() == 7


def test_every_barrier_is_open() -> None:
    with static_client() as client:
        barrier = client.barrier("load", 8)
        for _ in range(2):
            with barrier, pytest.raises(RuntimeError, match="has entered the barrier 'load'"):
                barrier.enter()
            with pytest.raises(RuntimeError, match="has not entered the barrier 'load'"):
                barrier.leave()


def test_every_semaphore_is_granted() -> None:
    with static_client() as client:
        with client.semaphore("gpu", 1) as hold, client.semaphore("gpu"):
            assert len(client.semaphore("gpu").holders()) == 2
            client.semaphore("gpu").set_limit(3)
            assert not hold.lost
        with pytest.raises(HoldLost, match="lost in a test"), client.semaphore("gpu"):
            client.lose_lock("gpu")


def test_checks_pass_without_being_run() -> None:
    with static_client() as client:
        registration = client.register("payments", 8080, checks=[CommandCheck(["false"])], deregister_after=600)
        assert registration.instance.status is Status.UP
        assert registration.health[0].message == "a static client runs no checks"
        beating = client.register("resizer", 8080, checks=[TtlCheck(15)])
        assert beating.instance.status is Status.STARTING
        beating.beat()
        assert beating.instance.status is Status.UP
        beating.beat()
    assert not [thread for thread in threading.enumerate() if thread.name == "zkdiscovery-health"]
