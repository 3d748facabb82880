"""Leases: how they begin, how they are renewed, and every way in which one ends. test_exchanges.py has the arithmetic.

The session here is a bench: it keeps the requests and the tasks, and the test answers and runs them. The clock is the
test's, too. Its connection is half of T old, so that a lease begins with 0.4 T.
"""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest

from tests.unit.session.lease_bench import FIRST, Bench, T
from zkdiscovery.errors import AccessDenied, NodeMissing, NotConnected, ZkDiscoveryError
from zkdiscovery.session import State
from zkdiscovery.session import lease as lease_module
from zkdiscovery.session.clock import lease_now
from zkdiscovery.session.lease import Unproven
from zkdiscovery.session.requests import Echo, Sync
from zkdiscovery.threads import run_steps


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench()
    monkeypatch.setattr(lease_module, "lease_now", lambda: bench.now)
    bench.leases.connected(bench.now - 0.5 * T, T)
    return bench


def refusal(cls: type[ZkDiscoveryError], index: int) -> ZkDiscoveryError:
    error = cls("refused")
    error.operation_index = index
    return error


# -- until when --


def test_a_lease_begins_with_what_is_proven_and_one_transaction(bench: Bench) -> None:
    def answer_late() -> None:
        bench.now += 0.5

    bench.during_call = answer_late
    assert bench.acquire().remaining == pytest.approx(FIRST - 0.5)
    assert not bench.trips


def test_none_begins_with_less_than_three_tenths(bench: Bench) -> None:
    def answer_late() -> None:
        bench.now += 1.5

    bench.during_call = answer_late
    with pytest.raises(Unproven, match="not known to have heard of us lately"):
        bench.acquire()
    assert not bench.leases._held


def test_a_client_that_stood_still_leads_when_the_leader_has_surely_heard_of_it_again(bench: Bench) -> None:
    bench.now += 5 * T
    with pytest.raises(Unproven) as caught:
        bench.acquire()
    assert caught.value.delay == pytest.approx(0.275 * T)
    bench.now += caught.value.delay - 0.01
    with pytest.raises(Unproven):
        bench.acquire()
    bench.now += 0.02
    assert bench.acquire().remaining == pytest.approx(0.625 * T, abs=0.02)


def test_a_stop_between_any_two_steps_of_a_beginning_lengthens_no_lease(bench: Bench) -> None:
    """Before the proof is sent, before it is answered, and before the lease begins: what remains shrinks with it."""
    before = bench.acquire("/before").remaining
    proof = bench.leases.prove("/a", generation=1)
    bench.now += 0.05 * T
    bench.during_call = lambda: setattr(bench, "now", bench.now + 0.04 * T)
    lease = bench.leases.acquire(proof, deadline=time.monotonic() + 60.0, hold=True, on_lost=lambda _: None)
    assert lease.remaining == pytest.approx(before - 0.09 * T)


def test_the_first_renewal_is_due_at_once(bench: Bench) -> None:
    lease = bench.acquire()
    bench.now += T / 50
    bench.run_due()
    assert [paths for paths, _ in bench.sent] == [[lease.path]]


def test_regular_renewals_give_six_tenths_of_the_timeout(bench: Bench) -> None:
    lease = bench.acquire()
    left = []
    for _ in range(6):
        bench.now += T / 10
        bench.answer(bench.renew())
        left.append(lease.remaining)
    assert left == pytest.approx([0.3 * T, 0.2 * T, 0.6 * T, 0.6 * T, 0.6 * T, 0.6 * T])


def test_a_renewal_makes_no_trips_that_its_transaction_does_not_need(bench: Bench) -> None:
    bench.acquire()
    bench.leases.connected(bench.now, T)
    bench.renew()
    assert not bench.trips
    bench.now += 0.31 * T
    bench.renew()
    assert [type(trip) for trip in bench.trips] == [Sync, Sync]


def test_a_gap_costs_what_it_took_and_is_made_up_for(bench: Bench) -> None:
    lease = bench.acquire()
    bench.settle()
    bench.now += 0.55 * T
    assert lease.remaining == pytest.approx(0.05 * T)
    bench.answer(bench.renew())
    assert lease.remaining == pytest.approx(0.35 * T)  # what was exchanged just before the gap
    bench.now += 0.275 * T
    bench.answer(bench.renew())
    assert lease.remaining == pytest.approx(0.625 * T)


def test_what_is_sent_counts_not_what_is_answered(bench: Bench) -> None:
    lease = bench.acquire()
    bench.settle()
    bench.now += T / 10
    future = bench.renew()
    bench.now += 2.0
    bench.answer(future)
    assert lease.remaining == pytest.approx(0.6 * T - 2.0)


