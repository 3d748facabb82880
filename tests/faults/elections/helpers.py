"""What the fault scenarios of elections share: requests held on their way, and what must be true at the end."""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Iterator

from tests.integration.election.helpers import Campaigner, Line, path_of
from tests.support import LIMIT, wait_state
from zkdiscovery import State
from zkdiscovery.testing import FaultProxy

# ZooKeeper's numbers: of requests, and of the operations in a transaction.
MULTI, ADD_WATCH = 14, 106
CREATE, DELETE, CHECK = 15, 2, 13


def requests(chunk: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Each request in what a client sent: its number, that of its first operation (0: no transaction), and itself."""
    while len(chunk) >= 12:
        length, _, opcode = struct.unpack_from("!iii", chunk)
        frame, chunk = chunk[: 4 + length], chunk[4 + length :]
        yield opcode, struct.unpack_from("!i", frame, 12)[0] if opcode == MULTI else 0, frame


def before_request(proxy: FaultProxy, opcode: int, operation: int, action: Callable[[], object]) -> threading.Event:
    """Do something once, before the next such request is passed on; the event is set when it is done.

    The action runs on the proxy's thread, so whatever it asks for must not go through this proxy.
    """
    done = threading.Event()

    def look(chunk: bytes) -> bytes:
        if not done.is_set() and any((opcode, operation) == found[:2] for found in requests(chunk)):
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


def one_leader(line: Line) -> Campaigner:
    """Wait for a quiet end: a node for each campaigner, a term for the first of them, and none for the others."""
    line.wait_length(len(line.campaigners))
    first, *others = line.campaigners[0].election.candidates(LIMIT)
    fences = {campaigner: line.truth.get(path_of(campaigner)) for campaigner in line.campaigners}
    (leader,) = [each for each, node in fences.items() if node is not None and node.stat.czxid == first.fence]
    leader.terms.wait(lambda terms: terms[-1].fence == first.fence if terms else False)
    assert len(others) == len(line.campaigners) - 1
    assert [each for each in line.campaigners if each.election.term is not None] == [leader]
    return leader
