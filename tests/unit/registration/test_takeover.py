"""The rules by which sharers take over, with all orders of steps that a random schedule finds.

ZooKeeper is a dictionary here, with transactions, versions and sessions. A look takes three steps, so others act in
between. `faults/registrations/test_shared_*.py` show the same on a real one.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkdiscovery.registration import takeover
from zkdiscovery.registration.process import Process
from zkdiscovery.registration.takeover import Patience, Seen, Sharer, Standby, Wish, decide, decode_sharer
from zkdiscovery.session import Check, Create, Delete, Node, SetData, Stat, Write
from zkdiscovery.znodes import OwnedState

PATH, GROUP = "/services/payments/a", "/share/payments/a"
UP, DRAINING = b"UP", b"DRAINING"


class Conflict(Exception):  # noqa: N818
    """A transaction that failed."""


class Store:
    """ZooKeeper: data, version and owner by path."""

    def __init__(self) -> None:
        self.nodes: dict[str, tuple[bytes, int, int]] = {GROUP: (b"", 0, 0)}

    def commit(self, writes: list[Write], session: int) -> None:
        """All of it or nothing."""
        nodes = dict(self.nodes)
        for write in writes:
            there = write.path in nodes
            if isinstance(write, Create):
                if there:
                    raise Conflict
                nodes[write.path] = (write.data, 0, session)
                continue
            if not there or write.version not in {-1, nodes[write.path][1]}:
                raise Conflict
            _, version, owner = nodes[write.path]
            if isinstance(write, SetData):
                nodes[write.path] = (write.data, version + 1, owner)
            elif isinstance(write, Delete):
                del nodes[write.path]
            else:
                assert isinstance(write, Check)
        self.nodes = nodes

    def read(self, path: str) -> Node | None:
        """A node."""
        if path not in self.nodes:
            return None
        data, version, owner = self.nodes[path]
        return Node(data, Stat(1, 1, 0, 0, version, 0, 0, owner, len(data), 0, 1))

    def expire(self, session: int) -> None:
        """End a session."""
        self.nodes = {path: node for path, node in self.nodes.items() if node[2] != session}


@dataclass
class Peer:
    """One sharer, which does one thing at a time."""

    world: World
    number: int
    session: int
    runs: bool = True
    leaving: bool = False
    gone: bool = False
    over: Patience | None = None
    state: OwnedState = OwnedState.PENDING
    sessions: set[int] = field(default_factory=set)
    knows: bool = False
    steps: Iterator[None] | None = None

    @property
    def name(self) -> str:
        return str(self.number)

    def step(self) -> None:
        """Do the next thing."""
        if self.steps is None:
            self.steps = self._act()
        if next(self.steps, self) is self:
            self.steps = None

    def _act(self) -> Iterator[None]:
        store, session = self.world.store, self.session
        self.sessions.add(session)
        group = store.read(GROUP)
        yield
        node = store.read(PATH)
        yield
        standbys = {
            path.rpartition("/")[2]: Standby(decode_sharer(data), owner)
            for path, (data, _, owner) in store.nodes.items()
            if path.startswith(GROUP + "/")
        }
        yield
        seen = Seen(None if group is None else group.stat, node, standbys)
        held = takeover.holder(seen)
        self.knows = self.knows or held is not None
        wish = Wish(
            path=PATH, group=GROUP, name=self.name,
            sharer=Sharer(self.world.process(self), "10.0.0.1:8080", ready=True, leaving=self.leaving),
            knows=self.knows, session=session, sessions=self.sessions,
            data=DRAINING if self.leaving else UP, gone=self.gone, force=False, acl=(), over=self.over,
        )  # fmt: skip
        step = decide(wish, seen)
        if not step.writes:
            self.state = step.state
            return
        yield  # the transaction is on its way
        if session == self.session:
            with suppress(Conflict):
                self.world.commit(list(step.writes), session)


class World:
    """Peers, and what happens to them."""

    def __init__(self, seed: int, *, can_tell: bool) -> None:
        self.random = random.Random(seed)
        self.can_tell = can_tell
        self.store = Store()
        self.peers: list[Peer] = []
        self._sessions = iter(range(1, 1_000_000))

    def process(self, peer: Peer) -> Process:
        """Who it is."""
        return Process("boot", "ns", peer.number + 1, 1)

    def has_ended(self, process: Process) -> bool:
        """In place of the look at /proc."""
        return self.can_tell and not self.peers[process.pid - 1].runs

    def commit(self, writes: list[Write], session: int) -> None:
        """Execute a transaction, and look for what must never happen."""
        before = self.store.nodes.get(PATH)
        self.store.commit(writes, session)
        after = self.store.nodes.get(PATH)
        if before is not None and before != after and (after is None or after[0] == DRAINING):
            able = [peer for peer in self.peers if self._stands_by(peer) and peer.session != session]
            assert not able, "it drains or goes, though somebody could take over"
        if before is not None and after is not None and before[2] != after[2]:
            owner = next((peer for peer in self.peers if peer.session == before[2]), None)
            assert owner is None or owner.leaving or not owner.runs, "it is taken from one that lives"

    def _stands_by(self, peer: Peer) -> bool:
        node = self.store.read(f"{GROUP}/{peer.name}")
        sharer = None if node is None else decode_sharer(node.data)
        return peer.runs and sharer is not None and not sharer.leaving

    def happen(self) -> None:
        """One random event."""
        alive = [peer for peer in self.peers if peer.runs and not peer.leaving]
        what = self.random.choice(["start", "leave", "drain", "kill", "lose", "end"])
        if what == "start" or not alive:
            self.peers.append(Peer(self, len(self.peers), next(self._sessions)))
        elif what in {"leave", "drain"}:
            peer = self.random.choice(alive)
            peer.leaving, peer.gone = True, what == "leave"
        elif what == "kill":
            self.random.choice(alive).runs = False
        elif what == "lose":
            peer = self.random.choice(alive)
            self.store.expire(peer.session)
            peer.session = next(self._sessions)
            peer.steps = None
        else:
            dead = [peer for peer in self.peers if not peer.runs]
            if dead:
                self.store.expire(self.random.choice(dead).session)

    def run(self, count: int) -> None:
        """So many steps of whoever."""
        for _ in range(count):
            running = [peer for peer in self.peers if peer.runs and peer.state is not OwnedState.RELEASED]
            if running:
                self.random.choice(running).step()

    def settle(self) -> None:
        """Let everybody act until nothing changes; the dead lose their sessions, and those who wait lose patience."""
        for peer in self.peers:
            if not peer.runs:
                self.store.expire(peer.session)
        for patience in (None, Patience.FIRST, Patience.MATE):
            for peer in self.peers:
                peer.over = patience
            for _ in range(100):
                before = self.store.nodes
                for peer in self.peers:
                    if peer.runs and peer.state is not OwnedState.RELEASED:
                        for _ in range(5):
                            peer.step()
                if self.store.nodes is before:
                    break
            else:
                raise AssertionError("they never agree")


@pytest.mark.parametrize("can_tell", [True, False], ids=["one namespace", "many"])
@given(seed=st.integers(0, 2**32))
def test_it_stands_exactly_while_somebody_shares_it(seed: int, can_tell: bool) -> None:
    world = World(seed, can_tell=can_tell)
    original, takeover.has_ended = takeover.has_ended, world.has_ended
    try:
        for _ in range(15):
            world.happen()
            world.run(world.random.choice([0, 1, 3, 10, 40]))
        world.settle()
    finally:
        takeover.has_ended = original
    stay = [peer for peer in world.peers if peer.runs and not peer.leaving]
    drain = [peer for peer in world.peers if peer.runs and peer.leaving and peer.state is not OwnedState.RELEASED]
    node = world.store.read(PATH)
    if stay:
        assert node is not None
        assert node.data == UP
        assert [peer.state for peer in stay].count(OwnedState.HELD) == 1
        assert [peer.state for peer in stay].count(OwnedState.STANDBY) == len(stay) - 1
        assert not drain
    elif drain:
        assert node is not None
        assert node.data == DRAINING
        assert len(drain) == 1
    else:
        assert node is None
    names = {path.rpartition("/")[2] for path in world.store.nodes if path.startswith(GROUP + "/")}
    assert names == {peer.name for peer in [*stay, *drain]}


@given(st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(repr).map(str.encode))
def test_what_others_write_into_a_standby_never_raises(data: bytes) -> None:
    assert decode_sharer(data) is None


def test_a_standby_says_what_it_was_told() -> None:
    sharer = Sharer(Process("boot", "ns", 7, 123), "10.0.0.1:8080", ready=True, leaving=False)
    assert decode_sharer(sharer.encode()) == sharer


def test_a_machine_that_is_not_known_is_no_mate_of_anybody() -> None:
    one = Sharer(Process("unknown", "", 7, 0), "10.0.0.1:8080")
    assert not one.is_mate_of(one)
