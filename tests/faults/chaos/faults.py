"""How each kind of fault is done. One method a kind; it returns when the fault is over.

What a fault exempts from the invariants is written into the history before it is done.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tests.faults.chaos.history import History, now
from tests.faults.chaos.leading import queue_of
from tests.faults.chaos.locking import QUEUES
from tests.faults.chaos.process import WorkerProcess
from tests.faults.chaos.schedule import Fault
from tests.faults.chaos.sharding import SHARD_NODES
from tests.faults.chaos.truth import Observatory
from tests.faults.links import FollowerLink
from tests.support import Truth
from zkdiscovery import Client, Status
from zkdiscovery.errors import NodeError
from zkdiscovery.session import Delete, Multi, SetData
from zkdiscovery.session.clock import lease_now
from zkdiscovery.testing import ZookeeperEnsemble, ZookeeperMember

REACT = 0.06  # seconds in which a process that goes on begins its term
MOVING = 1.0  # seconds in which a client moves to another server
GARBAGE = b'{"name": 7, "payload": [[[\xff\x00'


class Faults:
    """Does the faults of a schedule to an ensemble and its clients. Each fault runs on a thread of its own."""

    def __init__(
        self,
        ensemble: ZookeeperEnsemble,
        workers: Sequence[WorkerProcess],
        truth: Truth,
        observatory: Observatory,
        operator: Client,
        services: Sequence[str],
        elections: Sequence[str],
        history: History,
    ) -> None:
        self._ensemble, self._workers, self._history = ensemble, workers, history
        self._truth, self._observatory, self._operator = truth, observatory, operator
        self._services, self._elections = services, elections
        self.round = 0
        self.healing = threading.Event()  # the round is over: no fault lasts longer

    def perform(self, fault: Fault) -> None:
        """Do it. Whatever it meets is written into the history: an ensemble without quorum may refuse it."""
        outcome = "done"
        begin = now()
        try:
            getattr(self, f"_{fault.kind}")(fault)
        except Exception as error:  # the schedule goes on
            outcome = repr(error)[:300]
        self._history.write(
            "fault", kind=fault.kind, target=str(fault.target), begin=begin, end=now(), outcome=outcome,
            options=str(fault.options),
        )  # fmt: skip

    def _last(self, fault: Fault) -> None:
        self.healing.wait(fault.duration)

    # -- links of one client --

    def _links(self, fault: Fault, method: str, *arguments: Any) -> None:
        proxies = self._workers[fault.target].proxies
        for proxy in proxies:
            getattr(proxy, method)(*arguments)
        self._last(fault)
        if fault.duration:
            for proxy in proxies:
                proxy.heal()

    def _pause(self, fault: Fault) -> None:
        self._links(fault, "pause")

    def _blackhole(self, fault: Fault) -> None:
        self._links(fault, "blackhole")

    def _half_open(self, fault: Fault) -> None:
        self._links(fault, "half_open", fault.options["direction"])

    def _refuse(self, fault: Fault) -> None:
        self._links(fault, "refuse")

    def _drop(self, fault: Fault) -> None:
        self._links(fault, "drop")

    def _delay(self, fault: Fault) -> None:
        self._links(fault, "delay", fault.options["seconds"])

    def _lose_reply(self, fault: Fault) -> None:
        self._links(fault, "lose_reply", *fault.options["requests"])

    def _lose_request(self, fault: Fault) -> None:
        self._links(fault, "lose_request", *fault.options["requests"])

    def _reset_mid_frame(self, fault: Fault) -> None:
        self._links(fault, "reset_mid_frame", fault.options["direction"])

    # -- one client process --

    def _stop(self, fault: Fault) -> None:
        worker = self._workers[fault.target]
        worker.stop()
        self._last(fault)
        worker.resume()

    _stop_long = _stop

    def _set_limit(self, fault: Fault) -> None:
        self._workers[fault.target].tell("limit", number=fault.options["limit"])

    def _kill(self, fault: Fault) -> None:
        worker = self._workers[fault.target]
        worker.kill()
        self._last(fault)
        worker.start(round=self.round, quiet=self.healing.is_set())

    def _restart(self, fault: Fault) -> None:
        worker = self._workers[fault.target]
        if not worker.leave():
            self._history.write("defect", error=f"{worker.who} did not end in time")
        worker.start(round=self.round, quiet=self.healing.is_set())

    def _expire(self, fault: Fault) -> None:
        self._workers[fault.target].tell("expire")

    # -- operators --

    def _delete_candidate(self, fault: Fault) -> None:
        candidates = self._observatory.candidates(self._elections[fault.target])
        if candidates:  # mostly the leader
            place = 0 if fault.options["pick"] < 0.7 else int(fault.options["pick"] * len(candidates))
            self._history.write("exempt", fence=candidates[place]["fence"], of=queue_of(self._elections[fault.target]))
            self._truth.call(Delete(candidates[place]["path"]))

    def _delete_place(self, fault: Fault) -> None:
        self._delete_one(QUEUES[fault.target], fault.options["pick"])

    def _delete_shard(self, fault: Fault) -> None:
        """The place of an owner, or the node of a member, or the place of the assigner."""
        self._delete_one(SHARD_NODES[fault.target], fault.options["pick"])

    def _delete_one(self, queue: str, pick: float) -> None:
        places = self._observatory.places(queue)[queue]
        if places:  # mostly the first one, which holds the lock
            place = places[0 if pick < 0.7 else int(pick * len(places))]
            self._history.write("exempt", fence=place["fence"], of=queue)
            self._truth.call(Delete(place["path"]))

    def _pick_instance(self, fault: Fault) -> str | None:
        nodes = self._observatory.nodes(self._observatory.paths.service(self._services[fault.target]))
        return sorted(nodes)[int(fault.options["pick"] * len(nodes))][0] if nodes else None

    def _delete_instance(self, fault: Fault) -> None:
        if path := self._pick_instance(fault):
            self._truth.call(Delete(path))

    def _delete_service(self, fault: Fault) -> None:
        path = self._observatory.paths.service(self._services[fault.target])
        for tries_left in reversed(range(5)):  # owners come and go, and put back what is deleted
            children = [Delete(child) for child, _ in self._observatory.nodes(path)]
            try:
                self._truth.call(Multi([*children, Delete(path)]))
            except NodeError:
                if not tries_left:
                    raise
            else:
                return

    def _override(self, fault: Fault) -> None:
        if path := self._pick_instance(fault):
            service, name = path.split("/")[-2:]
            if fault.options["pick"] < 0.5:
                self._operator.override(service, name, status=Status.OUT_OF_SERVICE, timeout=3.0)
            else:
                self._operator.override(service, name, weight=77.0, timeout=3.0)
            self._last(fault)
            self._operator.clear_override(service, name, timeout=3.0)

    def _garbage(self, fault: Fault) -> None:
        if path := self._pick_instance(fault):
            self._truth.call(SetData(path, GARBAGE))

    # -- the ensemble --

    def _member(self, fault: Fault) -> ZookeeperMember:
        ensemble = self._ensemble
        return ensemble.leader(5.0) if fault.target == "leader" else ensemble.followers(5.0)[0]

    def _kill_member(self, fault: Fault) -> None:
        member = self._member(fault)
        member.kill()
        self._last(fault)
        member.restart(wait=False)

    def _pause_member(self, fault: Fault) -> None:
        member = self._member(fault)
        member.pause()
        self._last(fault)
        member.resume()

    def _kill_two(self, fault: Fault) -> None:
        """No quorum."""
        members = sorted(self._ensemble.members, key=lambda member: member.mode() == fault.target)[1:]
        for member in members:
            member.kill()
        self._last(fault)
        for member in members:
            member.restart(wait=False)

    def _pause_all(self, fault: Fault) -> None:
        """A machine that stands still, with all of the ensemble on it."""
        for member in self._ensemble.members:
            member.pause()
        self._last(fault)
        self._ensemble.heal()

    def _isolate(self, fault: Fault) -> None:
        self._ensemble.isolate(self._member(fault))
        self._last(fault)
        self._ensemble.heal()

    def _cut(self, fault: Fault) -> None:
        leader, followers = self._ensemble.leader(5.0), self._ensemble.followers(5.0)
        self._ensemble.cut(leader, followers[0])
        self._last(fault)
        self._ensemble.heal()

    def _rolling_restart(self, fault: Fault) -> None:
        self._ensemble.rolling_restart()

    def _restart_all(self, fault: Fault) -> None:
        self._ensemble.restart()

    def _trap(self, fault: Fault) -> None:
        """The leader of an election hears from a server that is cut off from the ensemble's leader, and no other."""
        candidates = self._observatory.candidates(self._elections[fault.target])
        worker = self._worker_of(candidates[0])
        leader, follower = self._confine(worker)
        self._ensemble.cut(leader, follower)
        self._last(fault)
        self._release(worker)

    def _drowse(self, fault: Fault) -> None:
        """Who comes next stands still, leads when it goes on, and is cut off with its server at once."""
        with self._drowsy(fault) as (worker, link):
            self._wake(worker, link)
            self.healing.wait(REACT)
            link.lose()
            self._last(fault)

    def _hold(self, fault: Fault) -> None:
        """As before, but what the ensemble's leader says to its server is held first; then nothing comes back."""
        held = fault.options["held"]
        with self._drowsy(fault) as (worker, link):
            resumed = self._wake(worker, link)
            self.healing.wait(REACT)
            link.hold_from_leader()
            self.healing.wait(held)
            link.wait_passed(resumed + held, held / 2)  # the proof of a lease, where it does not wait for the leader
            link.lose_to_leader()
            self._last(fault)

    @contextmanager
    def _drowsy(self, fault: Fault) -> Iterator[tuple[WorkerProcess, FollowerLink]]:
        """Stop who comes next in an election, and let its turn come. At the end it runs, and its links work."""
        election = self._elections[fault.target]
        first, second, *_ = self._observatory.candidates(election)
        worker = self._worker_of(second)
        leader, follower = self._confine(worker)
        try:
            worker.stop()
            self.healing.wait(fault.options["still"])
            self._history.write("exempt", fence=first["fence"], of=queue_of(election))
            self._truth.call(Delete(first["path"]))
            with FollowerLink(self._ensemble, follower, leader, second["path"]) as link:
                yield worker, link
        finally:  # also if the first has left meanwhile: a worker that stays stopped can't leave
            worker.resume()
            self._release(worker)

    def _wake(self, worker: WorkerProcess, link: FollowerLink) -> float:
        """Let it go on right after its server has reported to the leader; when, on the lease clock."""
        link.wait_report(1.0)
        worker.resume()
        return lease_now()

    def _worker_of(self, candidate: dict[str, Any]) -> WorkerProcess:
        return next(worker for worker in self._workers if f'"{worker.who}"' in candidate["data"])

    def _confine(self, worker: WorkerProcess) -> tuple[ZookeeperMember, ZookeeperMember]:
        """Let a worker reach one follower alone; the leader, and that follower."""
        ensemble = self._ensemble
        leader, followers = ensemble.leader(5.0), ensemble.followers(5.0)
        present = [m for m, proxy in zip(ensemble.members, worker.proxies, strict=True) if proxy.connections]
        follower = next((m for m in followers if m in present), followers[0])
        for member, proxy in zip(ensemble.members, worker.proxies, strict=True):
            if member is not follower:
                proxy.refuse()
        if follower not in present:
            self.healing.wait(MOVING)
        return leader, follower

    def _release(self, worker: WorkerProcess) -> None:
        self._ensemble.heal()
        for proxy in worker.proxies:
            proxy.heal()
