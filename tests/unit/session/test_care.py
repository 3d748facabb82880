"""What is asked for again after it broke connections, and when."""

from __future__ import annotations

import pytest

from zkdiscovery.session import GetChildren, care
from zkdiscovery.session.care import REQUEST, Care
from zkdiscovery.session.requests import Create, Multi, MultiRead, SetWatches, encode

LIST = GetChildren("/services/payments")
BODY = encode(LIST)


class Clock:
    """Monotonic seconds that a test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(care.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def pauses(known: Care, clock: Clock, breaks: int) -> list[float]:
    """How long a request is refused after each of so many breaks, in whole tenths of a second."""
    found = []
    for _ in range(breaks):
        known.broke([(LIST, BODY)])
        begun = clock.now
        while known.refusal(LIST, BODY) is not None:
            clock.now += 0.1
        found.append(round(clock.now - begun, 1))
    return found


def test_a_few_breaks_within_a_second_cost_a_second(clock: Clock) -> None:
    """A server that steps down breaks connections, too. A cache was stale for 30 s because its list was on its way."""
    assert pauses(Care(), clock, 3) == [0.0, 0.0, pytest.approx(1.0, abs=0.11)]


def test_what_goes_on_breaking_connections_is_tried_ever_more_rarely(clock: Clock) -> None:
    known = Care()
    pauses(known, clock, 3)
    later = pauses(known, clock, 8)
    assert later[:4] == [pytest.approx(seconds, abs=0.11) for seconds in (3.0, 9.0, 27.0, 81.0)]
    assert later[-1] == pytest.approx(600.0, abs=0.11)


def test_an_answer_clears_it(clock: Clock) -> None:
    known = Care()
    pauses(known, clock, 5)
    known.answered(LIST, BODY)
    assert pauses(known, clock, 3)[-1] == pytest.approx(1.0, abs=0.11)


def test_large_reads_and_watches_make_no_writes_smaller() -> None:
    """After an outage with such a request on its way, 500 instances came back in 32 transactions instead of 4."""
    known = Care()
    paths = [f"/services/payments/{number:010}" for number in range(500)]
    read = MultiRead(tuple(paths))
    watches = SetWatches(tuple(paths))
    known.broke([(read, encode(read)), (watches, encode(watches))])
    assert known.most_together(paths[0]) == 250
    assert known.most_bytes(SetWatches) < len(encode(watches))
    assert known.most_bytes(Multi) == REQUEST
    write = Multi([Create(path, b"", acl=()) for path in paths])
    known.broke([(write, encode(write))])
    assert known.most_bytes(Multi) < len(encode(write))
