"""Which server is tried next, and for how long: the budget of a blip, silent servers last, slow ones reachable."""

from __future__ import annotations

import random
import time
from collections import Counter

import pytest

from zkdiscovery.session.resolver import Address, Resolver
from zkdiscovery.session.transport import servers as module
from zkdiscovery.session.transport.servers import Servers

HANDSHAKE = 0.001  # seconds that a server takes to let us in


class Clock:
    """Monotonic seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def servers(count: int = 3, *, timeout: float = 10.0, connect_timeout: float = 1.0) -> Servers:
    resolver = Resolver([(f"127.0.0.{number}", 2181) for number in range(1, count + 1)])
    return Servers(resolver, lambda: timeout, connect_timeout)


def limit(tried: Servers, *, session: bool) -> float:
    tried.begin(session=session)
    return round(tried.left(), 3)


def connect(tried: Servers, clock: Clock, address: Address, seconds: float = HANDSHAKE) -> None:
    tried.begin(session=True)
    clock.now += seconds
    tried.connected(address)


def silence(tried: Servers, clock: Clock, address: Address, *, session: bool = True) -> None:
    tried.begin(session=session)
    clock.now += tried.left()
    tried.silent(address)


@pytest.mark.parametrize(
    ("timeout", "new", "known"), [(1.0, 0.1, 0.033), (4.0, 0.4, 0.133), (10.0, 1.0, 0.333), (60.0, 1.0, 1.0)]
)
def test_an_attempt_takes_a_share_of_the_session_timeout(
    clock: Clock, timeout: float, new: float, known: float
) -> None:
    tried = servers(timeout=timeout)
    assert limit(tried, session=False) == new
    assert limit(tried, session=True) == known


def test_a_long_way_is_allowed_for_after_a_round_of_silences(clock: Clock) -> None:
    """Twice as long as the latest handshake, because a shorter limit would never be kept; but not at once.

    One slow handshake may have been chance.
    """
    tried = servers(timeout=4.0)
    connect(tried, clock, tried.round()[0], seconds=0.3)
    tried.broke()
    for address in tried.round():
        assert limit(tried, session=True) == 0.133
        silence(tried, clock, address)
    assert limit(tried, session=True) == 0.6


@pytest.mark.parametrize(
    ("count", "limits"),
    [(1, [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]), (2, [1.0, 1.0, 2.0, 2.0, 4.0, 4.0]), (3, [1.0, 1.0, 1.0, 2.0, 2.0, 2.0])],
)
def test_the_limit_doubles_after_each_round_of_silences(clock: Clock, count: int, limits: list[float]) -> None:
    tried = servers(count)
    found = []
    for _ in range(6):
        found.append(limit(tried, session=False))
        silence(tried, clock, tried.round()[0], session=False)
    assert found == limits


def test_the_limit_is_not_below_what_was_asked_for(clock: Clock) -> None:
    tried = servers(1, timeout=2.0, connect_timeout=3.0)
    for _ in range(100):
        silence(tried, clock, tried.round()[0], session=False)
    assert limit(tried, session=False) == 3.0


def test_the_limit_stays_short_while_the_session_may_be_saved(clock: Clock) -> None:
    tried = servers(1)
    tried.broke()
    start = clock.now
    while clock.now < start + 5.0:
        assert limit(tried, session=True) == 0.333
        silence(tried, clock, tried.round()[0])
    silence(tried, clock, tried.round()[0])
    assert limit(tried, session=True) == 0.667


def test_refusals_do_not_lengthen_the_next_attempt(clock: Clock) -> None:
    tried = servers()
    for _ in range(100):
        for address in tried.round():
            tried.begin(session=False)
            tried.answered(address)
    assert limit(tried, session=False) == 1.0


def test_each_server_is_the_first_as_often(clock: Clock) -> None:
    tried = servers(5)
    first = Counter(tried.round()[0] for _ in range(2000))
    assert len(first) == 5
    assert min(first.values()) > 300


def test_a_silent_server_comes_last_for_a_while(clock: Clock) -> None:
    tried = servers()
    silent = tried.round()[0]
    silence(tried, clock, silent)
    clock.now += 1.0
    assert {tried.round().index(silent) for _ in range(100)} == {2}
    clock.now += 10 * 10.0
    assert {tried.round().index(silent) for _ in range(100)} == {0, 1, 2}


def test_a_server_that_was_silent_while_connected_comes_last(clock: Clock) -> None:
    tried = servers()
    mute = tried.round()[0]
    connect(tried, clock, mute)
    tried.broke(mute, silent=True)
    assert mute not in tried.round()[:2]


def test_a_silent_server_that_answers_is_as_good_as_the_others(clock: Clock) -> None:
    tried = servers()
    address = tried.round()[0]
    silence(tried, clock, address)
    tried.begin(session=True)
    tried.answered(address)
    assert {tried.round().index(address) for _ in range(100)} == {0, 1, 2}


def test_of_several_silent_servers_a_round_tries_one(clock: Clock) -> None:
    tried = servers(5)
    plan = tried.round()
    for address in plan[:4]:
        silence(tried, clock, address)
    clock.now += 5.0
    assert tried.round() == [plan[4], plan[0]]
    for address in plan:
        silence(tried, clock, address)
    assert tried.round() == plan[:1], "the one whose turn is the longest ago"


def test_a_silent_server_takes_a_third_of_the_time_while_the_others_refuse(clock: Clock) -> None:
    """Although its limit has grown: the others may be back at any time."""
    tried = servers()
    silent = tried.round()[0]
    start, spent = clock.now, 0.0
    while clock.now < start + 1000.0:
        for address in tried.round():
            if address == silent:
                before = clock.now
                silence(tried, clock, address)
                spent += clock.now - before
            else:
                tried.begin(session=True)
                tried.answered(address)
        clock.now += tried.pause()
    assert limit(tried, session=True) == 10.0
    assert spent < 0.36 * 1000.0


def test_an_address_that_is_gone_is_forgotten(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = servers(2)
    silence(tried, clock, tried.round()[0])
    left = [Address("127.0.0.9", "127.0.0.9", 2181)]
    monkeypatch.setattr(tried.resolver, "addresses", lambda: left)
    assert tried.round() == left


def test_pauses_between_rounds(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: 1.0)
    tried = servers()
    pauses = []
    for _ in range(5):
        tried.round()
        pauses.append(round(tried.pause(), 3))
    assert pauses == [0.05, 0.1, 0.2, 0.333, 0.333]
    tried.round()
    clock.now += 0.3
    assert round(tried.pause(), 3) == 0.033, "what the round took counts"
    tried.round()
    clock.now += 5.0
    assert tried.pause() == 0.0, "a connection that stood for a while is followed at once"


def test_pauses_between_attempts_at_a_single_address(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """They grow to a twentieth of T: there is no other server for which time must be left."""
    monkeypatch.setattr(random, "uniform", lambda low, high: 1.0)
    tried = servers(1)
    pauses = []
    for _ in range(6):
        tried.round()
        pauses.append(round(tried.pause(), 3))
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.5, 0.5]


@pytest.mark.parametrize("blip", ["refuse", "say nothing"])
@pytest.mark.parametrize("length", [0.0, 0.4])
@pytest.mark.parametrize("timeout", [1.0, 2.0, 4.0, 10.0, 40.0])
def test_a_blip_of_a_single_server_is_over_within_a_tenth(
    clock: Clock, timeout: float, length: float, blip: str
) -> None:
    worst = 0.0
    for seed in range(300):
        random.seed(seed)
        tried = servers(1, timeout=timeout, connect_timeout=10.0)
        (address,) = tried.resolver.addresses()
        connect(tried, clock, address)
        clock.now += timeout
        tried.broke(address)
        end = clock.now + length * timeout
        while clock.now < end:
            assert tried.round() == [address]
            if blip == "say nothing":
                silence(tried, clock, address)
            else:
                tried.begin(session=True)
                tried.answered(address)
            clock.now += tried.pause()
        connect(tried, clock, address)
        worst = max(worst, clock.now - end)
    random.seed(time.monotonic_ns())
    assert worst <= (0.07 * timeout if length else HANDSHAKE + 1e-6) + HANDSHAKE


@pytest.mark.parametrize("blip", ["refuse", "say nothing"])
@pytest.mark.parametrize("timeout", [1.0, 2.0, 4.0, 10.0, 40.0])
def test_a_blip_is_over_within_a_tenth_although_one_of_three_servers_is_silent(
    clock: Clock, timeout: float, blip: str
) -> None:
    """A term that the blip of 0.4 T leaves alive has a tenth of T left."""
    worst = 0.0
    for seed in range(300):
        random.seed(seed)
        tried = servers(timeout=timeout, connect_timeout=10.0)
        mute, *others = tried.resolver.addresses()
        connect(tried, clock, others[0])
        clock.now += timeout
        if seed % 2:
            silence(tried, clock, mute)
        tried.broke(others[0])
        end = clock.now + 0.4 * timeout
        back = None
        while back is None:
            for address in tried.round():
                if address != mute and clock.now >= end:
                    connect(tried, clock, address)
                    back = clock.now - end
                    break
                if address == mute or blip == "say nothing":
                    silence(tried, clock, address)
                else:
                    tried.begin(session=True)
                    tried.answered(address)
            else:
                clock.now += tried.pause()
        worst = max(worst, back)
    random.seed(time.monotonic_ns())
    assert worst < 0.1 * timeout


@pytest.mark.parametrize("timeout", [1.0, 4.0, 10.0])
def test_a_break_costs_the_silent_servers_a_thirtieth_each(clock: Clock, timeout: float) -> None:
    """Four silent ones of five, as the addresses of one name may be."""
    worst = 0.0
    for _ in range(200):
        tried = servers(5, timeout=timeout)
        *_, good = tried.resolver.addresses()
        tried.broke(good)
        start = clock.now
        for address in tried.round():
            if address == good:
                break
            silence(tried, clock, address)
        worst = max(worst, clock.now - start)
    assert worst <= 4 * timeout / 30 + 0.001
