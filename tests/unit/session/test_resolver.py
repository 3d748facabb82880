"""Addresses of names: looked up apart, once at a time, and never forgotten because a lookup fails."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.integration.session.helpers import Names
from tests.support import LIMIT
from zkdiscovery.session.resolver import PAUSE, Address, Resolver


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names)
    yield names
    names.answers.set()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets the pause between two lookups of a name pass."""
    clock = [1000.0]
    monkeypatch.setattr("zkdiscovery.session.resolver.time.monotonic", lambda: clock[0])

    def pass_by() -> None:
        clock[0] += PAUSE

    return pass_by


def refreshed(resolver: Resolver, names: Names) -> None:
    """Look up once more, and wait for the answer."""
    count = len(names.asked.items)
    resolver.refresh()
    names.asked.wait(lambda asked: len(asked) > count)
    names.wait_idle()


def test_literal_addresses_are_known_without_a_lookup(names: Names) -> None:
    resolver = Resolver([("127.0.0.1", 2181), ("::1", 2182)])
    resolver.refresh()
    assert resolver.addresses() == [Address("127.0.0.1", "127.0.0.1", 2181), Address("::1", "::1", 2182)]
    assert names.asked.items == []


def test_a_name_has_all_its_addresses_with_each_of_its_ports(names: Names) -> None:
    names.found["zk.test"] = ["127.0.0.1", "127.0.0.2", "::1"]
    resolver = Resolver([("zk.test", 2181), ("127.0.0.9", 1), ("zk.test", 2182)])
    refreshed(resolver, names)
    assert [(a.name, a.ip, a.port) for a in resolver.addresses()] == [
        ("zk.test", "127.0.0.1", 2181), ("zk.test", "127.0.0.2", 2181), ("zk.test", "::1", 2181),
        ("127.0.0.9", "127.0.0.9", 1),
        ("zk.test", "127.0.0.1", 2182), ("zk.test", "127.0.0.2", 2182), ("zk.test", "::1", 2182),
    ]  # fmt: skip
    assert names.asked.items == [("zk.test", "zkdiscovery-resolve")]


def test_a_name_that_hangs_delays_nobody_and_holds_one_thread(names: Names) -> None:
    names.found["zk.test"] = ["127.0.0.1"]
    names.answers.clear()
    many = [Resolver([("zk.test", 1), ("127.0.0.9", 2)]) for _ in range(5)]
    for resolver in many:
        resolver.refresh()
        assert resolver.addresses() == [Address("127.0.0.9", "127.0.0.9", 2)]
        assert resolver.wait(LIMIT) == resolver.addresses(), "a known address is enough"
    names.asked.wait(len)
    assert [t.name for t in threading.enumerate()].count("zkdiscovery-resolve") == 1
    names.answers.set()
    names.wait_idle()
    assert [len(resolver.addresses()) for resolver in many] == [2] * 5
    assert names.asked.items == [("zk.test", "zkdiscovery-resolve")]


def test_waiting_ends_with_an_address(names: Names) -> None:
    names.found["zk.test"] = ["127.0.0.1"]
    resolver = Resolver([("zk.test", 1)])
    assert resolver.addresses() == []
    assert resolver.wait(0.0) == []
    resolver.refresh()
    assert resolver.wait(LIMIT) == [Address("zk.test", "127.0.0.1", 1)]


def test_waiting_ends_when_it_is_closed(names: Names) -> None:
    names.answers.clear()
    resolver = Resolver([("zk.test", 1)])
    resolver.refresh()
    names.asked.wait(len)
    waiting = threading.Thread(target=resolver.wait, args=(LIMIT,))
    waiting.start()
    resolver.close()
    waiting.join(LIMIT)
    assert not waiting.is_alive()
    names.answers.set()
    names.wait_idle()
    assert resolver.addresses() == [], "a closed one hears of no answer"


def test_an_address_stays_until_a_lookup_succeeds_without_it(names: Names, later: Callable[[], None]) -> None:
    names.found["zk.test"] = ["127.0.0.1", "127.0.0.2"]
    resolver = Resolver([("zk.test", 1)])
    refreshed(resolver, names)
    later()
    names.found.clear()
    refreshed(resolver, names)
    assert [a.ip for a in resolver.addresses()] == ["127.0.0.1", "127.0.0.2"]
    later()
    names.found["zk.test"] = ["127.0.0.3"]
    refreshed(resolver, names)
    assert [a.ip for a in resolver.addresses()] == ["127.0.0.3"]


def test_a_name_is_not_looked_up_at_each_call(names: Names, later: Callable[[], None]) -> None:
    names.found["zk.test"] = ["127.0.0.1"]
    resolver = Resolver([("zk.test", 1)])
    refreshed(resolver, names)
    for _ in range(100):
        resolver.refresh()
    names.wait_idle()
    assert len(names.asked.items) == 1
    later()
    refreshed(resolver, names)
    assert len(names.asked.items) == 2


def test_a_name_that_does_not_exist_is_told_of_once(
    names: Names, later: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    many = [Resolver([("typo.test", 1)]) for _ in range(3)]
    with caplog.at_level(logging.WARNING, "zkdiscovery.session"):
        for _ in range(2):
            for resolver in many:
                refreshed(resolver, names)
            later()
    assert [r.getMessage() for r in caplog.records] == [
        "the ZooKeeper host typo.test can't be resolved: Name or service not known; trying again"
    ]
    assert many[0].problem() == "typo.test can't be resolved: Name or service not known"


def test_a_name_without_an_answer_is_a_problem_after_a_while(names: Names, later: Callable[[], None]) -> None:
    names.answers.clear()
    resolver = Resolver([("slow.test", 1)])
    resolver.refresh()
    assert resolver.problem() == ""
    later()
    assert resolver.problem() == "slow.test is not resolved after 1 s"


def test_servers_are_counted_by_addresses_of_one_family(names: Names) -> None:
    names.found["zk.test"] = ["127.0.0.1", "127.0.0.2", "::1", "::2"]
    names.found["one.test"] = ["::3"]
    resolver = Resolver([("zk.test", 1), ("one.test", 1), ("missing.test", 1), ("127.0.0.9", 1)])
    resolver.refresh()
    names.asked.wait(lambda asked: len(asked) == 3)
    names.wait_idle()
    assert [[a.ip for a in server] for server in resolver.servers()] == [
        ["127.0.0.1", "::1"], ["127.0.0.2", "::2"], ["::3"], [], ["127.0.0.9"],
    ]  # fmt: skip


def test_a_forked_child_looks_up_for_itself(names: Names) -> None:
    names.found["zk.test"] = ["127.0.0.1"]
    names.answers.clear()
    Resolver([("zk.test", 1)]).refresh()
    names.asked.wait(len)
    child = os.fork()
    if child == 0:
        socket.getaddrinfo = lambda *_, **__: [(2, 1, 6, "", ("127.0.0.7", 0))]
        resolver = Resolver([("zk.test", 1)])
        resolver.refresh()
        os._exit(0 if [a.ip for a in resolver.wait(LIMIT)] == ["127.0.0.7"] else 1)
    assert os.waitpid(child, 0)[1] == 0
