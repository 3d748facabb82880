"""Leases: their arithmetic against a model of an ensemble, and every way in which one ends.

The session here is a bench: it keeps the requests and the tasks, and the test answers and runs them. The clock is the
test's, too.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zkdiscovery.errors import AccessDenied, NodeMissing, NotConnected, ZkDiscoveryError
from zkdiscovery.session import Session, State, StateChange
from zkdiscovery.session import lease as lease_module
from zkdiscovery.session.clock import lease_now
from zkdiscovery.session.lease import Lease, Leases
from zkdiscovery.session.requests import Multi

T = 10.0  # seconds, the session timeout
FIRST = 0.4 * T  # seconds that one commit proves


class Bench:
    """What leases need of a session and its keeper."""

    def __init__(self) -> None:
        self.now = 100.0  # of the lease clock
        self.timeout = T
        self.generation = 1
        self.state = State.CONNECTED
        self.keeper = self
        self.tasks: dict[object, tuple[Callable[[], None], float]] = {}  # with the time at which they are due
        self.sent: list[tuple[list[str], Future[Any]]] = []
        self.during_call: Callable[[], None] = lambda: None
        self.call_limit = 0.0
        self._listeners: list[Callable[[StateChange], None]] = []
        self.leases = Leases(cast("Session", self))

    def listen(self, listener: Callable[[StateChange], None]) -> None:
        self._listeners.append(listener)

    def schedule(self, key: object, task: Callable[[], None], delay: float = 0.0) -> None:
        due = self.now + delay
        if key not in self.tasks or self.tasks[key][1] > due:
            self.tasks[key] = (task, due)

    def result(self, _answer: Future[Any], _request: Multi, deadline: float) -> None:
        self.call_limit = deadline - time.monotonic()
        self.during_call()

    def submit(self, request: Multi, *, deadline: float, generation: int | None = None) -> Future[Any]:
        future: Future[Any] = Future()
        if generation is not None:
            return future  # a proof: see `result`
        self.sent.append(([operation.path for operation in request.operations], future))
        return future

    def move(self, state: State) -> None:
        """As the session does: first the state, then the listeners."""
        before, self.state = self.state, state
        self.generation += state is State.CONNECTED
        for listener in self._listeners:
            listener(StateChange(state, before, 1, self.generation))

    def acquire(self, path: str = "/a", *, hold: bool = True, on_lost: Callable[[str], None] = lambda _: None) -> Lease:
        proof = self.leases.prove(path, generation=self.generation)
        return self.leases.acquire(proof, deadline=time.monotonic() + 60.0, hold=hold, on_lost=on_lost)

    def run_due(self) -> None:
        """What the keeper would do now."""
        for key, (task, due) in list(self.tasks.items()):
            if due <= self.now:
                del self.tasks[key]
                task()

    def renew(self) -> Future[Any]:
        """The next renewal, sent now; the test answers it."""
        count = len(self.sent)
        self.leases._renew()
        assert len(self.sent) == count + 1
        return self.sent[-1][1]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench()
    monkeypatch.setattr(lease_module, "lease_now", lambda: bench.now)
    return bench


def proven(sent: float, answered: float, leases: Leases) -> float:
    """The deadline that a commit stands for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lease_module, "lease_now", lambda: answered)
        return leases._proven(sent, T)


def refusal(cls: type[ZkDiscoveryError], index: int) -> ZkDiscoveryError:
    error = cls("refused")
    error._index = index
    return error


# -- until when --


def test_a_lease_begins_with_four_tenths_of_the_timeout_from_when_its_proof_was_sent(bench: Bench) -> None:
    def answer_late() -> None:
        bench.now += 1.0

    bench.during_call = answer_late
    assert bench.acquire().remaining == pytest.approx(FIRST - 1.0)


def test_the_first_renewal_is_due_by_when_the_proof_was_sent(bench: Bench) -> None:
    def answer_late() -> None:
        bench.now += 3.5

    bench.during_call = answer_late
    lease = bench.acquire()
    bench.run_due()
    assert [paths for paths, _ in bench.sent] == [[lease.path]], "half a second is left"


