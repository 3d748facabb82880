"""A system that has no thread to give: what was asked for is begun as a whole, or not at all."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import MakeClient
from tests.faults.discovery.helpers import watched_paths
from tests.integration.registration.helpers import HOST
from tests.support import LIMIT, Recorder, Truth
from zkdiscovery import Client, Instance, NoThreadAvailable
from zkdiscovery.election.following import Following
from zkdiscovery.registration import Options
from zkdiscovery.testing import ZookeeperServer
from zkdiscovery.testing.ports import free_port

MOST = 20  # threads that anything here takes
NOWHERE = 1  # a port on which nothing listens


class Scarcity:
    """Gives the SDK so many threads, and then none."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self._left = 0
        self.refused = 0

    @contextmanager
    def allow(self, count: int) -> Iterator[None]:
        """Within the block so many threads may start."""
        self._left, self.refused = count, 0
        start = threading.Thread.start

        def scarce(thread: threading.Thread) -> None:
            if thread.name.startswith("zkdiscovery"):
                if self._left <= 0:
                    self.refused += 1
                    raise RuntimeError("can't start new thread")
                self._left -= 1
            start(thread)

        with self._patch.context() as patch:
            patch.setattr(threading.Thread, "start", scarce)
            yield


@pytest.fixture
def scarcity(monkeypatch: pytest.MonkeyPatch) -> Scarcity:
    return Scarcity(monkeypatch)


def wait_unwatched(server: ZookeeperServer, path: str) -> None:
    """Wait until the server has no watch below a path; it may be slower than the client that closes."""
    end = time.monotonic() + LIMIT
    while watched := [each for each in watched_paths(server) if each.startswith(path)]:
        assert time.monotonic() < end, f"still watched: {watched}"


def begin(scarcity: Scarcity, count: int, work: Callable[[], object]) -> bool:
    """With so many threads: does it begin?"""
    with scarcity.allow(count):
        try:
            work()
        except NoThreadAvailable:
            return False
    return True


def entries() -> list[Options]:
    return [
        *({"service": "payments", "port": port, "host": HOST} for port in range(2, 5)),
        *(
            {"service": "payments", "port": NOWHERE, "host": "127.0.0.1", "id": f"l{number}", "ready": "listening"}
            for number in range(3)
        ),
    ]


def test_the_error_says_what_to_do(make_client: MakeClient, scarcity: Scarcity) -> None:
    with scarcity.allow(0), pytest.raises(NoThreadAvailable, match=r"can't start new thread.* limit of threads"):
        make_client().start()


@pytest.mark.parametrize("connected", [False, True])
def test_all_registrations_or_none(
    make_client: MakeClient, truth: Truth, namespace: str, scarcity: Scarcity, connected: bool
) -> None:
    """As many threads as it takes, less one, two, …: nothing stands that nobody holds."""
    path = f"{namespace}/services/payments"
    for count in range(MOST):
        client = make_client()
        if connected:
            client.wait_connected(LIMIT)
        made: list[object] = []
        if begin(scarcity, count, lambda client=client, made=made: made.extend(client.register_many(entries()))):
            assert count >= 2, "the checks of ports have a thread, and so has the worker"
            break
        assert made == []
        # What is registered afterwards is created after all that was wanted before.
        client.register("payments", 9, host=HOST, id="later").wait_registered(LIMIT)
        assert truth.children(path) == ["later"]
        with scarcity.allow(MOST):
            again = client.register_many(entries())
        for registration in again:
            registration.wait_registered(LIMIT)
        client.close()
        assert truth.children(path) == []
    assert count < MOST - 1
    for registration in made:
        registration.wait_registered(LIMIT)  # type: ignore[attr-defined]


def test_views_and_observers_leave_nothing_behind(
    make_client: MakeClient, namespace: str, scarcity: Scarcity, zkdiscovery_server: ZookeeperServer
) -> None:
    def view(client: Client) -> None:
        client.discover("payments").wait_ready(LIMIT, at_least=0).close()

    def observe(client: Client) -> None:
        with client.election("leader").on_change(lambda _: None):
            pass

    for work in (view, observe):
        began = False
        for count in range(MOST):
            client = make_client()
            if began := begin(scarcity, count, lambda client=client, work=work: work(client)):
                break
            work(client)
            client.close()
            wait_unwatched(zkdiscovery_server, namespace)
        assert began


def test_an_election_that_could_not_be_followed_is_not_kept(make_client: MakeClient, scarcity: Scarcity) -> None:
    client = make_client().wait_connected(LIMIT)
    with scarcity.allow(0), pytest.raises(NoThreadAvailable):
        client.election("leader").on_change(lambda _: None)
    gc.collect()
    assert not [each for each in gc.get_objects() if type(each) is Following]


def test_campaigns_can_be_tried_again(make_client: MakeClient, scarcity: Scarcity) -> None:
    client = make_client().wait_connected(LIMIT)
    for count in range(MOST):
        won: Recorder[object] = Recorder()
        election = client.election(f"report-{count}")
        began = begin(scarcity, count, lambda election=election, won=won: election.start(won))
        if not began:
            election.start(won)
        won.wait(bool)
        election.close()
        if began:
            break
    else:
        pytest.fail("it never began")


def test_a_hedge_without_a_thread_is_none(make_client: MakeClient, scarcity: Scarcity) -> None:
    """The first attempt goes on. Where there is no thread for that either, nothing was called."""
    client = make_client()
    with (
        client.register("payments", free_port(), host="127.0.0.1", id="a"),
        client.register("payments", free_port(), host="127.0.0.1", id="b"),
    ):
        view = client.discover("payments").wait_ready(LIMIT, at_least=2)
        called: Recorder[str] = Recorder()
        hedged = threading.Event()

        def answer(instance: Instance) -> str:
            called(instance.id)
            assert hedged.wait(LIMIT)
            return "answer"

        assert not begin(scarcity, 0, lambda: view.call(answer, hedge=0.01, timeout=LIMIT))
        assert called.items == []
        assert [standing.in_flight for standing in view.explain()] == [0, 0]
        with scarcity.allow(1):
            waiter = threading.Thread(target=lambda: _when(lambda: scarcity.refused > 0, hedged.set), name="waiter")
            waiter.start()
            assert view.call(answer, hedge=0.01, timeout=LIMIT) == "answer"
            waiter.join(LIMIT)
        assert len(called.items) == 1


def _when(condition: Callable[[], bool], then: Callable[[], object]) -> None:
    pause = threading.Event()
    while not condition() and not pause.wait(0.005):
        pass
    then()
