"""The first use of a client loads settings and codecs, which takes any time. Closing never waits for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from tests.support import LIMIT
from zkdiscovery import Client, ClientClosed, State
from zkdiscovery.codecs.curator import CuratorCodec


class SlowCodec(CuratorCodec):
    """A codec of another package that takes its time to load."""

    begun = threading.Event()
    go_on = threading.Event()
    made = 0

    def __init__(self) -> None:
        SlowCodec.made += 1
        SlowCodec.begun.set()
        assert SlowCodec.go_on.wait(LIMIT)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Client:
    SlowCodec.begun, SlowCodec.go_on, SlowCodec.made = threading.Event(), threading.Event(), 0
    entry = EntryPoint("slow", f"{__name__}:SlowCodec", "zkdiscovery.codecs")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: EntryPoints([entry]))
    return Client("127.0.0.1:1", codec="slow")


@contextmanager
def first_use(client: Client) -> Iterator[list[BaseException | None]]:
    """Begin to use a client on another thread. The list says at the end how that went."""
    outcome: list[BaseException | None] = []

    def use() -> None:
        try:
            client.start()
        except BaseException as error:
            outcome.append(error)
        else:
            outcome.append(None)

    thread = threading.Thread(target=use)
    thread.start()
    try:
        assert SlowCodec.begun.wait(LIMIT)
        yield outcome
    finally:
        SlowCodec.go_on.set()
        thread.join(LIMIT)
        client.close()
    assert not thread.is_alive()


def ends(action: threading.Thread) -> bool:
    action.start()
    action.join(LIMIT / 2)
    return not action.is_alive()


def test_a_client_is_closed_while_its_codec_loads(slow: Client) -> None:
    with first_use(slow) as outcome:
        assert ends(threading.Thread(target=slow.close))
        assert slow.state is State.CLOSED
        assert not SlowCodec.go_on.is_set()
    assert [type(error) for error in outcome] == [ClientClosed]
    assert slow.state is State.CLOSED


def test_a_client_is_drained_while_its_codec_loads(slow: Client) -> None:
    with first_use(slow) as outcome:
        assert ends(threading.Thread(target=slow.drain))
        assert not SlowCodec.go_on.is_set()
        SlowCodec.go_on.set()
        with pytest.raises(ClientClosed, match="drained"):
            slow.register("payments", 8080)
    assert outcome == [None]


def test_one_codec_is_loaded_for_all_threads(slow: Client) -> None:
    with first_use(slow), first_use(slow):
        SlowCodec.go_on.set()
        slow.start()
    assert SlowCodec.made == 1


def test_a_signal_handler_may_use_a_client_that_is_being_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs on the thread that makes the core. Both see the same one."""
    client = Client("127.0.0.1:1", codec="nested")
    nested: list[object] = []

    class Nested(CuratorCodec):
        def __init__(self) -> None:
            if not nested:
                nested.append(None)
                nested.append(client.slot.current())

    entry = EntryPoint("nested", "nowhere", "zkdiscovery.codecs")
    monkeypatch.setattr(EntryPoint, "load", lambda _: Nested)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: EntryPoints([entry]))
    with client:
        assert client.slot.current() is nested[1]
