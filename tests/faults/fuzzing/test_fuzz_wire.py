"""Answers altered on their way: the client drops the link, comes back, and is right afterwards.

Each alteration is of one whole message. Nothing is left of it when the link has come back: no thread died, no call took
longer than its limit, no memory was taken for a claimed length, and no traceback was logged.
"""

from __future__ import annotations

import logging
import random
import struct
import threading
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import MakeClient
from tests.faults.fuzzing.frames import (
    AUTH,
    EVENT,
    PING,
    Alter,
    Alteration,
    before,
    event,
    framed,
    with_error,
    with_header,
    with_length,
    with_xid,
    with_zxid,
)  # fmt: skip
from tests.faults.fuzzing.helpers import FACTOR
from tests.integration.discovery.helpers import Written, ids
from tests.support import LIMIT, Truth, core_of, wait_view
from zkdiscovery import Auth, Client, Settings, ZkDiscoveryError
from zkdiscovery.session import SetData
from zkdiscovery.testing import FaultProxy, ZookeeperServer

CALL_LIMIT = 0.3  # seconds

ANSWERS: dict[str, Alter] = {
    "no length": with_length(0),
    "length -1": with_length(-1),
    "length -2^31": with_length(-(2**31)),
    "length 2 GB": with_length(2**31 - 1),
    "length 500 MB": with_length(500 * 1024 * 1024),
    "a byte too few": with_length(more=-1),
    "a byte too many": with_length(more=1),
    "another xid": with_xid(4711),
    "xid 0": with_xid(0),
    "as an event": with_xid(EVENT),
    "as a ping": with_xid(PING),
    "as an answer to auth": with_xid(AUTH),
    "as an answer to setWatches": with_xid(-8),
    "unknown error": with_error(-777),
    "error 1": with_error(1),
    "error -4": with_error(-4),
    "error -112": with_error(-112),
    "error -115": with_error(-115),
    "zxid -1": with_zxid(-1),
    "zxid of the far future": with_zxid(2**62),
    "a header alone": lambda body: framed(body[:16]),
    "half a header": lambda body: framed(body[:7]),
    "half a body": lambda body: framed(body[: 16 + (len(body) - 16) // 2]),
    "random bytes": lambda body: random.Random(len(body)).randbytes(200),
    "twice": lambda body: framed(body) * 2,
    "not at all": lambda body: b"",
    "after an event of unknown type": before(event(99, b"/a")),
    "after an event without path": before(event(1, b"", -1)),
    "after an event of a path that is none": before(event(3, b"\0\xff\x1b[31m")),
    "after an event with a claimed path": before(event(3, b"/a", 2**31 - 1)),
    "after half an event": before(framed(struct.pack(">iqi", EVENT, -1, 0) + b"abc")),
    "after an answer to nothing": before(framed(struct.pack(">iqi", 4711, 1, 0))),
    "after a ping that nobody sent": before(framed(struct.pack(">iqi", PING, 1, 0))),
}

HANDSHAKES: dict[str, Alter] = {
    "no length": with_length(0),
    "0 bytes": lambda body: framed(b""),
    "length -1": with_length(-1),
    "length 2 GB": with_length(2**31 - 1),
    "a byte": lambda body: framed(body[:1]),
    "half": lambda body: framed(body[:18]),
    "random bytes": lambda body: random.Random(2).randbytes(41),
    "random body": lambda body: framed(random.Random(3).randbytes(len(body))),
    "no password": lambda body: framed(body[:16] + struct.pack(">i", -1)),
    "an empty password": lambda body: framed(body[:16] + struct.pack(">i", 0) + b"\0"),
    "a password of 2 GB": lambda body: framed(body[:16] + struct.pack(">i", 2**31 - 1) + body[20:]),
    "timeout 0": with_header(4, ">i", 0),
    "timeout -1": with_header(4, ">i", -1),
    "timeout 1 ms": with_header(4, ">i", 1),
    "another session": with_header(8, ">q", 0x7FFF_0000_1234),
    "twice": lambda body: framed(body) * 2,
    "another protocol": with_header(0, ">i", 99),
}

AUTHENTICATIONS: dict[str, Alter] = {
    "another xid": with_xid(4711),
    "unknown error": with_error(-777),
    "error of a node": with_error(-101),
    "half a header": lambda body: framed(body[:7]),
    "nothing": lambda body: framed(b""),
    "length 2 GB": with_length(2**31 - 1),
    "random bytes": lambda body: random.Random(4).randbytes(40),
}


def is_handshake(body: bytes) -> bool:
    return len(body) == 37 and body[:4] == b"\0\0\0\0"


def is_answer(body: bytes) -> bool:
    return len(body) >= 16 and struct.unpack_from(">i", body)[0] > 1  # number 1 asks for the version


def is_authentication(body: bytes) -> bool:
    return len(body) == 16 and struct.unpack_from(">i", body)[0] == AUTH


@pytest.fixture
def payments(truth: Truth, namespace: str) -> Written:
    written = Written(truth, namespace)
    written.add("a", "b")
    return written


@pytest.fixture
def proxy(zkdiscovery_server: ZookeeperServer) -> Iterator[FaultProxy]:
    with FaultProxy(zkdiscovery_server.hosts) as between:
        yield between


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No thread died and no traceback was logged."""
    dead: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: dead.append(repr(args)))
    caplog.set_level(logging.DEBUG, "zkdiscovery")
    yield
    assert dead == []
    records = [record for record in caplog.records if record.name.startswith("zkdiscovery")]
    assert [record.getMessage() for record in records if record.exc_info] == []
    assert [record.getMessage() for record in records if len(record.getMessage()) > 1000] == []


def limited_call(client: Client) -> None:
    """One read: whatever it gives, it ends within its limit, with an error of ours if any."""
    start = time.monotonic()
    try:
        client.instances("payments", timeout=CALL_LIMIT)
    except ZkDiscoveryError as error:
        check_short(error)
    assert time.monotonic() - start < CALL_LIMIT + 2.0  # the machine may be busy


def check_short(error: ZkDiscoveryError) -> None:
    assert len(str(error)) < 1000


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("alter", ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_that_was_altered(
    make_client: MakeClient, proxy: FaultProxy, payments: Written, alter: Alter
) -> None:
    """kazoo #727 and its like: the cache follows on, a read is right again, one and the same link goes on."""
    client = make_client(proxy.address, session_timeout=1.0)
    view = client.discover("payments").wait_ready(LIMIT, at_least=2)
    link = core_of(client).session.link
    alteration = Alteration(alter, is_answer)
    proxy.alter("server_to_client", alteration)
    tracemalloc.start()
    try:
        limited_call(client)
        assert alteration.done.wait(LIMIT)
        assert ids(eventually(client)) == {"a", "b"}
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    proxy.drop()  # what was learnt from the altered message is put to the test
    payments.add("c")
    wait_view(view, lambda s: ids(s) == {"a", "b", "c"} and not s.stale)
    assert core_of(client).session.link is link


def eventually(client: Client) -> Any:
    """What is read once the client has come back."""
    end = time.monotonic() + LIMIT
    while True:
        try:
            return client.instances("payments", timeout=CALL_LIMIT)
        except ZkDiscoveryError:
            if time.monotonic() > end:
                raise
            client.wait_connected(LIMIT)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("alter", HANDSHAKES.values(), ids=HANDSHAKES.keys())
def test_a_handshake_that_was_altered(
    make_client: MakeClient, proxy: FaultProxy, payments: Written, alter: Alter
) -> None:
    """One attempt is lost, or one connection; the next is right. Once left a traceback of struct.error in the log."""
    alteration = Alteration(alter, is_handshake)
    proxy.alter("server_to_client", alteration)
    client = make_client(proxy.address, session_timeout=1.0)
    client.start()
    link = core_of(client).session.link
    assert alteration.done.wait(LIMIT)
    client.wait_connected(LIMIT)
    proxy.drop()  # what was learnt from the altered message is put to the test
    assert ids(eventually(client)) == {"a", "b"}
    assert core_of(client).session.link is link


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("alter", AUTHENTICATIONS.values(), ids=AUTHENTICATIONS.keys())
def test_an_answer_to_credentials_that_was_altered(
    make_client: MakeClient, proxy: FaultProxy, payments: Written, alter: Alter
) -> None:
    """Nonsense is no refusal: it is tried again."""
    alteration = Alteration(alter, is_authentication, times=2)
    proxy.alter("server_to_client", alteration)
    auth = Auth.model_validate({"username": "alice", "password": "secret"})
    client = make_client(proxy.address, session_timeout=1.0, settings=Settings(auth=auth))
    client.start()
    link = core_of(client).session.link
    assert alteration.done.wait(LIMIT)
    client.wait_connected(LIMIT)
    assert ids(eventually(client)) == {"a", "b"}
    assert core_of(client).session.link is link


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("seed", range(2 * FACTOR))
def test_bits_that_flip(make_client: MakeClient, proxy: FaultProxy, payments: Written, seed: int) -> None:
    """Some messages of a connection with random bits flipped, handshakes and events among them."""
    rng = random.Random(seed)

    def flip(body: bytes) -> bytes:
        message = bytearray(framed(body))
        for _ in range(rng.randint(1, 4)):
            message[rng.randrange(min(len(message), 40))] ^= 1 << rng.randrange(8)
        if is_handshake(body):  # how long the session lives, nobody but the server can know
            message[8:12] = body[4:8]
        return bytes(message)

    client = make_client(proxy.address, session_timeout=1.0)
    view = client.discover("payments")
    alteration = Alteration(flip, lambda _: rng.random() < 0.3, times=6)
    proxy.alter("server_to_client", alteration)
    client.start()
    end = time.monotonic() + LIMIT
    while not alteration.done.is_set():
        assert time.monotonic() < end
        limited_call(client)
    proxy.heal()
    proxy.drop()
    assert ids(eventually(client)) == {"a", "b"}
    wait_view(view, lambda snapshot: ids(snapshot) == {"a", "b"} and not snapshot.stale)


UNREADABLE: dict[str, Alter] = {
    "half a body": ANSWERS["half a body"],
    "another body": lambda body: framed(body[:16] + b"\xff" * (len(body) - 16)),
}


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("alter", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_registration_whose_answers_can_not_be_read(
    make_client: MakeClient, proxy: FaultProxy, truth: Truth, namespace: str, alter: Alter
) -> None:
    """Each of its first answers in turn: it stands exactly once all the same (peers.md defect 6)."""
    for number in range(3):
        client = make_client(proxy.address, session_timeout=1.0)
        client.wait_connected(LIMIT)
        seen = []

        def nth(body: bytes, number: int = number, seen: list[bytes] = seen) -> bool:
            if is_answer(body):
                seen.append(body)
            return len(seen) == number + 1 and is_answer(body)

        proxy.alter("server_to_client", Alteration(alter, nth))
        registration = client.register("stock", 8080, id=f"i{number}").wait_registered(LIMIT)
        assert truth.children(f"{namespace}/services/stock") == [f"i{number}"]
        proxy.heal()
        registration.close()
        client.close()


def test_a_write_whose_answer_can_not_be_read_may_have_been_executed(
    make_client: MakeClient, proxy: FaultProxy, truth: Truth, namespace: str
) -> None:
    """The error says so, as for any lost answer."""
    truth.create(f"{namespace}/a")
    client = make_client(proxy.address)
    client.wait_connected(LIMIT)
    session = core_of(client).session
    proxy.alter("server_to_client", Alteration(ANSWERS["half a body"], is_answer))
    with pytest.raises(ZkDiscoveryError) as raised:
        session.call(SetData(f"{namespace}/a", b"new"), deadline=time.monotonic() + LIMIT)
    assert truth.get(f"{namespace}/a").data == b"new"
    assert raised.value.outcome_unknown


def test_an_answer_out_of_turn_in_the_midst_of_a_load(
    make_client: MakeClient, proxy: FaultProxy, payments: Written
) -> None:
    """Who waits for the answer hears of the end of the connection, however patient: the next load is whole."""
    client = make_client(proxy.address)
    client.wait_connected(LIMIT)
    for number in range(3):
        alteration = Alteration(with_xid(4711), lambda body: is_answer(body) and len(body) > 200)
        proxy.alter("server_to_client", alteration)
        view = client.discover("payments", where=lambda _, number=number: number >= 0)
        assert alteration.done.wait(LIMIT)
        proxy.heal()
        wait_view(view, lambda snapshot: ids(snapshot) == {"a", "b"} and not snapshot.stale)
        view.close()
