"""Users' callbacks: one thread, one waiting value each, whatever a callback does."""

from __future__ import annotations

import functools
import logging
import sys
import threading
from collections.abc import Iterator

import pytest

from tests.support import LIMIT, Recorder
from zkdiscovery.threads import Dispatcher, Subscribers


@pytest.fixture
def dispatcher() -> Iterator[Dispatcher]:
    dispatcher = Dispatcher("test-callbacks")
    yield dispatcher
    assert dispatcher.close(LIMIT)


@pytest.fixture
def subscribers(dispatcher: Dispatcher) -> Subscribers[str]:
    return Subscribers(dispatcher, join)


def join(earlier: str, later: str) -> str:
    return earlier + later


def test_values_arrive_in_order_on_one_thread(subscribers: Subscribers[str]) -> None:
    threads = set()
    recorder: Recorder[str] = Recorder()

    def note(value: str) -> None:
        threads.add(threading.current_thread().name)
        recorder(value)

    subscribers.subscribe(note)
    for letter in "abcdefgh":
        subscribers.offer(letter)
    recorder.wait(lambda items: "".join(items) == "abcdefgh")
    assert threads == {"test-callbacks"}


def test_no_thread_before_the_first_value() -> None:
    before = threading.active_count()
    dispatcher = Dispatcher("test-callbacks")
    Subscribers(dispatcher, join).subscribe(print)
    assert threading.active_count() == before
    assert dispatcher.close(0.0)


def test_a_slow_callback_gets_one_merged_value_and_delays_no_caller(subscribers: Subscribers[str]) -> None:
    entered, leave = threading.Event(), threading.Event()
    recorder: Recorder[str] = Recorder()

    def slow(value: str) -> None:
        recorder(value)
        entered.set()
        assert leave.wait(LIMIT)

    subscribers.subscribe(slow)
    subscribers.offer("a")
    assert entered.wait(LIMIT)
    for letter in "bcdef":
        subscribers.offer(letter)
    leave.set()
    recorder.wait(lambda items: items == ["a", "bcdef"])


def test_a_callback_that_raises_stays_and_the_others_go_on(
    subscribers: Subscribers[str], caplog: pytest.LogCaptureFixture
) -> None:
    recorder: Recorder[str] = Recorder()
    calls = []

    def fail(value: str) -> None:
        calls.append(value)
        raise ValueError("a defect")

    subscribers.subscribe(fail)
    subscribers.subscribe(recorder)
    for letter in "ab":
        subscribers.offer(letter)
        recorder.wait(lambda items, letter=letter: items[-1:] == [letter])
    assert calls == ["a", "b"]
    raised = [record for record in caplog.records if record.name == "zkdiscovery.callbacks"]
    assert {record.levelno for record in raised} == {logging.ERROR}
    assert "test_a_callback_that_raises" in raised[0].message, "the callback is named"
    assert "a defect" in caplog.text


def test_a_callback_that_exits_ends_nothing(subscribers: Subscribers[str]) -> None:
    """sys.exit() on a thread ends that thread without a word; the callbacks after it would never run."""
    recorder: Recorder[str] = Recorder()
    subscribers.subscribe(lambda _: sys.exit(1))
    subscribers.subscribe(recorder)
    subscribers.offer("a")
    recorder.wait(lambda items: items == ["a"])


def test_a_closed_subscription_hears_nothing_more(dispatcher: Dispatcher) -> None:
    entered, leave = threading.Event(), threading.Event()
    recorder: Recorder[str] = Recorder()
    blocker, subject, other = (Subscribers(dispatcher, join) for _ in range(3))
    blocker.subscribe(lambda _: (entered.set(), leave.wait(LIMIT)))
    subscription = subject.subscribe(recorder)
    other.subscribe(recorder)
    blocker.offer("")
    assert entered.wait(LIMIT)
    subject.offer("waiting")
    with subscription:
        assert not subscription.closed
    assert subscription.closed
    subject.offer("later")
    other.offer("end")
    leave.set()
    recorder.wait(lambda items: items == ["end"])


def test_callbacks_may_subscribe_offer_and_close(dispatcher: Dispatcher) -> None:
    recorder: Recorder[str] = Recorder()

    def busy(value: str) -> None:
        inner = Subscribers(dispatcher, join)
        inner.subscribe(recorder)
        inner.offer(value)
        subscription.close()
        assert dispatcher.close(LIMIT), "its own thread is not waited for"

    subscribers = Subscribers(dispatcher, join)
    subscription = subscribers.subscribe(busy)
    subscribers.offer("a")
    recorder.wait(lambda items: items == ["a"])


