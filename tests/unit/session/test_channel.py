"""The queue of requests: each belongs to one connection, is sent once or never, and is completed once."""

from __future__ import annotations

import time

import pytest

from zkdiscovery.errors import NotConnected, OperationTimeout, ZkDiscoveryError
from zkdiscovery.session.care import Care
from zkdiscovery.session.requests import GetData, Request, Sync
from zkdiscovery.session.transport.channel import MAX_OUTSTANDING, Channel

LATER = time.monotonic() + 3600.0


class Wakes:
    """Counts the times that the connection thread is woken."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.fixture
def wakes() -> Wakes:
    return Wakes()


@pytest.fixture
def channel(wakes: Wakes) -> Channel:
    """Open for generation 1."""
    channel = Channel(wakes, Care())
    channel.open(1)
    return channel


def broken(request: Request, sent: bool) -> ZkDiscoveryError:
    return NotConnected(f"{request} broke", outcome_unknown=sent)


def test_a_request_goes_out_and_is_answered(channel: Channel, wakes: Wakes) -> None:
    future = channel.submit(GetData("/a"), deadline=LATER)
    assert wakes.count == 1
    assert channel.waiting()
    assert channel.oldest_sent() is None
    (entry,) = channel.take(10)
    assert not channel.waiting()
    assert entry.body == b"\0\0\0\4" + b"\0\0\0\2/a" + b"\0"
    assert channel.oldest_sent() == entry.sent_at <= time.monotonic()
    assert not future.done()
    entry.xid = 7
    assert channel.answered(8) is None, "it stays, and hears of the end of the connection"
    assert channel.answered(7) is entry
    assert channel.oldest_sent() is None
    assert channel.answered(7) is None


def test_requests_are_taken_in_order_and_in_portions(channel: Channel) -> None:
    requests = [Sync(f"/{number}") for number in range(5)]
    for request in requests:
        channel.submit(request, deadline=LATER)
    assert [entry.request for entry in channel.take(3)] == requests[:3]
    assert channel.waiting()
    assert [entry.request for entry in channel.take(3)] == requests[3:]
    assert channel.take(3) == []


@pytest.mark.parametrize("generation", [None, 1])
def test_without_a_connection_nothing_is_queued(wakes: Wakes, generation: int | None) -> None:
    channel = Channel(wakes, Care())
    error = channel.submit(Sync("/a"), deadline=LATER, generation=generation).exception(0)
    assert isinstance(error, NotConnected)
    assert (error.path, error.outcome_unknown) == ("/a", False)
    assert (wakes.count, channel.waiting()) == (0, False)


def test_a_request_for_another_connection_is_refused(channel: Channel) -> None:
    assert isinstance(channel.submit(Sync("/"), deadline=LATER, generation=2).exception(0), NotConnected)
    assert not channel.submit(Sync("/"), deadline=LATER, generation=1).done()


def test_what_was_cancelled_is_not_sent(channel: Channel) -> None:
    cancelled = channel.submit(Sync("/cancelled"), deadline=LATER)
    channel.submit(Sync("/kept"), deadline=LATER)
    assert cancelled.cancel()
    assert [entry.request.path for entry in channel.take(10)] == ["/kept"]


def test_what_was_sent_can_not_be_cancelled(channel: Channel) -> None:
    future = channel.submit(Sync("/"), deadline=LATER)
    channel.take(10)
    assert not future.cancel()


def test_what_is_late_is_not_sent(channel: Channel) -> None:
    late = channel.submit(Sync("/late"), deadline=time.monotonic())
    channel.submit(Sync("/kept"), deadline=LATER)
    assert [entry.request.path for entry in channel.take(10)] == ["/kept"]
    error = late.exception(0)
    assert isinstance(error, OperationTimeout)
    assert (error.path, error.outcome_unknown) == ("/late", False)


def test_a_broken_connection_fails_everything_and_says_what_was_sent(channel: Channel) -> None:
    sent = channel.submit(Sync("/sent"), deadline=LATER)
    channel.take(10)
    unsent = channel.submit(Sync("/unsent"), deadline=LATER)
    cancelled = channel.submit(Sync("/cancelled"), deadline=LATER)
    assert cancelled.cancel()
    channel.close(broken)
    outcomes = [future.exception(0) for future in (sent, unsent)]
    assert [error.outcome_unknown for error in outcomes if isinstance(error, NotConnected)] == [True, False]
    assert cancelled.cancelled()
    assert isinstance(channel.submit(Sync("/"), deadline=LATER).exception(0), NotConnected)


def test_nothing_of_an_old_connection_goes_out_on_a_new_one(channel: Channel) -> None:
    channel.submit(Sync("/old"), deadline=LATER)
    channel.close(broken)
    channel.open(2)
    assert channel.take(10) == []
    assert channel.answered(1) is None
    assert isinstance(channel.submit(Sync("/"), deadline=LATER, generation=1).exception(0), NotConnected)


def test_the_outbox_is_bounded(channel: Channel) -> None:
    futures = [channel.submit(Sync("/"), deadline=LATER) for _ in range(MAX_OUTSTANDING + 1)]
    assert not futures[-2].done()
    assert isinstance(futures[-1].exception(0), NotConnected)
    channel.take(1)
    assert not channel.submit(Sync("/"), deadline=LATER).done()


def test_callbacks_run_outside_the_lock(channel: Channel) -> None:
    """They may submit, also while the connection is taken down."""
    seen = []
    future = channel.submit(Sync("/"), deadline=LATER)
    future.add_done_callback(lambda _: seen.append(channel.submit(Sync("/"), deadline=LATER).exception(0)))
    channel.close(broken)
    assert [type(error) for error in seen] == [NotConnected]


def test_a_request_that_can_not_be_written_fails_where_it_is_submitted(channel: Channel) -> None:
    with pytest.raises(UnicodeEncodeError):
        channel.submit(GetData("/\ud800"), deadline=LATER)
    assert not channel.waiting()
