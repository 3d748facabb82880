"""What the fault tests of caches share: what an observer saw, what went over the wire, who is watched."""

from __future__ import annotations

import re
import struct
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.support import LIMIT, Recorder, core_of, join_feed
from zkdiscovery import Change, Client, Service, Snapshot
from zkdiscovery.session import GetData, Sync
from zkdiscovery.testing import FaultProxy, ZookeeperEnsemble, ZookeeperMember, ZookeeperServer
from zkdiscovery.testing.proxy.frames import KINDS
from zkdiscovery.testing.wire import four_letter_word

NAMES = {number: name for name, numbers in KINDS.items() for number in numbers}


class Tap:
    """Counts the requests that pass a proxy, by what they ask for; of one client, whose messages are short."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.requests: Counter[str] = Counter()
        self._skip = 0
        proxy.alter("client_to_server", self._note)

    def _note(self, chunk: bytes) -> bytes:
        at, self._skip = self._skip, max(0, self._skip - len(chunk))
        while at + 12 <= len(chunk):
            length, number, kind = struct.unpack_from(">iii", chunk, at)
            if number:
                self.requests[NAMES.get(kind, str(kind))] += 1
            else:
                self.requests["connect"] += 1
            at += 4 + length
            self._skip = max(0, at - len(chunk))
        return chunk


class Observer:
    """Follows a cache and sees each of its snapshots; asserts that each change fits to the one before.

    `weights` of instances grow with each write of the test, so that an older state shows itself by a smaller one.
    """

    def __init__(self, view: Service) -> None:
        self.changes: Recorder[Change] = Recorder()
        self.seen: dict[str, float] = {}
        self.backwards: list[str] = []
        self._known: dict[str, float] = {}
        join_feed(view, self)

    def follow(self, change: Change) -> None:
        """Called on the cache's worker."""
        for name, (_, new) in change.delta.items():
            if new is None:
                self._known.pop(name, None)
                continue
            if new.weight < self.seen.get(name, 0.0):
                self.backwards.append(f"{name}: {self.seen[name]} and then {new.weight}")
            self.seen[name] = self._known[name] = new.weight
        if self._known != weights(change.after):
            self.backwards.append(f"the changes add up to {self._known}, not to {weights(change.after)}")
        self.changes(change)


def weights(instances: Snapshot | tuple[Any, ...]) -> dict[str, float]:
    """Weight by id."""
    return {instance.id: instance.weight for instance in instances}


def live(view: Service) -> bool:
    """In contact with ZooKeeper, all read."""
    return not view.snapshot.stale


def quiesce(client: Client) -> None:
    """All that was committed before has been heard, read and told."""
    core = core_of(client)
    core.session.read(Sync("/"), timeout=LIMIT)
    core.session.read(GetData("/"), timeout=LIMIT)
    done = threading.Event()
    core.loader.worker.schedule(done, done.set, 0.25)  # behind the flush of a storm and its pause
    assert done.wait(LIMIT)


def watched_paths(server: ZookeeperServer) -> list[str]:
    """Paths that somebody watches, by the server itself."""
    return re.findall(r"^(/\S*)", four_letter_word(server.hosts.split(",")[0], "wchp"), re.MULTILINE)


def others(ensemble: ZookeeperEnsemble) -> tuple[ZookeeperMember, ...]:
    """All members but the leader; one that was healed a moment ago may be about to join."""
    leader = ensemble.leader()
    return tuple(member for member in ensemble.members if member is not leader)


def packets(server: ZookeeperServer) -> int:
    """Packets that the server has received since its start."""
    found = re.search(r"zk_packets_received\s+(\d+)", four_letter_word(server.hosts, "mntr"))
    assert found is not None
    return int(found[1])


def between(client: Client, kind: type, meddle: Callable[[], None]) -> None:
    """Call `meddle` once, on the cache's worker, before the client submits its next request of that kind."""
    session = core_of(client).session
    original = session.submit

    def submit(request: Any, **options: Any) -> Any:
        if isinstance(request, kind):
            session.submit = original  # type: ignore[method-assign]
            meddle()
        return original(request, **options)

    session.submit = submit  # type: ignore[method-assign]
