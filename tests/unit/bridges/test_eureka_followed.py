"""What a bridge knows of a Eureka that restarts, is slow, lists a part, or answers nonsense."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.support import wait_until
from tests.unit.bridges.eureka_server import EurekaServer, eureka_server, instance
from zkdiscovery.bridges.eureka import EurekaSource
from zkdiscovery.bridges.source import Imported, Listing, SourceRefused, SourceUnavailable
from zkdiscovery.errors import InvalidSettings
from zkdiscovery.model import Status

MakeSource = Callable[..., EurekaSource]


@pytest.fixture
def server() -> Iterator[EurekaServer]:
    with eureka_server() as server:
        yield server


@pytest.fixture
def source(server: EurekaServer) -> Iterator[EurekaSource]:
    server.put(instance(1), instance(2))
    with closing(EurekaSource(server.url, cache=0.5)) as source:
        source.subscribe(lambda: None)
        yield source


def ports(listing: Listing) -> set[int]:
    return {each.port for each in listing.instances}


def wait_listing(source: EurekaSource, condition: Callable[[Listing], object]) -> Listing:
    found: list[Listing] = []

    def holds() -> object:
        try:
            found.append(source.list())
        except SourceUnavailable:
            return False
        return condition(found[-1])

    wait_until(holds)
    return found[-1]


def only(server: EurekaServer, **more: Any) -> Imported | str:
    """What becomes of one instance."""
    server.put(instance(1, **more))
    with closing(EurekaSource(server.url)) as source:
        source.subscribe(lambda: None)
        listing = source.list()
    return listing.instances[0] if listing.instances else next(iter(listing.problems.values()), "")


def test_changes_come_by_the_list_of_changes(server: EurekaServer, source: EurekaSource) -> None:
    server.put(instance(3), instance(1, status="DOWN"))
    server.remove(instance(2))
    listing = wait_listing(source, lambda listing: ports(listing) == {8001, 8003})
    assert {each.port: each.status for each in listing.instances} == {8001: Status.DOWN, 8003: Status.UP}
    assert server.count("GET /apps/delta") > 1
    assert sum(each == "GET /apps" for each in server.asked) == 1


def test_all_is_read_if_the_hash_differs(server: EurekaServer, source: EurekaSource) -> None:
    server.put(instance(3))
    server.changes = []  # more came than the list of changes keeps
    wait_listing(source, lambda listing: ports(listing) == {8001, 8002, 8003})


def test_all_is_read_where_there_is_no_list_of_changes(server: EurekaServer, source: EurekaSource) -> None:
    server.answers["GET /apps/delta"] = 403, None
    server.remove(instance(1))
    wait_listing(source, lambda listing: ports(listing) == {8002})


def test_what_a_restarted_server_lacks_is_awaited(server: EurekaServer, source: EurekaSource) -> None:
    server.version = 7
    server.put(instance(4))
    wait_listing(source, lambda listing: 8004 in ports(listing))
    server.restart()
    listing = wait_listing(source, lambda listing: listing.settling)
    assert "came back without instances" in str(listing.problems)
    assert source.relist <= 1.0
    server.put(instance(1), instance(2))
    wait_listing(source, lambda listing: ports(listing) == {8001, 8002} and listing.settling)
    listing = wait_listing(source, lambda listing: not listing.settling)  # after 1 s and 0.5 s
    assert ports(listing) == {8001, 8002}
    assert listing.problems == {}


def test_it_is_settled_once_all_are_back(server: EurekaServer) -> None:
    server.put(instance(1), instance(2))
    server.version = 2
    with closing(EurekaSource(server.url, cache=3600)) as source:
        source.subscribe(lambda: None)
        server.restart()
        wait_listing(source, lambda listing: listing.settling)
        server.put(instance(1), instance(2))
        wait_listing(source, lambda listing: not listing.settling and ports(listing) == {8001, 8002})


@pytest.mark.parametrize(
    "answer",
    [
        (200, b"<html>"),
        (200, b""),
        (200, []),
        (200, {"applications": None}),
        (200, {"applications": {"application": [{"name": "WEB", "instance": ["x"]}], "apps__hashcode": ""}}),
        (200, {"applications": {"application": [{"name": "WEB", "instance": [{}]}], "apps__hashcode": ""}}),
        (302, b""),
        (500, b"broken"),
    ],
)  # fmt: skip
def test_nonsense_is_an_outage(server: EurekaServer, source: EurekaSource, answer: tuple[int, object]) -> None:
    server.answers["GET /apps"] = answer
    wait_until(lambda: is_away(source))
    server.answers.clear()
    assert ports(wait_listing(source, lambda listing: not listing.settling)) == {8001, 8002}


def is_away(source: EurekaSource) -> bool:
    try:
        source.list()
    except SourceUnavailable:
        return True
    return False


def test_a_right_that_is_missing_is_told(server: EurekaServer) -> None:
    server.answers["GET "] = 401, None
    url = server.url.replace("//", "//someone:secret@")
    with closing(EurekaSource(url)) as source:
        with pytest.raises(SourceRefused, match="user and a password") as caught:
            source.subscribe(lambda: None)
        assert server.headers["Authorization"] == "Basic c29tZW9uZTpzZWNyZXQ="
        shown = f"{source.where} {source.identity()} {source!r} {vars(source)!r} {caught.value}"
        assert "secret" not in shown
        assert "c29t" not in shown


def test_the_next_server_takes_the_place_of_one_that_is_away(server: EurekaServer) -> None:
    server.put(instance(1))
    urls = f"http://127.0.0.1:1/eureka, {server.url}/"
    with closing(EurekaSource(urls)) as source:
        source.subscribe(lambda: None)
        assert ports(source.list()) == {8001}
    assert EurekaSource(f"{server.url},http://127.0.0.1:1").identity() == source.identity()


def test_close_ends_a_question_under_way(server: EurekaServer, source: EurekaSource) -> None:
    server.gate.clear()
    time.sleep(0.5)
    began = time.monotonic()
    source.close()
    assert time.monotonic() - began < 1


def test_what_becomes_of_an_instance(server: EurekaServer) -> None:
    found = only(server, metadata={"version": "1.2", "zone": "a", "weight": "3", "team": "x", "zkdiscovery.y": "z"})
    assert isinstance(found, Imported)
    assert (found.service, found.object_id, found.address, found.port) == ("web", "web-1", "10.0.0.1", 8001)
    assert (found.version, found.zone, found.weight, found.metadata) == ("1.2", "a", 3.0, {"team": "x"})
    tls = only(server, securePort={"$": "8443", "@enabled": "true"}, port={"$": 80, "@enabled": "false"})
    assert isinstance(tls, Imported)
    assert (tls.address, tls.port, tls.tls_port) == ("web-1.example", 8443, 8443)
    named = only(server, metadata={"zkdiscovery.name": "Payments", "weight": "heavy"}, status="UNKNOWN")
    assert isinstance(named, Imported)
    assert (named.service, named.status, named.weight) == ("Payments", Status.DOWN, 1.0)
    assert only(server, metadata={"zkdiscovery-registry": "abc"}) == ""
    assert only(server, port={"$": 1, "@enabled": "false"}) == "none of its ports is enabled"
    assert only(server, port={"$": "x", "@enabled": "true"}) == "its port is no number"


def test_urls_that_are_none() -> None:
    for urls in ("", ",", "ftp://someone:secret@x", "http://someone:secret@x:port", "http://"):
        with pytest.raises(InvalidSettings) as caught:
            EurekaSource(urls)
        assert "secret" not in str(caught.value)