def test_closing_delivers_what_waits_and_takes_nothing_more() -> None:
    dispatcher = Dispatcher("test-callbacks")
    entered, leave = threading.Event(), threading.Event()
    recorder: Recorder[str] = Recorder()
    blocker, subscribers = Subscribers(dispatcher, join), Subscribers(dispatcher, join)
    blocker.subscribe(lambda _: (entered.set(), leave.wait(LIMIT)))
    subscribers.subscribe(recorder)
    blocker.offer("")
    assert entered.wait(LIMIT)
    subscribers.offer("before")
    assert not dispatcher.close(0.0), "a callback still runs"
    subscribers.offer("after")
    leave.set()
    assert dispatcher.close(LIMIT)
    assert recorder.items == ["before"]


class AsyncCallable:
    async def __call__(self, value: str) -> None: ...


async def coroutine(value: str) -> None: ...


@pytest.mark.parametrize(
    "fn", [coroutine, functools.partial(coroutine, "a"), AsyncCallable(), AsyncCallable().__call__]
)
def test_what_would_have_to_be_awaited_is_refused(subscribers: Subscribers[str], fn: object) -> None:
    with pytest.raises(TypeError, match="must be a plain function, not `async def`"):
        subscribers.subscribe(fn)  # type: ignore[arg-type]


def test_what_can_not_be_called_is_refused(subscribers: Subscribers[str]) -> None:
    with pytest.raises(TypeError, match="must be callable, not str"):
        subscribers.subscribe("print")  # type: ignore[arg-type]


def test_repr_names_the_callback(subscribers: Subscribers[str]) -> None:
    subscription = subscribers.subscribe(print)
    assert repr(subscription) == "<Subscription print active>"
    subscription.close()
    assert repr(subscription) == "<Subscription print closed>"


def test_callbacks_wait_where_no_thread_can_be_started(
    subscribers: Subscribers[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Who has news for a callback, say a thread that closes the client, must not fail because of it."""
    recorder: Recorder[str] = Recorder()
    subscribers.subscribe(recorder)

    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        subscribers.offer("a")
    subscribers.offer("b")
    recorder.wait(lambda items: items == ["ab"])
    assert caplog.text.count("can't start new thread") == 1


def test_the_first_value_comes_before_what_is_offered_later(subscribers: Subscribers[str]) -> None:
    recorder: Recorder[str] = Recorder()
    subscribers.offer("nobody hears it")
    subscribers.subscribe(recorder, "a")
    subscribers.offer("b")
    recorder.wait(lambda items: "".join(items) == "ab")


def test_no_value_as_the_first_is_one(dispatcher: Dispatcher) -> None:
    recorder: Recorder[str | None] = Recorder()
    subscribers: Subscribers[str | None] = Subscribers(dispatcher, lambda _earlier, later: later)
    subscribers.subscribe(recorder, None)
    recorder.wait(lambda items: items == [None])


def test_subscribers_tell_when_the_first_comes_and_the_last_goes(dispatcher: Dispatcher) -> None:
    calls: list[str] = []
    subscribers: Subscribers[str] = Subscribers(
        dispatcher, join, on_first=lambda: calls.append("first"), on_last=lambda: calls.append("last")
    )
    assert not subscribers
    one = subscribers.subscribe(print)
    two = subscribers.subscribe(print)
    assert subscribers
    one.close()
    one.close()
    assert subscribers
    assert calls == ["first"]
    two.close()
    assert not subscribers
    assert calls == ["first", "last"]
    three = subscribers.subscribe(print)
    subscribers.close()
    subscribers.close()
    assert three.closed
    assert calls == ["first", "last"] * 2


def test_subscribers_stay_in_a_forked_child(dispatcher: Dispatcher, subscribers: Subscribers[str]) -> None:
    recorder: Recorder[str] = Recorder()
    subscription = subscribers.subscribe(recorder)
    held = dispatcher.ready
    with held:  # as if another thread held it in the moment of the fork
        dispatcher.forked()
        thread = threading.Thread(target=subscribers.offer, args=("a",))
        thread.start()
        thread.join(LIMIT)
        recorder.wait(lambda items: items == ["a"])
    subscription.close()
    assert not subscribers
