"""Requests when the connection breaks: never executed later than it was said, never waited for in vain."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.integration.session.conftest import MakeSession
from tests.integration.session.helpers import heard
from tests.support import LIMIT, Truth
from zkdiscovery.errors import (
    NodeChanged,
    NodeExists,
    NodeMissing,
    NodeNotEmpty,
    NotConnected,
    OperationTimeout,
    SessionExpired,
    ZkDiscoveryError,
)
from zkdiscovery.session import (
    EPHEMERAL,
    NO_NODE,
    Check,
    Create,
    Delete,
    GetChildren,
    GetData,
    Multi,
    Node,
    Session,
    SetData,
    State,
    Sync,
    bulk_read,
)
from zkdiscovery.session.bulk import BATCH
from zkdiscovery.session.requests import MultiRead
from zkdiscovery.session.transport.channel import MAX_OUTSTANDING
from zkdiscovery.testing import FaultProxy, ZookeeperServer


def soon(seconds: float = LIMIT) -> float:
    return time.monotonic() + seconds


class Stuck:
    """A `sync` whose answer takes as long to read as the `with` block runs: so long nothing is sent."""

    type = Sync.type

    def __init__(self, session: Session) -> None:
        self._session = session
        self._reading, self._go_on = threading.Event(), threading.Event()

    def serialize(self) -> bytes:
        return Sync("/").serialize()

    def deserialize(self, _buffer: bytes, _offset: int) -> None:
        self._reading.set()
        assert self._go_on.wait(LIMIT)

    def __enter__(self) -> None:
        self._session.submit(self, deadline=soon())
        assert self._reading.wait(LIMIT)

    def __exit__(self, *exc: object) -> None:
        self._go_on.set()


def test_what_was_queued_at_a_cut_is_never_executed(
    make_session: MakeSession, zkdiscovery_proxy: FaultProxy, truth: Truth, namespace: str
) -> None:
    """The ghost operation of kazoo: its caller gave up, and it runs after the reconnect."""
    session = make_session(zkdiscovery_proxy.address)
    changes = heard(session)
    truth.create(f"{namespace}/other")
    with Stuck(session):
        ghosts = [
            session.submit(Create(f"{namespace}/ghost-{number}", b"", session.leaf_acl), deadline=soon())
            for number in range(300)
        ]
        zkdiscovery_proxy.drop()
    for ghost in ghosts:
        error = ghost.exception(LIMIT)
        assert isinstance(error, NotConnected)
        assert not error.outcome_unknown
        assert "it was not sent" in str(error)
    changes.wait(lambda seen: len(seen) == 2)
    session.call(Sync("/"), deadline=soon())
    assert truth.children(namespace) == ["other"]


def test_what_was_sent_before_a_cut_may_have_been_executed(
    make_session: MakeSession, zkdiscovery_proxy: FaultProxy, truth: Truth, namespace: str
) -> None:
    session = make_session(zkdiscovery_proxy.address)
    truth.create(f"{namespace}/other")
    zkdiscovery_proxy.half_open("client_to_server")
    sent = session.submit(Create(f"{namespace}/done", b"", session.leaf_acl), deadline=soon())
    truth.wait(f"{namespace}/done", lambda node: node is not None)
    zkdiscovery_proxy.drop()
    error = sent.exception(LIMIT)
    assert isinstance(error, NotConnected)
    assert error.outcome_unknown
    assert (error.path, error.server) == (f"{namespace}/done", zkdiscovery_proxy.address)


def test_a_request_that_is_late_and_unsent_is_withdrawn(
    make_session: MakeSession, truth: Truth, namespace: str
) -> None:
    session = make_session()
    truth.create(f"{namespace}/other")
    with Stuck(session), pytest.raises(OperationTimeout, match="it was not sent") as raised:
        session.call(Create(f"{namespace}/late", b"", session.leaf_acl), deadline=soon(0.1))
    assert not raised.value.outcome_unknown
    session.call(Sync("/"), deadline=soon())
    assert truth.children(namespace) == ["other"]


def test_a_request_whose_time_is_up_is_not_sent(make_session: MakeSession, truth: Truth, namespace: str) -> None:
    """Also where nobody waits for it."""
    session = make_session()
    truth.create(f"{namespace}/other")
    with Stuck(session):
        late = session.submit(Create(f"{namespace}/late", b"", session.leaf_acl), deadline=time.monotonic())
    error = late.exception(LIMIT)
    assert isinstance(error, OperationTimeout)
    assert not error.outcome_unknown
    assert truth.children(namespace) == ["other"]


def test_a_request_that_is_late_and_sent_says_so(make_session: MakeSession, zkdiscovery_proxy: FaultProxy) -> None:
    session = make_session(zkdiscovery_proxy.address, session_timeout=10.0)
    zkdiscovery_proxy.pause()
    with pytest.raises(OperationTimeout, match="it may have been executed") as raised:
        session.call(Sync("/"), deadline=soon(0.2))
    assert raised.value.outcome_unknown
    zkdiscovery_proxy.heal()
    session.call(Sync("/"), deadline=soon())  # the late answer before it does no harm


def test_a_request_for_an_older_connection_is_refused(make_session: MakeSession, zkdiscovery_proxy: FaultProxy) -> None:
    session = make_session(zkdiscovery_proxy.address)
    old = session.generation
    changes = heard(session)
    zkdiscovery_proxy.drop()
    changes.wait(lambda seen: len(seen) == 2)
    with pytest.raises(NotConnected) as raised:
        session.call(Sync("/"), deadline=soon(), generation=old)
    assert not raised.value.outcome_unknown


def test_what_waits_when_the_session_expires(
    make_session: MakeSession, zkdiscovery_proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    """An answer that says so ends the session, and what is behind it fails with it."""
    session = make_session(zkdiscovery_proxy.address)
    changes = heard(session)
    answers: list[bytes] = []

    def expired(chunk: bytes) -> bytes:
        answers.append(chunk)
        return chunk[:4] + chunk[4:16] + (-112).to_bytes(4, "big", signed=True) + chunk[20:]

    with Stuck(session):
        zkdiscovery_proxy.alter("server_to_client", expired)
        futures = [session.submit(Sync("/"), deadline=soon()) for _ in range(3)]
    errors = [future.exception(LIMIT) for future in futures]
    zkdiscovery_proxy.heal()
    assert [type(error) for error in errors] == [SessionExpired] * 3
    changes.wait(lambda seen: bool(seen) and seen[-1].state is State.CONNECTED)
    assert session.epoch == 2


def test_many_calls_while_suspended(make_session: MakeSession, zkdiscovery_proxy: FaultProxy) -> None:
    """kazoo's 279th would block its caller for good."""
    session = make_session(zkdiscovery_proxy.address)
    changes = heard(session)
    zkdiscovery_proxy.refuse()
    changes.wait(bool)
    refused = [session.submit(Sync("/"), deadline=soon()) for _ in range(1000)]
    for future in refused:
        error = future.exception(0)
        assert isinstance(error, NotConnected)
        assert not error.outcome_unknown

    def call(timeout: float) -> type[BaseException] | None:
        try:
            session.read(GetChildren("/"), timeout=timeout)
        except ZkDiscoveryError as error:
            return type(error)
        return None

    # More threads would take long for themselves: each that waits for the interpreter lock asks for it 200 times a
    # second, so a thousand that wake at one moment take many seconds on a busy machine, whatever they do.
    with ThreadPoolExecutor(300) as pool:
        assert list(pool.map(call, [1.0] * 300, timeout=LIMIT)) == [NotConnected] * 300
        zkdiscovery_proxy.heal()
        session.wait_connected(LIMIT)
        assert list(pool.map(call, [LIMIT] * 1000, timeout=LIMIT)) == [None] * 1000