def test_a_reconnect_gives_nine_tenths_from_when_the_handshake_was_sent(bench: Bench) -> None:
    lease = bench.acquire()
    bench.move(State.SUSPENDED)
    bench.leases.connected(bench.now, T)
    bench.now += 1.0
    bench.move(State.CONNECTED)
    assert lease.remaining == pytest.approx(FIRST - 1.0), "a leader without a majority accepts handshakes, too"
    bench.run_due()
    bench.answer(bench.sent[-1][1])
    assert lease.remaining == pytest.approx(0.9 * T - 1.0)


def test_a_server_that_grants_less_shortens_leases_that_stand(bench: Bench) -> None:
    lease = bench.acquire()
    bench.leases.connected(bench.now, T / 5)
    assert lease.remaining == pytest.approx(0.9 * T / 5)


# -- what is exchanged while no lease is held --


def test_from_the_first_use_on_there_is_an_exchange_every_tenth(bench: Bench) -> None:
    bench.leases.dismiss("nobody")
    assert not bench.tasks
    bench.leases.expect("me")
    for _ in range(3):
        bench.now += T / 10
        bench.run_due()
    assert [type(trip) for trip in bench.trips] == [Sync] * 4
    bench.leases.dismiss("me")
    for _ in range(3):
        bench.now += T / 10
        bench.run_due()
    assert [type(trip) for trip in bench.trips[4:]] == [Echo] * 3


def test_whoever_is_expected_begins_with_one_transaction_however_old_the_connection_is(bench: Bench) -> None:
    bench.leases.expect("me")
    for _ in range(10):
        bench.now += T / 10
        bench.run_due()
    bench.now += T / 11
    bench.trips.clear()
    assert bench.acquire().remaining > 0.4 * T
    assert not bench.trips


def test_a_renewal_whose_answer_is_lost_extends_nothing(bench: Bench) -> None:
    lease = bench.acquire()
    bench.now += T / 10
    before = lease.remaining
    bench.renew().set_exception(NotConnected("lost", outcome_unknown=True))
    assert lease.remaining == before


def test_a_late_answer_shortens_nothing(bench: Bench) -> None:
    lease = bench.acquire()
    late = bench.renew()
    bench.now += T / 10
    bench.answer(bench.renew())
    before = lease.remaining
    bench.answer(late)
    assert lease.remaining == before


@pytest.mark.parametrize("looked", [True, False])
def test_an_answer_after_the_deadline_revives_nothing(bench: Bench, looked: bool) -> None:
    lease = bench.acquire()
    bench.now += T / 10
    future = bench.renew()
    bench.now += FIRST
    if looked:
        assert lease.reason is not None
    bench.answer(future)
    assert lease.reason == "the session was not renewed in time"
    assert lease.remaining == 0.0
    assert run_steps(lease.losing(0))


def test_reading_reads_the_clock(bench: Bench) -> None:
    lost: list[str] = []
    lease = bench.acquire(on_lost=lost.append)
    bench.now += FIRST - 0.001
    assert lease.reason is None
    assert not run_steps(lease.losing(0))
    bench.now += 0.002
    assert lease.reason is not None
    assert lost == []  # no thread of ours has run
    bench.run_due()
    assert lost == ["the session was not renewed in time"]


def test_waiting_ends_with_the_lease_even_if_nobody_tells(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "lease_now", lease_now)
    bench.leases.connected(lease_now(), 0.3)
    bench.now, bench.timeout = lease_now(), 0.3
    assert run_steps(bench.acquire().losing(20.0))


def test_waiting_is_ended_by_the_end(bench: Bench) -> None:
    lease = bench.acquire()
    thread = threading.Thread(target=lease.end, args=("resigned",))
    thread.start()
    assert run_steps(lease.losing(20.0))
    thread.join()


def test_the_clock_of_leases_goes_on_while_the_machine_sleeps() -> None:
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    before = time.clock_gettime(clock)
    assert before <= lease_now() <= time.clock_gettime(clock)


# -- how it is renewed --


def test_one_transaction_renews_all(bench: Bench) -> None:
    leases = [bench.acquire(f"/{number}") for number in range(3)]
    bench.settle()
    assert sorted(bench.sent[0][0]) == ["/0", "/1", "/2"]
    assert [lease.remaining for lease in leases] == pytest.approx([0.6 * T] * 3)


def test_a_transaction_has_a_bounded_size(bench: Bench) -> None:
    for number in range(lease_module.BATCH + 1):
        bench.acquire(f"/{number}")
    bench.leases._renew()
    assert sorted(len(paths) for paths, _ in bench.sent) == [1, lease_module.BATCH]


