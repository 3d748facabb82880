"""Closing an election or its client: terms end, blocks are waited for, nobody hangs."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import MakeClient
from tests.integration.election.helpers import NAME, Campaigner, Line, settle
from tests.support import LIMIT, Truth, wait_state
from zkdiscovery import Client, ClientClosed, State, Term
from zkdiscovery.election.candidacy import Candidacy
from zkdiscovery.testing import FaultProxy


@contextmanager
def background(fn: Callable[[], object]) -> Iterator[threading.Thread]:
    """Run something on another thread, which must end in time."""
    thread = threading.Thread(target=fn, daemon=True)
    thread.start()
    yield thread
    thread.join(LIMIT)
    assert not thread.is_alive()


class Block:
    """A block that leads until it is let go, whatever becomes of its term."""

    def __init__(self, client: Client, name: str = NAME) -> None:
        self.election = client.election(name)
        self.entered = threading.Event()
        self.let_go = threading.Event()
        self.ended_at = 0.0  # monotonic seconds
        self.term: Term | None = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="stubborn", daemon=True)
        self._thread.start()
        assert self.entered.wait(LIMIT)

    def _run(self) -> None:
        try:
            with self.election.campaign(LIMIT) as self.term:
                self.entered.set()
                assert self.let_go.wait(LIMIT)
                self.ended_at = time.monotonic()
        except BaseException as error:
            self.error = error

    def join(self) -> None:
        self.let_go.set()
        self._thread.join(LIMIT)
        assert not self._thread.is_alive()
        assert self.error is None


def campaigning(client: Client, errors: list[BaseException]) -> Callable[[], None]:
    def campaign() -> None:
        try:
            client.election(NAME).campaign().__enter__()
        except ClientClosed as error:
            errors.append(error)

    return campaign


def test_closing_waits_for_the_block_and_only_then_the_next_begins(
    make_client: MakeClient, truth: Truth, line: Line
) -> None:
    client = make_client()
    block = Block(client)
    line.campaigners.append(second := Campaigner(make_client()).start())
    line.wait_length(2)
    with background(lambda: block.election.close(LIMIT)):
        assert block.term is not None
        assert block.term.wait_lost(LIMIT)  # told at once
        assert block.term.reason == "the election was closed"
        settle(client)
        assert len(truth.children(line.path)) == 2  # nobody can follow yet
        assert not second.terms.items
        block.let_go.set()
        second.wait_term()
    block.join()


def test_a_block_that_still_runs_at_the_time_limit_is_logged(
    make_client: MakeClient, line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    block = Block(make_client())
    line.campaigners.append(second := Campaigner(make_client()).start())
    line.wait_length(2)
    block.election.close(0.2)
    assert block.term is not None
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert f"the block of its term {block.term.fence} still runs on thread stubborn" in record.getMessage()
    second.wait_term()  # nothing but the fence keeps the block from harm
    block.join()


def test_closing_from_within_the_block(make_client: MakeClient, truth: Truth, line: Line) -> None:
    client = make_client()
    election = client.election(NAME)
    turns = 0
    for term in election.terms():
        turns += 1
        election.close(LIMIT)
        assert term.reason == "the election was closed"
        assert truth.children(line.path) == []
    assert turns == 1
    with client.election(NAME).campaign(LIMIT) as term:
        client.close(LIMIT)
        assert term.lost
    assert truth.children(line.path) == []


def test_closing_from_the_background_function(make_client: MakeClient) -> None:
    election = make_client().election(NAME)
    threads: queue.Queue[threading.Thread] = queue.Queue()

    def lead(term: Term) -> None:
        election.close(LIMIT)
        assert term.lost
        threads.put(threading.current_thread())

    election.start(lead)
    runner = threads.get(timeout=LIMIT)
    runner.join(LIMIT)
    assert not runner.is_alive()


def test_who_waits_for_leadership_is_told(make_client: MakeClient, line: Line) -> None:
    line.join(make_client())
    client = make_client()
    errors: list[BaseException] = []
    with background(campaigning(client, errors)):
        line.wait_length(2)
        client.close(LIMIT)
    assert len(errors) == 1
    line.wait_length(1)


def test_a_closed_election_stays_closed(make_client: MakeClient) -> None:
    client = make_client()
    election = client.election(NAME)
    with election:
        pass
    election.close()
    assert list(election.terms()) == []
    with pytest.raises(ClientClosed, match="was closed"):
        election.campaign(LIMIT).__enter__()
    with pytest.raises(ClientClosed):
        election.start(print)
    with pytest.raises(ClientClosed):
        election.on_change(print)
    with client.election(NAME).campaign(LIMIT) as term:  # the client is open
        assert not term.lost
    client.close(LIMIT)
    with pytest.raises(ClientClosed):
        client.election(NAME)


def test_no_term_begins_after_closing(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    election = make_client().election(NAME)
    is_decided = election._is_decided

    def won_while_closing(candidacy: Candidacy) -> bool:
        election._closed = candidacy.hold is not None
        return is_decided(candidacy)

    monkeypatch.setattr(election, "_is_decided", won_while_closing)
    with pytest.raises(ClientClosed):
        election.campaign(LIMIT).__enter__()


def test_a_block_may_outlive_its_client(make_client: MakeClient) -> None:
    client = make_client()
    block = Block(client)
    client.close(0.1)
    block.join()  # leaving raises nothing


def test_closing_a_client_ends_all_of_its_terms_at_once(make_client: MakeClient, namespace: str, truth: Truth) -> None:
    client, other = make_client(), make_client()
    stubborn = [Block(client, "stubborn-1"), Block(client, "stubborn-2")]
    polite = Campaigner(client, "polite").start()
    polite.wait_term()
    follower = Campaigner(other, "polite").start()
    truth.wait(f"{namespace}/elections/polite", lambda node: node is not None and node.stat.num_children == 2)
    with background(lambda: client.close(2 * LIMIT)):
        follower.wait_term()  # while the stubborn ones are still waited for
        for block in stubborn:
            assert block.term is not None
            assert block.term.wait_lost(LIMIT)
        assert all(block.ended_at == 0.0 for block in stubborn)
        for block in stubborn:
            block.let_go.set()
    for block in stubborn:
        block.join()
    polite.join()
    follower.election.close(LIMIT)
    follower.join()


def test_closing_before_there_is_a_connection(make_client: MakeClient, zkdiscovery_proxy: FaultProxy) -> None:
    zkdiscovery_proxy.refuse()
    client = make_client(zkdiscovery_proxy.address)
    errors: list[BaseException] = []
    with background(campaigning(client, errors)):
        assert client.state is State.NEW
        began = time.monotonic()
        client.close(LIMIT)
        assert time.monotonic() - began < LIMIT / 4  # there is nothing to wait for
    assert len(errors) == 1


def test_closing_while_disconnected_waits_for_nothing(make_client: MakeClient, zkdiscovery_proxy: FaultProxy) -> None:
    client = make_client(zkdiscovery_proxy.address)
    block = Block(client)
    zkdiscovery_proxy.refuse()
    wait_state(client, State.SUSPENDED)
    block.let_go.set()
    block.join()
    began = time.monotonic()
    client.election(NAME).close(LIMIT)
    block.election.close(LIMIT)
    assert time.monotonic() - began < LIMIT / 4
