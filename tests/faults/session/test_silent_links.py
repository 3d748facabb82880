"""Links that die without a word, or live but slowly: how soon the one is noticed, and that the other is not taken
for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import MakeClient
from tests.integration.discovery.helpers import Written
from tests.integration.session.conftest import MakeSession
from tests.support import LIMIT, Truth, core_of, wait_state, wait_view
from zkdiscovery import State
from zkdiscovery.session import Session, Sync
from zkdiscovery.testing import FaultProxy

pytestmark = pytest.mark.links

TIMEOUT = 2.0  # seconds; the shortest with which a third is more than a busy machine's hesitation
NOTICED = TIMEOUT / 3 + TIMEOUT / 12  # seconds, as promised in guarantees.md
HESITATION = 1.5  # seconds that a busy machine may take longer; far less than the 25 s that kazoo took


@contextmanager
def repeating(action: Callable[[], object], interval: float = 0.05) -> Iterator[None]:
    """Do it again and again on a thread of its own."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(interval):
            action()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(LIMIT)


class Loss:
    """When a session lost its connection, and how old the oldest proof of it was: monotonic seconds."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lost = threading.Event()
        self.after = 0.0
        session.listen(self._note)

    def _note(self, change: object) -> None:
        if self._session.state is State.SUSPENDED and not self._lost.is_set():
            self.after = time.monotonic()
            self._lost.set()

    def wait(self) -> float:
        """Wait for it: when it was."""
        assert self._lost.wait(LIMIT)
        return self.after


def hear_of(session: Session, path: str) -> None:
    """Let the server send events of the path."""
    watch = session.watches.add(path, lambda *_: None)
    watch.arm(generation=session.generation, deadline=time.monotonic() + LIMIT).result(LIMIT)


@pytest.mark.parametrize(
    ("fault", "traffic"),
    [
        ("answers lost", "requests"),
        ("requests lost", "requests"),
        ("answers lost", "events alone"),
        ("requests lost", "events alone"),
    ],
)
def test_a_link_that_dies_in_one_direction(
    make_session: MakeSession,
    zkdiscovery_proxy: FaultProxy,
    truth: Truth,
    namespace: str,
    caplog: pytest.LogCaptureFixture,
    fault: str,
    traffic: str,
) -> None:
    """Traffic hides a dead link from kazoo for 25 s; events that still come prove one direction only."""
    session = make_session(zkdiscovery_proxy.address, session_timeout=TIMEOUT)
    truth.create(f"{namespace}/node")
    hear_of(session, namespace)
    loss = Loss(session)

    def ask() -> None:
        if traffic == "requests":
            session.submit(Sync("/"), deadline=time.monotonic() + LIMIT)
        truth.set(f"{namespace}/node", b"")  # an event

    with repeating(ask):
        session.call(Sync("/"), deadline=time.monotonic() + LIMIT)
        zkdiscovery_proxy.half_open("client_to_server" if fault == "answers lost" else "server_to_client")
        dead = time.monotonic()
        took = loss.wait() - dead
    # Without a request it is the next ping that is not answered: a third of the timeout later at most.
    assert took < NOTICED + HESITATION + (0.0 if traffic == "requests" else TIMEOUT / 3)
    assert f"no answer for {TIMEOUT / 3:.1f} s" in caplog.text or took < TIMEOUT, (
        "by us, not by the server's hanging up"
    )
    zkdiscovery_proxy.heal()
    session.wait_connected(LIMIT)
    session.call(Sync("/"), deadline=time.monotonic() + LIMIT)


def test_a_long_event_is_no_proof_of_a_link_that_dies_in_one_direction(
    make_session: MakeSession, zkdiscovery_proxy: FaultProxy, truth: Truth, namespace: str
) -> None:
    """Its parts come for three sessions, while the server hears nothing."""
    session = make_session(zkdiscovery_proxy.address, session_timeout=TIMEOUT)
    truth.create(f"{namespace}/node")
    hear_of(session, namespace)
    loss = Loss(session)
    zkdiscovery_proxy.half_open("server_to_client")
    zkdiscovery_proxy.slow(100_000.0)
    dead = time.monotonic()
    truth.create(f"{namespace}/{'x' * 600_000}")
    assert loss.wait() - dead < NOTICED + TIMEOUT / 3 + HESITATION


def test_a_view_behind_a_link_that_dies_silently(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy, payments: Written
) -> None:
    """It says that it is stale, serves on, and has missed nothing afterwards."""
    payments.add("a", "b")
    client = make_client(zkdiscovery_proxy.address, session_timeout=TIMEOUT)
    view = client.discover("payments").wait_ready(LIMIT, at_least=2)
    zkdiscovery_proxy.half_open("server_to_client")
    start = time.monotonic()
    wait_view(view, lambda snapshot: snapshot.stale)
    assert time.monotonic() - start < NOTICED + TIMEOUT / 3 + HESITATION
    payments.remove("a")
    payments.add("c")
    assert {view.pick().id for _ in range(50)} == {"a", "b"}
    zkdiscovery_proxy.heal()
    wait_view(view, lambda snapshot: not snapshot.stale and {i.id for i in snapshot} == {"b", "c"})


def test_a_slow_link_is_no_dead_link(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy, payments: Written, caplog: pytest.LogCaptureFixture
) -> None:
    """Answers take a fifth of the timeout: idle or not, nothing is dropped, and changes are seen."""
    payments.add("a", weight=1.0)
    client = make_client(zkdiscovery_proxy.address, session_timeout=4.0)
    view = client.discover("payments").wait_ready(LIMIT)
    session = core_of(client).session
    zkdiscovery_proxy.delay(0.4)
    start = time.monotonic()
    payments.change("a", weight=2.0)
    wait_view(view, lambda snapshot: snapshot.instances[0].weight == 2.0)
    assert time.monotonic() - start > 3 * 0.4 - 0.1, "event, request, answer: or else nothing is shown here"
    assert (session.generation, session.epoch, view.snapshot.stale) == (1, 1, False)
    assert "lost contact" not in caplog.text


def test_a_slow_and_idle_link_is_no_dead_link(
    make_session: MakeSession, zkdiscovery_proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pings are answered after a quarter of the timeout. At 10 s that is far off; at 1 s a pause of 0.2 s is enough."""
    monkeypatch.setattr("kazoo.protocol.connection.random.randint", lambda *_: 30)  # hundredths of a second
    session = make_session(zkdiscovery_proxy.address, session_timeout=TIMEOUT)
    lost = threading.Event()
    session.listen(lambda change: lost.set() if change.state is State.SUSPENDED else None)
    zkdiscovery_proxy.delay(TIMEOUT / 8)
    assert not lost.wait(TIMEOUT)