def test_renewals_go_on_every_tenth_of_the_timeout_while_a_lease_is_held(bench: Bench) -> None:
    lease = bench.acquire()
    times = []
    while len(times) < 4:
        bench.now = min(due for _, due in bench.tasks.values())
        bench.run_due()
        if len(bench.sent) > len(times):
            times.append(bench.now)
            bench.answer(bench.sent[-1][1])
    assert times == pytest.approx([100.0 + T / 50 + T / 10 * number for number in range(4)])
    lease.end("resigned")
    count = len(bench.sent)
    bench.now += T
    bench.run_due()
    assert len(bench.sent) == count
    assert not bench.tasks


def test_a_new_connection_is_used_at_once(bench: Bench) -> None:
    bench.acquire()
    bench.move(State.SUSPENDED)
    bench.now += T / 20
    bench.move(State.CONNECTED)
    bench.run_due()
    assert len(bench.sent) == 1


def test_a_deleted_node_ends_its_lease_and_no_other(bench: Bench) -> None:
    lost: list[tuple[str, str]] = []

    def note(path: str, reason: str) -> None:
        lost.append((path, reason))

    leases = {path: bench.acquire(path, on_lost=partial(note, path)) for path in ("/a", "/b", "/c")}
    bench.settle()
    bench.now += T / 10
    future = bench.renew()
    gone = bench.sent[-1][0][1]
    future.set_exception(refusal(NodeMissing, 1))
    assert lost == [(gone, "its node was deleted from outside")]
    paths, again = bench.sent[-1]
    assert sorted([*paths, gone]) == ["/a", "/b", "/c"]
    bench.answer(again)
    assert [path for path, lease in leases.items() if lease.reason is None] == [p for p in leases if p != gone]
    assert all(leases[path].remaining == pytest.approx(0.6 * T) for path in paths)


def test_a_refused_check_ends_with_its_deadline_and_harms_no_other(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = bench.acquire("/a"), bench.acquire("/b")
    bench.settle()
    bench.now += T / 10
    future = bench.renew()
    index = bench.sent[-1][0].index("/a")
    future.set_exception(refusal(AccessDenied, index))
    assert bench.sent[-1][0] == ["/b"]
    bench.answer(bench.sent[-1][1])
    assert first.remaining == pytest.approx(0.5 * T)
    assert second.remaining == pytest.approx(0.6 * T)
    assert "the lease on /a can't be renewed" in caplog.text


# -- how it ends --


def test_it_ends_once_and_for_the_first_reason(bench: Bench) -> None:
    lost: list[str] = []
    lease = bench.acquire(on_lost=lost.append)
    lease.end("resigned")
    lease.end("again")
    bench.move(State.EXPIRED)
    assert lost == ["resigned"]
    assert lease.reason == "resigned"


@pytest.mark.parametrize(
    ("state", "reason"), [(State.EXPIRED, "the session expired"), (State.CLOSED, "the client was closed")]
)
def test_it_ends_with_its_session(bench: Bench, state: State, reason: str) -> None:
    lease = bench.acquire()
    bench.move(state)
    assert lease.reason == reason


def test_a_broken_connection_ends_only_what_does_not_hold(bench: Bench) -> None:
    holding, releasing = bench.acquire("/a"), bench.acquire("/b", hold=False)
    bench.move(State.SUSPENDED)
    assert holding.reason is None
    assert releasing.reason == "the connection to ZooKeeper broke"


@pytest.mark.parametrize(
    "states", [[State.SUSPENDED], [State.SUSPENDED, State.CONNECTED], [State.EXPIRED], [State.CLOSED]]
)
def test_none_begins_on_a_connection_that_broke_meanwhile(bench: Bench, states: list[State]) -> None:
    # The answer is there, and before the lease can be in the table the listeners have run.
    bench.during_call = lambda: [bench.move(state) for state in states] and None
    with pytest.raises(NotConnected, match="nothing is held"):
        bench.acquire()
    assert not bench.leases._held


def test_a_proof_that_comes_too_late_is_not_waited_for(bench: Bench) -> None:
    bench.acquire()
    assert bench.call_limit <= 0.6 * T, "nothing that was exchanged before is young enough then"


def test_in_a_forked_child_it_is_lost_and_touches_nothing_of_the_parent(bench: Bench) -> None:
    lost: list[str] = []
    lease = bench.acquire(on_lost=lost.append)
    lease._lock.acquire()  # as another thread of the parent may have at the fork
    lease.disown()
    assert lease.reason == "it belongs to the parent process"
    assert run_steps(lease.losing(None))
    lease.end("resigned")
    assert lost == []


def test_the_garbage_collector_may_end_a_lease_on_a_thread_that_holds_its_locks(bench: Bench) -> None:
    """A loop over terms that was abandoned ends in the midst of anything, and waited for its own thread."""
    lease = bench.acquire()

    def end() -> None:
        with bench.leases._lock, lease._lock:
            lease.end("resigned")

    thread = threading.Thread(target=end, daemon=True)
    thread.start()
    thread.join(5.0)
    assert not thread.is_alive()
    assert lease.reason == "resigned"