def test_regular_renewals_give_six_tenths_of_the_timeout(bench: Bench) -> None:
    lease = bench.acquire()
    left = []
    for _ in range(6):
        bench.now += T / 10
        bench.renew().set_result([None])
        left.append(lease.remaining)
    assert left == pytest.approx([FIRST, FIRST, 0.6 * T, 0.6 * T, 0.6 * T, 0.6 * T])


@given(
    silences=st.lists(st.floats(0.001, T / 3), max_size=10),
    intervals=st.lists(st.floats(0.001, T / 3), max_size=20),
    half_ticks=st.lists(st.floats(T / 100, T / 4), min_size=1, max_size=10),
)
# The worst case: silent for T/3, heard of at its beginning, and the leader's next ping is T/4 after its last one.
@example(silences=[T / 4 - 0.01], intervals=[], half_ticks=[*[T / 6] * 5, T / 6 - 0.001, T / 4])
def test_no_lease_outlasts_its_session_on_an_ensemble(
    silences: list[float], intervals: list[float], half_ticks: list[float]
) -> None:
    """The server expires us T after its leader heard of us last, and that is with the leader's pings of our server.

    Our server is cut off from the leader in the very moment of a commit. Before the lease began there were pings of
    ours, which prove nothing, but never more than T/3 apart.
    """
    sent = list(itertools.accumulate([T / 3] * 3 + silences + intervals, initial=0.0))
    pings = [0.0]
    for half_tick in itertools.cycle(half_ticks):
        if pings[-1] > sent[-1]:
            break
        pings.append(pings[-1] + half_tick)
    heard = [0.0, *(ping for last, ping in itertools.pairwise(pings) if any(last < at <= ping for at in sent))]
    leases = Bench().leases
    for commit in sent[3 + len(silences) :]:
        assert proven(commit, commit, leases) <= max(ping for ping in heard if ping <= commit) + T


@given(
    pauses=st.lists(st.tuples(st.floats(0.0, T), st.floats(0.0, T / 3)), min_size=1, max_size=4),
    half_tick=st.floats(T / 100, T / 4),
)
# A pause begins just before a ping, and all that has waited is committed just before the next one.
@example(pauses=[(T / 4 - 0.001, 0.2 * T)], half_tick=T / 4)
@example(pauses=[(T / 4 - 0.001, T / 3), (0.001, T / 3), (0.001, T / 3)], half_tick=T / 4)
def test_no_lease_outlasts_its_session_if_the_leader_stands_still(
    pauses: list[tuple[float, float]], half_tick: float
) -> None:
    """The leader of the ensemble is paused again and again, and cut off from us right after it has committed.

    Peers have no such margin at all: ZooKeeper counts a session's time while its leader stands still.
    """
    leases = Bench().leases
    still: list[tuple[float, float]] = []
    at = 2 * T
    for gap, length in pauses:
        still.append((at + gap, at + gap + length))
        at += gap + length

    def running(moment: float) -> float:
        """When the leader does what is due at a moment."""
        return next((end for begin, end in still if begin < moment < end), moment)

    sent = [T / 10 * number for number in range(100)]
    pings = [0.0]
    while pings[-1] < sent[-1]:
        pings.append(running(pings[-1] + half_tick))
    heard = [0.0, *(ping for last, ping in itertools.pairwise(pings) if any(last < each <= ping for each in sent))]
    for each in sent:
        answered = running(each)
        before = [ping for ping in heard if ping < answered or ping == answered == each]
        assert proven(each, answered, leases) <= before[-1] + T + 1e-9


def test_after_a_gap_a_commit_proves_no_more_than_at_the_beginning(bench: Bench) -> None:
    lease = bench.acquire()
    for _ in range(4):
        bench.now += T / 10
        bench.renew().set_result([None])
    assert lease.remaining == pytest.approx(0.6 * T)
    bench.now += 0.55 * T
    bench.renew().set_result([None])
    assert lease.remaining == pytest.approx(FIRST)