def test_reads_over_a_cut_are_repeated(make_session: MakeSession, zkdiscovery_proxy: FaultProxy) -> None:
    session = make_session(zkdiscovery_proxy.address)
    changes = heard(session)
    zkdiscovery_proxy.half_open("client_to_server")
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(session.read, GetChildren("/"), timeout=LIMIT)
        zkdiscovery_proxy.refuse()
        changes.wait(bool)
        assert not reading.done()
        zkdiscovery_proxy.heal()
        assert "zookeeper" in reading.result(LIMIT)


def test_the_queue_is_bounded(make_session: MakeSession) -> None:
    session = make_session(session_timeout=10.0)  # which nothing is sent in while the queue fills
    with Stuck(session):
        futures = [session.submit(Sync("/"), deadline=soon()) for _ in range(MAX_OUTSTANDING + 1)]
        error = futures[-1].exception(0)
        assert isinstance(error, NotConnected)
        assert f"{MAX_OUTSTANDING} requests are waiting already" in str(error)
        assert not error.outcome_unknown
    for future in futures[:-1]:
        future.result(LIMIT)


def test_a_request_that_can_not_be_written_fails_alone(make_session: MakeSession) -> None:
    session = make_session()
    with pytest.raises(UnicodeEncodeError):
        session.submit(GetData("/\ud800"), deadline=soon())
    session.call(Sync("/"), deadline=soon())
    assert session.generation == 1