def test_a_link_that_becomes_too_slow(make_session: MakeSession, zkdiscovery_proxy: FaultProxy) -> None:
    """Answers take longer than a third of the timeout: it is given up, and used again when it is faster."""
    session = make_session(zkdiscovery_proxy.address, session_timeout=TIMEOUT)
    loss = Loss(session)
    identity = session.session_id
    zkdiscovery_proxy.delay(0.5 * TIMEOUT)
    late = session.submit(Sync("/"), deadline=time.monotonic() + LIMIT)
    loss.wait()
    assert getattr(late.exception(LIMIT), "outcome_unknown", False)
    zkdiscovery_proxy.heal()
    session.wait_connected(LIMIT)
    session.call(Sync("/"), deadline=time.monotonic() + LIMIT)
    assert (session.session_id, session.epoch) == (identity, 1)
    assert session.state is State.CONNECTED


def test_states_do_not_flap_while_a_server_does_not_answer(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy
) -> None:
    """A connection that is accepted and then silent is none: SUSPENDED stays."""
    client = make_client(zkdiscovery_proxy.address, session_timeout=TIMEOUT).wait_connected(LIMIT)
    states: list[State] = []
    core_of(client).session.listen(lambda change: states.append(change.state))
    accepted = zkdiscovery_proxy.accepted
    zkdiscovery_proxy.pause()
    wait_state(client, State.SUSPENDED)
    zkdiscovery_proxy.drop()
    zkdiscovery_proxy.wait_connections(1)
    zkdiscovery_proxy.drop()
    zkdiscovery_proxy.wait_connections(1)
    assert zkdiscovery_proxy.accepted >= accepted + 2
    assert states == [State.SUSPENDED]
    zkdiscovery_proxy.heal()
    wait_state(client, State.CONNECTED)
