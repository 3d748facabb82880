"""The decision which of several processes holds the registration that they share, from what one of them sees.

Nodes
- The group, `/share/<service>/<id>`, is a container. Its version grows with each take-over and each new sharer.
- Each sharer has an ephemeral in the group, its standby, which says which process it is.
- The instance belongs to one session. The sharer whose standby belongs to the same session is the holder.

Rules
- Sharers are mates if they are on one machine and advertise one address. Others are rivals, and so is a session that
  has no standby. A sharer waits for a rival.
- A sharer takes over if nobody holds the instance, or if the holder is a mate that leaves or whose process has ended.
  One transaction raises the version of the group, deletes the instance and creates it.
- A sharer that is not ready, or that has not seen the instance yet, lets a mate that is go first for `YIELD` seconds.
- A holder that leaves marks its standby and waits for `HANDOVER` seconds at most until a mate has taken over. If no
  mate is left, it drains. All that it writes into the instance is bound to the version of the group, because the node
  of a successor may have the same version as its own, and because a mate may come while it drains.

Nothing here waits, reads a clock or talks to ZooKeeper. `sharing.py` looks, asks `decide`, writes, and looks again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from zkdiscovery.registration.machine import UNKNOWN
from zkdiscovery.registration.process import Process, has_ended
from zkdiscovery.session import EPHEMERAL, AccessEntry, Check, Create, Delete, Node, SetData, Stat, Write
from zkdiscovery.znodes import OwnedState, writes_to_replace

HANDOVER = 2.0  # seconds that a holder who leaves waits for a mate; one that lives takes two round trips
YIELD = 0.5  # seconds that one who is not ready lets a mate go first


class Patience(StrEnum):
    """Waits of a sharer that have a limit."""

    MATE = "MATE"  # that takes over from us
    FIRST = "FIRST"  # that takes over before us
    RIVAL = "RIVAL"  # that has the id


class Sharer(NamedTuple):
    """A process that shares the registration, as its standby says it.

    Attributes:
        process: whose standby it is.
        address: what its process advertises.
        ready: its process serves, and it knows the instance.
        leaving: it never takes over again, and gives the instance away.
    """

    process: Process
    address: str
    ready: bool = False
    leaving: bool = False

    def is_mate_of(self, other: Sharer) -> bool:
        """True if both may share a registration."""
        machine = self.process.machine
        return machine != UNKNOWN and (machine, self.address) == (other.process.machine, other.address)

    def encode(self) -> bytes:
        """Return the data that the standby holds."""
        fields = {**self.process._asdict(), **self._asdict()}
        del fields["process"]
        return json.dumps(fields).encode()


def decode_sharer(data: bytes) -> Sharer | None:
    """Return what a standby holds; None if that is no sharer."""
    try:
        found: Any = json.loads(data)
        process = Process(found["machine"], found["namespace"], found["pid"], found["started"])
        sharer = Sharer(process, found["address"], found["ready"], found["leaving"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    kinds = [*map(type, process), *map(type, sharer[1:])]
    return sharer if kinds == [str, str, int, int, str, bool, bool] and process.pid > 0 else None


class Standby(NamedTuple):
    """A standby that was found. `session` is its owner's; `sharer` is None if it says nothing that we understand."""

    sharer: Sharer | None
    session: int


class Seen(NamedTuple):
    """The nodes that were found.

    The group was read first, so a write that is bound to its version meets what was seen after.
    """

    group: Stat | None
    node: Node | None
    standbys: Mapping[str, Standby]


class Wish(NamedTuple):
    """The wishes of one sharer, and what it knows of itself.

    Attributes:
        path: of the instance.
        group: path of the group.
        name: of its standby.
        sharer: what its standby is to say; `ready` means the process alone.
        knows: it has seen the instance before.
        session: id of its session.
        sessions: ids of all sessions that its client has had.
        data: what the instance is to hold.
        gone: the instance is to be deleted, after it held `data`.
        force: it takes the instance from anybody but a mate.
        acl: of the instance and the standby.
        over: the patience that has come to its end.
    """

    path: str
    group: str
    name: str
    sharer: Sharer
    knows: bool
    session: int
    sessions: Collection[int]
    data: bytes
    gone: bool
    force: bool
    acl: Sequence[AccessEntry]
    over: Patience | None


class Step(NamedTuple):
    """A step to take.

    Attributes:
        state: of the registration, once there is nothing to write.
        writes: one transaction; look again after it.
        follow: processes whose end must be noticed.
        wait: look again when this patience is over.
        rival: who has the id, in words.
    """

    state: OwnedState
    writes: Sequence[Write] = ()
    follow: Sequence[Process] = ()
    wait: Patience | None = None
    rival: str = ""


