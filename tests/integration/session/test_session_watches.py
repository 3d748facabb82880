"""Tree watches: every event below a path, on the connection that they were armed on; none left at the server."""

from __future__ import annotations

import logging
import re
import time

import pytest

from tests.integration.session.conftest import MakeSession
from tests.integration.session.helpers import heard
from tests.support import LIMIT, Recorder, Truth
from zkdiscovery.session import EventKind, GetData, Session, Sync, TreeWatch
from zkdiscovery.testing import FaultProxy, ZookeeperServer
from zkdiscovery.testing.wire import four_letter_word

Event = tuple[EventKind, str]
CREATED, CHANGED, DELETED = EventKind.CREATED, EventKind.CHANGED, EventKind.DELETED


def listen(session: Session, path: str) -> tuple[TreeWatch, Recorder[Event]]:
    """An armed watch, and what it hears."""
    events: Recorder[Event] = Recorder()
    watch = session.watches.add(path, lambda kind, where: events((kind, where)))
    arm(session, watch)
    return watch, events


def arm(session: Session, watch: TreeWatch) -> None:
    watch.arm(generation=session.generation, deadline=time.monotonic() + LIMIT).result(LIMIT)


def settled(session: Session) -> None:
    """All events of what was committed before have been heard: answers and events keep their order."""
    session.call(Sync("/"), deadline=time.monotonic() + LIMIT)
    session.call(GetData("/"), deadline=time.monotonic() + LIMIT)


def watched_paths(server: ZookeeperServer) -> list[str]:
    """Paths that somebody watches, by the server itself."""
    return re.findall(r"^(/\S*)", four_letter_word(server.hosts.split(",")[0], "wchp"), re.MULTILINE)


def test_everything_below_a_path(make_session: MakeSession, truth: Truth, namespace: str) -> None:
    """Also before it exists, after it is gone, and never for its namesakes."""
    session = make_session()
    _, events = listen(session, f"{namespace}/a")
    truth.create(f"{namespace}/ab/x")
    truth.create(f"{namespace}/a/x/y", b"1")
    truth.set(f"{namespace}/a/x/y", b"2")
    for path in ("a/x/y", "a/x", "a"):
        truth.delete(f"{namespace}/{path}")
    truth.create(f"{namespace}/a")
    settled(session)
    assert events.items == [
        (kind, f"{namespace}/{path}")
        for kind, path in [
            (CREATED, "a"),
            (CREATED, "a/x"),
            (CREATED, "a/x/y"),
            (CHANGED, "a/x/y"),
            (DELETED, "a/x/y"),
            (DELETED, "a/x"),
            (DELETED, "a"),
            (CREATED, "a"),
        ]
    ]


def test_a_watch_on_everything(make_session: MakeSession, truth: Truth, namespace: str) -> None:
    session = make_session()
    watch, events = listen(session, "/")
    truth.create(f"{namespace}/x")
    settled(session)
    assert events.items[-1] == (CREATED, f"{namespace}/x")
    watch.close()


def test_a_listener_that_raises_is_alone(
    make_session: MakeSession, truth: Truth, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    session = make_session()

    def fail(*_: object) -> None:
        raise ValueError("a defect")

    session.watches.add(namespace, fail)
    _, events = listen(session, namespace)
    truth.create(f"{namespace}/x")
    settled(session)
    assert len(events.items) == 2
    assert session.generation == 1
    assert {record.levelno for record in caplog.records if "a listener to" in record.message} == {logging.ERROR}


def test_a_connection_forgets_its_watches(
    make_session: MakeSession, zkdiscovery_proxy: FaultProxy, truth: Truth, namespace: str
) -> None:
    session = make_session(zkdiscovery_proxy.address)
    watch, events = listen(session, namespace)
    changes = heard(session)
    zkdiscovery_proxy.drop()
    changes.wait(lambda seen: len(seen) == 2)
    truth.create(f"{namespace}/missed")
    settled(session)
    assert events.items == []
    arm(session, watch)
    truth.create(f"{namespace}/heard")
    settled(session)
    assert events.items == [(CREATED, f"{namespace}/heard")]


def test_the_last_listener_takes_the_watch_away(
    make_session: MakeSession, zkdiscovery_server: ZookeeperServer, truth: Truth, namespace: str
) -> None:
    session = make_session()
    one, heard_by_one = listen(session, namespace)
    two, heard_by_two = listen(session, namespace)
    assert namespace in watched_paths(zkdiscovery_server)
    one.close()
    one.close()
    settled(session)
    assert namespace in watched_paths(zkdiscovery_server)
    truth.create(f"{namespace}/x")
    settled(session)
    assert (len(heard_by_one.items), len(heard_by_two.items)) == (0, 2)
    two.close()
    settled(session)
    assert namespace not in watched_paths(zkdiscovery_server)
    truth.create(f"{namespace}/y")
    settled(session)
    assert (len(heard_by_one.items), len(heard_by_two.items)) == (0, 2)


def test_a_watch_taken_away_and_set_again(
    make_session: MakeSession, zkdiscovery_server: ZookeeperServer, truth: Truth, namespace: str
) -> None:
    """The removal, still on its way, must not take the new watch with it."""
    session = make_session()
    watch, events = listen(session, namespace)
    for _ in range(50):
        watch.close()
        watch, events = listen(session, namespace)
    truth.create(f"{namespace}/x")
    settled(session)
    assert events.items == [(CREATED, namespace), (CREATED, f"{namespace}/x")]
    assert watched_paths(zkdiscovery_server).count(namespace) == 1
