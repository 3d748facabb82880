"""Users' callbacks: one thread, one waiting value each, whatever a callback does."""

from __future__ import annotations

import functools
import logging
import sys
import threading
from collections.abc import Iterator

import pytest

from tests.support import LIMIT, Recorder
from zkdiscovery.threads import Dispatcher


@pytest.fixture
def dispatcher() -> Iterator[Dispatcher]:
    dispatcher = Dispatcher("test-callbacks")
    yield dispatcher
    assert dispatcher.close(LIMIT)


def join(earlier: str, later: str) -> str:
    return earlier + later


def test_values_arrive_in_order_on_one_thread(dispatcher: Dispatcher) -> None:
    threads = set()
    recorder: Recorder[str] = Recorder()

    def note(value: str) -> None:
        threads.add(threading.current_thread().name)
        recorder(value)

    subscription = dispatcher.subscribe(note, join)
    for letter in "abcdefgh":
        dispatcher.offer(subscription, letter)
    recorder.wait(lambda items: "".join(items) == "abcdefgh")
    assert threads == {"test-callbacks"}


def test_no_thread_before_the_first_value() -> None:
    before = threading.active_count()
    dispatcher = Dispatcher("test-callbacks")
    dispatcher.subscribe(print, join)
    assert threading.active_count() == before
    assert dispatcher.close(0.0)


def test_a_slow_callback_gets_one_merged_value_and_delays_no_caller(dispatcher: Dispatcher) -> None:
    entered, leave = threading.Event(), threading.Event()
    recorder: Recorder[str] = Recorder()

    def slow(value: str) -> None:
        recorder(value)
        entered.set()
        assert leave.wait(LIMIT)

    subscription = dispatcher.subscribe(slow, join)
    dispatcher.offer(subscription, "a")
    assert entered.wait(LIMIT)
    for letter in "bcdef":
        dispatcher.offer(subscription, letter)
    leave.set()
    recorder.wait(lambda items: items == ["a", "bcdef"])


def test_a_callback_that_raises_stays_and_the_others_go_on(
    dispatcher: Dispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    recorder: Recorder[str] = Recorder()
    calls = []

    def fail(value: str) -> None:
        calls.append(value)
        raise ValueError("a defect")

    failing, good = dispatcher.subscribe(fail, join), dispatcher.subscribe(recorder, join)
    for letter in "ab":
        dispatcher.offer(failing, letter)
        dispatcher.offer(good, letter)
        recorder.wait(lambda items, letter=letter: items[-1:] == [letter])
    assert calls == ["a", "b"]
    raised = [record for record in caplog.records if record.name == "zkdiscovery.callbacks"]
    assert {record.levelno for record in raised} == {logging.ERROR}
    assert "test_a_callback_that_raises" in raised[0].message, "the callback is named"
    assert "a defect" in caplog.text


def test_a_callback_that_exits_ends_nothing(dispatcher: Dispatcher) -> None:
    """sys.exit() on a thread ends that thread without a word; the callbacks after it would never run."""
    recorder: Recorder[str] = Recorder()
    leaving, good = dispatcher.subscribe(lambda _: sys.exit(1), join), dispatcher.subscribe(recorder, join)
    dispatcher.offer(leaving, "a")
    dispatcher.offer(good, "b")
    recorder.wait(lambda items: items == ["b"])


def test_a_closed_subscription_hears_nothing_more(dispatcher: Dispatcher) -> None:
    entered, leave = threading.Event(), threading.Event()
    recorder: Recorder[str] = Recorder()
    blocker = dispatcher.subscribe(lambda _: (entered.set(), leave.wait(LIMIT)), join)
    subscription, other = dispatcher.subscribe(recorder, join), dispatcher.subscribe(recorder, join)
    dispatcher.offer(blocker, "")
    assert entered.wait(LIMIT)
    dispatcher.offer(subscription, "waiting")
    with subscription:
        assert not subscription.closed
    assert subscription.closed
    dispatcher.offer(subscription, "later")
    dispatcher.offer(other, "end")
    leave.set()
    recorder.wait(lambda items: items == ["end"])


def test_callbacks_may_subscribe_offer_and_close(dispatcher: Dispatcher) -> None:
    recorder: Recorder[str] = Recorder()

    def busy(value: str) -> None:
        inner = dispatcher.subscribe(recorder, join)
        dispatcher.offer(inner, value)
        subscription.close()
        assert dispatcher.close(LIMIT), "its own thread is not waited for"

    subscription = dispatcher.subscribe(busy, join)
    dispatcher.offer(subscription, "a")
    recorder.wait(lambda items: items == ["a"])


def test_closing_delivers_what_waits_and_takes_nothing_more() -> None:
    dispatcher = Dispatcher("test-callbacks")
    entered, leave = threading.Event(), threading.Event()
    recorder: Recorder[str] = Recorder()
    blocker = dispatcher.subscribe(lambda _: (entered.set(), leave.wait(LIMIT)), join)
    subscription = dispatcher.subscribe(recorder, join)
    dispatcher.offer(blocker, "")
    assert entered.wait(LIMIT)
    dispatcher.offer(subscription, "before")
    assert not dispatcher.close(0.0), "a callback still runs"
    dispatcher.offer(subscription, "after")
    leave.set()
    assert dispatcher.close(LIMIT)
    assert recorder.items == ["before"]


class AsyncCallable:
    async def __call__(self, value: str) -> None: ...


async def coroutine(value: str) -> None: ...


@pytest.mark.parametrize(
    "fn", [coroutine, functools.partial(coroutine, "a"), AsyncCallable(), AsyncCallable().__call__]
)
def test_what_would_have_to_be_awaited_is_refused(dispatcher: Dispatcher, fn: object) -> None:
    with pytest.raises(TypeError, match="must be a plain function, not `async def`"):
        dispatcher.subscribe(fn, join)  # type: ignore[arg-type]


def test_what_can_not_be_called_is_refused(dispatcher: Dispatcher) -> None:
    with pytest.raises(TypeError, match="must be callable, not str"):
        dispatcher.subscribe("print", join)  # type: ignore[arg-type]


def test_repr_names_the_callback(dispatcher: Dispatcher) -> None:
    subscription = dispatcher.subscribe(print, join)
    assert repr(subscription) == "<Subscription print active>"
    subscription.close()
    assert repr(subscription) == "<Subscription print closed>"


def test_callbacks_wait_where_no_thread_can_be_started(
    dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Who has news for a callback, say a thread that closes the client, must not fail because of it."""
    recorder: Recorder[str] = Recorder()
    subscription = dispatcher.subscribe(recorder, join)

    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        dispatcher.offer(subscription, "a")
    dispatcher.offer(subscription, "b")
    recorder.wait(lambda items: items == ["ab"])
    assert caplog.text.count("can't start new thread") == 1