def decide(wish: Wish, seen: Seen) -> Step:
    """Decide what one sharer does about what it sees."""
    mates = [
        standby.sharer
        for name, standby in seen.standbys.items()
        if name != wish.name and standby.sharer is not None and standby.sharer.is_mate_of(wish.sharer)
    ]
    able = [mate for mate in mates if not mate.leaving and not has_ended(mate.process)]
    own = seen.standbys.get(wish.name)
    if wish.sharer.leaving:
        return _leave(wish, seen, own, able)
    node = seen.node
    if node is not None and node.stat.ephemeral_owner == wish.session:
        writes = _standby(wish, own, ready=True)
        if node.data != wish.data:
            writes.append(SetData(wish.path, wish.data, node.stat.version))
        return Step(OwnedState.HELD, _guarded(wish, seen, writes))
    step = _judge(wish, seen)
    if step.state is not OwnedState.PENDING:
        return step._replace(writes=_standby(wish, own, ready=wish.knows))
    if not (wish.sharer.ready and wish.knows) and any(mate.ready for mate in able) and wish.over is not Patience.FIRST:
        writes = _standby(wish, own, ready=wish.knows)
        return Step(OwnedState.PENDING, writes, wait=Patience.FIRST)
    return Step(OwnedState.PENDING, _take(wish, seen, own))


def _judge(wish: Wish, seen: Seen) -> Step:
    """PENDING: the instance can be taken."""
    node = seen.node
    if node is None or node.stat.ephemeral_owner in wish.sessions:
        return Step(OwnedState.PENDING)
    found = holder(seen)
    sharer = None if found is None else found.sharer
    if sharer is not None and sharer.is_mate_of(wish.sharer) and not sharer.leaving and not has_ended(sharer.process):
        return Step(OwnedState.STANDBY, follow=[sharer.process])
    if wish.force:
        return Step(OwnedState.PENDING)
    if sharer is None:
        return Step(OwnedState.WAITING)
    if has_ended(sharer.process) or sharer.is_mate_of(wish.sharer):
        return Step(OwnedState.PENDING)
    rival = (
        f"processes at {sharer.address} of the machine with the boot id {sharer.process.machine}, while this is"
        f" {wish.sharer.address} of the machine {wish.sharer.process.machine}: only processes of one machine that"
        " advertise one address share a registration; give one of them another id"
    )
    return Step(OwnedState.WAITING, follow=[sharer.process], wait=Patience.RIVAL, rival=rival)


def holder(seen: Seen) -> Standby | None:
    """The standby of whoever holds the instance; None if it is not held by a sharer."""
    if seen.node is None:
        return None
    owner = seen.node.stat.ephemeral_owner
    return next((standby for standby in seen.standbys.values() if standby.session == owner), None)


def _take(wish: Wish, seen: Seen, own: Standby | None) -> list[Write]:
    writes: list[Write] = [] if seen.group is None else [SetData(wish.group, wish.name.encode(), seen.group.version)]
    writes += _standby(wish, own, ready=True) or [Check(f"{wish.group}/{wish.name}")]
    create = Create(wish.path, wish.data, wish.acl, EPHEMERAL)
    if seen.node is None:
        return [*writes, create]
    return writes + writes_to_replace(create, seen.node.stat, may_be_leaving=wish.force)


def _leave(wish: Wish, seen: Seen, own: Standby | None, able: Sequence[Sharer]) -> Step:
    node, path = seen.node, f"{wish.group}/{wish.name}"
    goodbye: list[Write] = [Delete(path)] if own is not None and own.session == wish.session else []
    if node is None or node.stat.ephemeral_owner != wish.session:
        return Step(OwnedState.RELEASED, goodbye)
    if able and wish.over is not Patience.MATE:
        follow = [mate.process for mate in able]
        return Step(OwnedState.HELD, _standby(wish, own, ready=True), follow, Patience.MATE)
    version = node.stat.version
    writes: list[Write] = []
    if node.data != wish.data:
        writes.append(SetData(wish.path, wish.data, version))
        version += 1
    if wish.gone:
        return Step(OwnedState.HELD, _guarded(wish, seen, [*writes, Delete(wish.path, version), *goodbye]))
    return Step(OwnedState.HELD, _guarded(wish, seen, _standby(wish, own, ready=True) + writes))


def _standby(wish: Wish, own: Standby | None, *, ready: bool) -> list[Write]:
    """The writes that make our standby as it is to be."""
    path = f"{wish.group}/{wish.name}"
    sharer = wish.sharer._replace(ready=wish.sharer.ready and ready)
    if own is not None and own.session == wish.session:
        return [] if own.sharer == sharer else [SetData(path, sharer.encode())]
    # A holder that leaves and has not seen us yet must look again.
    joins: list[Write] = [SetData(wish.group, wish.name.encode()), Create(path, sharer.encode(), wish.acl, EPHEMERAL)]
    return joins if own is None else [Delete(path), *joins]


def _guarded(wish: Wish, seen: Seen, writes: list[Write]) -> list[Write]:
    """The writes, bound to what was seen."""
    return [Check(wish.group, seen.group.version), *writes] if writes and seen.group is not None else writes
