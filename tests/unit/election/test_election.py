"""What an election refuses, and what it does before there is a server."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any, Self

import pytest

from zkdiscovery import Client, ClientClosed, InvalidName, OperationTimeout, Term
from zkdiscovery.core import Phase
from zkdiscovery.election.candidacy import Candidacy
from zkdiscovery.election.candidate import Candidate, decode, encode
from zkdiscovery.session import AccessEntry, State
from zkdiscovery.testing import static_client
from zkdiscovery.znodes import OwnedState, Paths

LIMIT = 20.0  # seconds


@pytest.fixture
def client() -> Client:
    """One that nobody uses, so that it does nothing."""
    return Client("127.0.0.1:1")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\nb", "x" * 300])
def test_names_that_can_t_be_a_znode_are_refused(client: Client, name: str) -> None:
    with pytest.raises(InvalidName, match="election name"):
        client.election(name)


@pytest.mark.parametrize("id", ["", "a\nb", "\x1b[31m", "x" * 257])
def test_ids_that_can_t_be_shown_are_refused(client: Client, id: str) -> None:
    with pytest.raises(InvalidName, match="candidate's id"):
        client.election("nightly", id=id)


def test_an_unknown_policy_is_refused(client: Client) -> None:
    with pytest.raises(ValueError, match="on_suspend must be 'hold' or 'release': got 'maybe'"):
        client.election("nightly", on_suspend="maybe")  # type: ignore[arg-type]


def test_coroutine_functions_are_refused_at_once(client: Client) -> None:
    async def later(term: Term) -> None: ...

    with pytest.raises(TypeError, match="async def"):
        client.election("nightly").start(later)
    with pytest.raises(TypeError, match="async def"):
        client.while_leader("nightly")(later)


def test_functions_with_more_than_one_argument_are_refused_at_decoration(client: Client) -> None:
    def work(term: Term, more: int) -> None: ...

    with pytest.raises(TypeError, match="no argument or one"):
        client.while_leader("nightly")(work)  # type: ignore[call-overload]


def test_making_an_election_does_nothing(client: Client) -> None:
    before = threading.active_count()
    election = client.election("nightly")
    assert election.term is None
    assert election.id.rpartition(":")[2].isdigit()
    assert repr(election) == "<Election 'nightly' idle>"
    assert client.state is State.NEW
    assert threading.active_count() == before


def test_without_a_server_a_campaign_ends_in_time() -> None:
    with (
        Client("127.0.0.1:1", session_timeout=4.0) as client,
        pytest.raises(OperationTimeout, match=r"not elected in 'nightly' within 0\.1 s"),
    ):
        client.election("nightly").campaign(0.1).__enter__()


@pytest.mark.parametrize("id", ["a", "host:123", "Müller", "x" * 256, "𝕏" * 256, '"\\'])
def test_ids_are_read_as_they_were_written(id: str) -> None:
    assert decode(encode(id), 7) == Candidate(id, 7)


class _Worker:
    """Runs each task at once, on a thread of its own."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []

    def start(self) -> None:
        """Nothing: each task has a thread of its own."""

    def schedule(self, _key: object, task: Any, _delay: float = 0.0) -> None:
        self.threads.append(threading.Thread(target=task))
        self.threads[-1].start()


class _Session:
    """Never connected."""

    state = State.NEW
    generation = 0
    leaf_acl = (AccessEntry(31, "world", "anyone"),)

    @property
    def leases(self) -> Self:
        """Those of this session, which never begin."""
        return self

    def expect(self, _place: object) -> None:
        """Nothing will be held."""

    def listen(self, _listener: object) -> None:
        """Nothing will happen."""


class _Nodes:
    """Tells of a node while it is being handed over."""

    error = None
    state = OwnedState.HELD

    def __init__(self, worker: _Worker) -> None:
        self._worker = worker

    def prepare(self, _path: str, _data: bytes, *, on_state: Any, **_options: object) -> _Nodes:
        self._on_state = on_state
        return self

    def keep(self, _nodes: object) -> None:
        self._on_state(self)
        self._worker.threads[-1].join(0.1)


def test_a_worker_may_be_faster_than_the_constructor(monkeypatch: pytest.MonkeyPatch) -> None:
    errors: list[object] = []
    monkeypatch.setattr(threading, "excepthook", errors.append)
    worker = _Worker()
    core: Any = SimpleNamespace(session=_Session(), nodes=_Nodes(worker), worker=worker, paths=Paths("/"))
    Candidacy(core, "nightly", "", hold=True, make_term=Term)
    for thread in worker.threads:
        thread.join(LIMIT)
        assert not thread.is_alive()
    assert not errors


def test_start_after_the_client_was_closed_is_refused() -> None:
    client = static_client()
    election = client.election("nightly")
    client.close()
    with pytest.raises(ClientClosed, match="the client was drained or closed"):
        election.start(lambda _: None)


def test_closing_does_not_wait_for_a_campaign_that_ends_while_it_starts() -> None:
    client = static_client()
    election = client.election("nightly")
    client.slot.current().seal(Phase.HOLDS)  # as a thread that drains the client just now
    election.start(lambda _: None)
    begun = time.monotonic()
    election.close(LIMIT)
    assert time.monotonic() - begun < LIMIT / 2
    client.close()


def test_closing_does_not_wait_for_a_loop_that_another_thread_has_ended(caplog: pytest.LogCaptureFixture) -> None:
    """As the garbage collector ends one that was abandoned."""
    client = static_client()
    election = client.election("nightly")
    terms = election.terms()
    leader = threading.Thread(target=lambda: next(terms))
    leader.start()
    leader.join(LIMIT)
    assert election.term is not None
    terms.close()  # type: ignore[attr-defined]
    assert election.term is None
    begun = time.monotonic()
    election.close(LIMIT)
    assert time.monotonic() - begun < LIMIT / 2
    assert "still runs" not in caplog.text
    client.close()
