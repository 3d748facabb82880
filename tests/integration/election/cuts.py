"""Leaders whose links are cut, each by a fault of its own."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

from tests.conftest import MakeClient
from tests.integration.election.helpers import Campaigner
from tests.support import LIMIT, core_of
from zkdiscovery import Term
from zkdiscovery.session.clock import lease_now
from zkdiscovery.testing import FaultProxy

T = 4.0  # seconds, the session timeout of make_client


def lasts(term: Term, seconds: float) -> bool:
    """Return whether the term lasts for so long."""
    return not term.wait_lost(seconds)


def mature(*terms: Term) -> None:
    """Let the renewals of terms that began together become regular."""
    assert lasts(terms[0], 0.35 * T)
    assert [term for term in terms if term.lost] == []


def refuse(proxy: FaultProxy) -> None:
    proxy.refuse()


def pause(proxy: FaultProxy) -> None:
    proxy.pause()


def blackhole(proxy: FaultProxy) -> None:
    proxy.blackhole()


def deaf(proxy: FaultProxy) -> None:
    """Renewals arrive and are committed, their answers are not."""
    proxy.half_open("client_to_server")


def mute(proxy: FaultProxy) -> None:
    """Renewals are lost on their way."""
    proxy.half_open("server_to_client")


def uncommitted(proxy: FaultProxy) -> None:
    """Connections, reads and pings pass and are answered, transactions do not arrive."""
    multi, header = 14, 12  # ZooKeeper's opcode; bytes of length, number and opcode

    def without_transactions(chunk: bytes) -> bytes:
        passed = b""
        while len(chunk) >= header:
            length, _, opcode = struct.unpack_from("!iii", chunk)
            frame, chunk = chunk[: 4 + length], chunk[4 + length :]
            if opcode != multi:
                passed += frame
        return passed + chunk

    proxy.alter("client_to_server", without_transactions)


Fault = Callable[[FaultProxy], None]


FAULTS: tuple[Fault, ...] = (refuse, pause, blackhole, mute, deaf)


class Cut:
    """A leader whose link is to have a fault, and its follower, in an election of their own."""

    def __init__(self, fault: Fault, hosts: str, make_client: MakeClient, timeout: float) -> None:
        self.name = fault.__name__
        self.proxy = FaultProxy(hosts.partition(",")[0])
        self.first = Campaigner(make_client(self.proxy.address, session_timeout=timeout), self.name).start()
        self.term = self.first.wait_term()
        self.timeout = core_of(self.first.client).session.timeout  # a server may grant more than was asked for
        self.second = Campaigner(make_client(session_timeout=timeout), self.name, rivals=[self.first]).start()
        self._fault = fault
        self.left = 0.0  # seconds of the lease when the link was cut
        self.at = 0.0  # lease clock

    def cut(self) -> None:
        self._fault(self.proxy)
        self.at, self.left = lease_now(), self.term.remaining

    def end(self) -> None:
        self.proxy.heal()
        for campaigner in (self.first, self.second):
            campaigner.election.close(LIMIT)
            campaigner.join()
        self.proxy.close()


@contextmanager
def cuts(faults: Iterable[Fault], hosts: str, make_client: MakeClient, timeout: float) -> Iterator[list[Cut]]:
    """A leader for each fault, all of whose terms are mature. The faults take their time side by side."""
    with ExitStack() as stack:
        cut = []
        for fault in faults:
            cut.append(Cut(fault, hosts, make_client, timeout))
            stack.callback(cut[-1].end)
        mature(*(each.term for each in cut))
        yield cut