# -- a link that is dead --


@pytest.mark.parametrize("traffic", [True, False], ids=["under traffic", "idle"])
def test_a_dead_link_is_noticed(
    make_session: MakeSession, zkdiscovery_proxy: FaultProxy, caplog: pytest.LogCaptureFixture, traffic: bool
) -> None:
    """kazoo sends no ping under traffic, and took a black hole for a link for 25 s."""
    session = make_session(zkdiscovery_proxy.address, session_timeout=4.0)
    lost = threading.Event()
    session.listen(lambda change: lost.set() if change.state is State.SUSPENDED else None)
    zkdiscovery_proxy.blackhole()
    start = time.monotonic()
    while not lost.wait(0.05):
        assert time.monotonic() - start < LIMIT
        if traffic:
            session.submit(Sync("/"), deadline=soon())
    took = time.monotonic() - start
    assert took < (2.0 if traffic else 4.0), "half the session timeout under traffic, less than all of it when idle"
    assert "lost contact with" in caplog.text
    assert not traffic or "no answer for 1.3 s" in caplog.text
    zkdiscovery_proxy.heal()
    session.wait_connected(LIMIT)


def test_a_long_queue_of_answers_is_no_dead_link(
    make_session: MakeSession,
    truth: Truth,
    namespace: str,
    zkdiscovery_proxy: FaultProxy,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The last of many reads waits longer than a third of the timeout, while answers come all the time.

    A slow link makes it so, whatever the machine: an answer has 40 kB, and one comes each 0.2 s.
    """
    truth.create(f"{namespace}/node")
    session = make_session(zkdiscovery_proxy.address, session_timeout=6.0)
    zkdiscovery_proxy.slow(200_000)
    start = time.monotonic()
    reads = [session.submit(MultiRead([f"{namespace}/node"] * 500), deadline=soon()) for _ in range(20)]
    for read in reads:
        assert len(read.result(LIMIT)) == 500
    assert time.monotonic() - start > session.timeout / 3, "or else nothing is shown here"
    assert session.generation == 1
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


# -- answers --


def test_transactions_raise(make_session: MakeSession, truth: Truth, namespace: str) -> None:
    """kazoo would return the errors as values."""
    session = make_session()
    there = f"{namespace}/there"
    truth.create(f"{there}/child")
    acl = session.leaf_acl
    failing: list[tuple[Any, type[Exception], str]] = [
        (Check(f"{namespace}/missing"), NodeMissing, "does not exist"),
        (Delete(f"{namespace}/missing"), NodeMissing, "does not exist"),
        (Create(there, b"", acl), NodeExists, "exists already"),
        (SetData(there, b"", 7), NodeChanged, "changed in between"),
        (Check(there, 7), NodeChanged, "changed in between"),
        (Delete(there), NodeNotEmpty, "has children"),
    ]
    for operation, error, text in failing:
        transaction = Multi([Create(f"{namespace}/first", b"", acl), operation, Create(f"{namespace}/last", b"", acl)])
        with pytest.raises(error, match=text) as raised:
            session.call(transaction, deadline=soon())
        assert isinstance(raised.value, ZkDiscoveryError)
        assert raised.value.path == operation.path
        assert raised.value.operation_index == 1
        assert truth.children(namespace) == ["there"], "all or nothing"


def test_transactions_answer(make_session: MakeSession, truth: Truth, namespace: str) -> None:
    session = make_session()
    path = f"{namespace}/node"
    truth.create(f"{namespace}/other")
    created, stat, checked, deleted = session.call(
        Multi([Create(path, b"1", session.leaf_acl), SetData(path, b"2"), Check(path, 1), Delete(path)]),
        deadline=soon(),
    )
    if created is not None:  # by older servers
        assert (created.czxid, created.version, created.data_length) == (stat.czxid, 0, 1)
    assert (stat.version, checked, deleted) == (1, None, None)


def test_bulk_reads_keep_order_and_say_what_is_missing(make_session: MakeSession, truth: Truth, namespace: str) -> None:
    session = make_session()
    paths = []
    for number in range(3):
        paths += [f"{namespace}/{number}", f"{namespace}/missing-{number}"]
        truth.create(paths[-2], str(number).encode())
    many = paths * BATCH
    results = list(bulk_read(session, many, generation=session.generation, deadline=soon()))
    assert [path for path, _ in results] == many
    values = [node.data if isinstance(node, Node) else node for _, node in results]
    assert values == [b"0", NO_NODE, b"1", NO_NODE, b"2", NO_NODE] * BATCH


@pytest.mark.parametrize("request_of", [GetData, GetChildren, Delete, lambda path: SetData(path, b"")])
def test_errors_name_request_path_and_server(make_session: MakeSession, request_of: Callable[[str], Any]) -> None:
    session = make_session()
    with pytest.raises(NodeMissing, match=r"/nowhere: the node does not exist \(server") as raised:
        session.call(request_of("/nowhere"), deadline=soon())
    assert (raised.value.path, raised.value.server) == ("/nowhere", session.server)


def test_an_ephemeral_has_no_children(make_session: MakeSession, truth: Truth, namespace: str) -> None:
    session = make_session()
    truth.create(f"{namespace}/mine", ephemeral=True)
    with pytest.raises(ZkDiscoveryError, match="ephemeral"):
        session.call(Create(f"{namespace}/mine/child", b"", session.leaf_acl, EPHEMERAL), deadline=soon())


def test_an_answer_that_can_not_be_read_is_as_good_as_lost(
    make_session: MakeSession, zkdiscovery_proxy: FaultProxy, zkdiscovery_server: ZookeeperServer
) -> None:
    session = make_session(zkdiscovery_proxy.address)
    with Stuck(session):
        zkdiscovery_proxy.alter("server_to_client", lambda chunk: (16).to_bytes(4, "big") + chunk[4:20])
        broken = session.submit(GetData("/"), deadline=soon())
    with pytest.raises(NotConnected, match="can't be read; it may have been executed") as raised:
        broken.result(LIMIT)
    assert raised.value.outcome_unknown
    zkdiscovery_proxy.heal()
    session.read(Sync("/"), timeout=LIMIT)
    assert session.generation >= 2, "what comes after it can't be trusted either"