def test_what_is_sent_counts_not_what_is_answered(bench: Bench) -> None:
    lease = bench.acquire()
    future = bench.renew()
    bench.now += 2.0
    future.set_result([None])
    assert lease.remaining == pytest.approx(FIRST - 2.0)


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
    bench.renew().set_result([None])
    before = lease.remaining
    late.set_result([None])
    assert lease.remaining == before


@pytest.mark.parametrize("looked", [True, False])
def test_an_answer_after_the_deadline_revives_nothing(bench: Bench, looked: bool) -> None:
    lease = bench.acquire()
    bench.now += T / 10
    future = bench.renew()
    bench.now += FIRST
    if looked:
        assert lease.reason is not None
    future.set_result([None])
    assert lease.reason == "the session was not renewed in time"
    assert lease.remaining == 0.0
    assert lease.wait(0)


def test_reading_reads_the_clock(bench: Bench) -> None:
    lost: list[str] = []
    lease = bench.acquire(on_lost=lost.append)
    bench.now += FIRST - 0.001
    assert lease.reason is None
    assert not lease.wait(0)
    bench.now += 0.002
    assert lease.reason is not None
    assert lost == []  # no thread of ours has run
    bench.run_due()
    assert lost == ["the session was not renewed in time"]


def test_waiting_ends_with_the_lease_even_if_nobody_tells(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "lease_now", lease_now)
    bench.timeout = 0.3
    assert bench.acquire().wait(20.0)


def test_waiting_is_ended_by_the_end(bench: Bench) -> None:
    lease = bench.acquire()
    thread = threading.Thread(target=lease.end, args=("resigned",))
    thread.start()
    assert lease.wait(20.0)
    thread.join()


def test_the_clock_of_leases_goes_on_while_the_machine_sleeps() -> None:
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    before = time.clock_gettime(clock)
    assert before <= lease_now() <= time.clock_gettime(clock)


# -- how it is renewed --


def test_one_transaction_renews_all(bench: Bench) -> None:
    leases = [bench.acquire(f"/{number}") for number in range(3)]
    bench.now += T / 10
    bench.renew().set_result([None] * 3)
    assert sorted(bench.sent[0][0]) == ["/0", "/1", "/2"]
    assert [lease.remaining for lease in leases] == pytest.approx([FIRST] * 3)


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
            bench.sent[-1][1].set_result([None])
    assert times == pytest.approx([100.0 + T / 10 * number for number in range(1, 5)])
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
    bench.now += T / 10
    future = bench.renew()
    gone = bench.sent[0][0][1]
    future.set_exception(refusal(NodeMissing, 1))
    assert lost == [(gone, "its node was deleted from outside")]
    paths, again = bench.sent[1]
    assert sorted([*paths, gone]) == ["/a", "/b", "/c"]
    again.set_result([None] * 2)
    assert [path for path, lease in leases.items() if lease.reason is None] == [p for p in leases if p != gone]
    assert all(leases[path].remaining == pytest.approx(FIRST) for path in paths)


def test_a_refused_check_ends_with_its_deadline_and_harms_no_other(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = bench.acquire("/a"), bench.acquire("/b")
    bench.now += T / 10
    future = bench.renew()
    index = bench.sent[0][0].index("/a")
    future.set_exception(refusal(AccessDenied, index))
    bench.sent[1][1].set_result([None])
    assert bench.sent[1][0] == ["/b"]
    assert first.remaining == pytest.approx(FIRST - T / 10)
    assert second.remaining == pytest.approx(FIRST)
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
    assert bench.call_limit <= FIRST


def test_in_a_forked_child_it_is_lost_and_touches_nothing_of_the_parent(bench: Bench) -> None:
    lost: list[str] = []
    lease = bench.acquire(on_lost=lost.append)
    lease._lock.acquire()  # as another thread of the parent may have at the fork
    lease.disown()
    assert lease.reason == "it belongs to the parent process"
    assert lease.wait(None)
    lease.end("resigned")
    assert lost == []
