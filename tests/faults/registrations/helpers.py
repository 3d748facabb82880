"""What the fault tests of registrations share."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.integration.registration.helpers import HOST, on_submit, path_of, read
from tests.support import LIMIT, Truth, core_of
from zkdiscovery import Client, Registration
from zkdiscovery.registration import Options
from zkdiscovery.session import Node

Expire = Callable[[Client], None]


def entries(count: int, service: str = "payments") -> list[Options]:
    """What `register_many` takes."""
    return [{"service": service, "port": port, "host": HOST} for port in range(1, count + 1)]


def wait_all(registrations: list[Registration]) -> None:
    """Wait until each stands as wanted."""
    for registration in registrations:
        registration.wait_registered(LIMIT)


def assert_stands(truth: Truth, client: Client, registration: Registration) -> Node:
    """It is in ZooKeeper as it is wanted, owned by the client's session; the node."""
    node = truth.get(path_of(registration))
    assert node is not None
    assert read(path_of(registration), node) == registration.instance
    assert node.stat.ephemeral_owner == core_of(client).session.session_id
    assert registration.error is None
    return node


def in_background(call: Callable[[], object]) -> threading.Thread:
    """Run it on a thread of its own."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    return thread


def assert_ends(*threads: threading.Thread) -> None:
    """They end within the limit."""
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive()


@contextmanager
def once_before(client: Client, kind: type, strike: Callable[[], object], *, number: int = 1) -> Iterator[Counter[str]]:
    """Strike once, just before the client's next request of such a kind is queued, or the one of that number from now.

    By the end it has come.

    Counts the requests by name.
    """
    struck = threading.Event()
    counts: Counter[str] = Counter()

    def react(request: object) -> None:
        counts[type(request).__name__] += 1
        if isinstance(request, kind) and counts[kind.__name__] == number:
            struck.set()
            strike()

    with on_submit(client, react):
        yield counts
        assert struck.wait(LIMIT)
