"""What the fault scenarios of elections share: requests held on their way, and what must be true at the end."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Self

from tests.integration.election.helpers import Campaigner, Line, candidacy_of, path_of
from tests.support import LIMIT, Recorder, Truth, wait_state
from zkdiscovery import NotConnected, State, Term
from zkdiscovery.session import EventKind
from zkdiscovery.session.clock import lease_now
from zkdiscovery.testing import FaultProxy

# ZooKeeper's numbers: of requests, and of the operations in a transaction.
MULTI, SET_WATCHES = 14, 105
CREATE, DELETE, CHECK = 15, 2, 13


def requests(chunk: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Each request in what a client sent: its number, that of its first operation (0: no transaction), and itself."""
    while len(chunk) >= 12:
        length, _, opcode = struct.unpack_from("!iii", chunk)
        frame, chunk = chunk[: 4 + length], chunk[4 + length :]
        yield opcode, struct.unpack_from("!i", frame, 12)[0] if opcode == MULTI else 0, frame


def before_request(
    proxy: FaultProxy, opcode: int, operation: int, action: Callable[[], object], naming: str = ""
) -> threading.Event:
    """Do something once, before the next such request that names a path is passed on; the event is set when it is done.

    The action runs on the proxy's thread, so whatever it asks for must not go through this proxy.
    """
    done = threading.Event()

    def look(chunk: bytes) -> bytes:
        found = (frame for *kinds, frame in requests(chunk) if kinds == [opcode, operation])
        if not done.is_set() and any(naming.encode() in frame for frame in found):
            action()
            done.set()
        return chunk

    proxy.alter("client_to_server", look)
    return done


def hold(proxy: FaultProxy, operation: int) -> threading.Event:
    """Hold the next transaction that begins with such an operation, and all that follows, until the proxy is healed."""
    return before_request(proxy, MULTI, operation, proxy.pause)


def cut_off(campaigner: Campaigner, proxy: FaultProxy) -> None:
    """Without a connection from here on, until the proxy is healed."""
    proxy.refuse()
    wait_state(campaigner.client, State.SUSPENDED)


def one_leader(line: Line, timeout: float = LIMIT) -> Campaigner:
    """Wait for a quiet end: a node for each campaigner, a term for the first of them, and none for the others."""
    truth = line.truth
    by_path: dict[str, Campaigner] = {}

    def stand(_parent: object) -> bool:
        by_path.clear()
        by_path.update({path_of(campaigner): campaigner for campaigner in line.campaigners})
        if any(term is not None and term.lost for term in (candidacy_of(each).hold for each in line.campaigners)):
            return False  # its node is about to go
        return set(by_path) == {f"{line.path}/{name}" for name in truth.children(line.path)}

    end = time.monotonic() + timeout
    while True:
        try:
            truth.session.wait_connected(timeout)
            truth.wait(line.path, stand, 2.0)
            nodes = {path: truth.get(path) for path in by_path}
            break
        except (AssertionError, NotConnected):  # a watch goes with its connection, which may have broken just now
            if time.monotonic() > end:
                raise
    fence, first = min((node.stat.czxid, path) for path, node in nodes.items() if node is not None)
    leader = by_path[first]
    leader.terms.wait(lambda terms: bool(terms) and terms[-1].fence == fence, timeout)
    assert [each for each in line.campaigners if each.election.term is not None] == [leader]
    return leader


class Lost:
    """A request that is lost on its way, or whose answer is, with everything that follows on that connection.

    Guarantees: a lost request is never executed; one whose answer is lost is passed on whole.

    Args:
        proxy: between the client and its server.
        operation: that of the transaction; None: any request, the handshake included.
        answer: the answer is lost, the request is executed.
        skip: so many such requests pass before.
    """

    def __init__(self, proxy: FaultProxy, operation: int | None, *, answer: bool, skip: int = 0) -> None:
        self._proxy = proxy
        self._operation = operation
        self._answer = answer
        self._skip = skip
        self.sent = threading.Event()
        proxy.alter("client_to_server", self._look)

    def _look(self, chunk: bytes) -> bytes:
        if self.sent.is_set():
            return b""
        passed = b""
        for opcode, operation, frame in requests(chunk):
            if self._operation is None or (opcode, operation) == (MULTI, self._operation):
                self._skip -= 1
            if self._skip < 0:
                self._proxy.alter("server_to_client", lambda _: b"")
                self.sent.set()
                return passed + frame if self._answer else passed
            passed += frame
        return chunk

    def wait(self) -> None:
        """Wait until it is lost."""
        assert self.sent.wait(LIMIT)

    def break_link(self) -> None:
        """Let the client notice, and come back."""
        self._proxy.drop()
        self._proxy.heal()


def measured(what: str, seconds: float, timeout: float) -> None:
    """Say a figure that the documentation may quote, in seconds and in units of the session timeout T."""
    print(f"measured: {what}: {seconds:.2f} s = {seconds / timeout:.2f} T (T = {timeout:g} s)")


@contextmanager
def asking(terms: Iterable[Term], answer: Callable[[Term, float], object]) -> Iterator[None]:
    """Ask all terms again and again, on another thread: `answer(term, when it was asked)` for each that is held."""
    over = threading.Event()
    terms = list(terms)

    def ask() -> None:
        while not over.wait(0.002):
            for term in terms:
                now = lease_now()
                if not term.lost:
                    answer(term, now)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(LIMIT)


class Gone(Recorder[tuple[str, float]]):
    """When another client hears of deletions below a path, on the lease clock, while the block runs."""

    def __init__(self, truth: Truth, path: str) -> None:
        super().__init__()
        self._session = truth.session
        self._watch = self._session.watches.add(path, self._note)

    def _note(self, kind: EventKind, path: str) -> None:
        if kind is EventKind.DELETED:
            self((path, lease_now()))

    def wait_for(self, path: str, timeout: float = LIMIT) -> float:
        """When this node was gone."""
        seen = self.wait(lambda items: any(path == gone for gone, _ in items), timeout)
        return next(at for gone, at in seen if gone == path)

    def __enter__(self) -> Self:
        self._watch.arm(generation=self._session.generation, deadline=time.monotonic() + LIMIT).result(LIMIT)
        return self

    def __exit__(self, *exc: object) -> None:
        self._watch.close()
