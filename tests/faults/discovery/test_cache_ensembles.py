"""Caches on an ensemble of three: members and leaders lost, no quorum, all down, all restarted one by one."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import pytest

from tests.faults.conftest import MakeEnsembleClient
from tests.faults.discovery.helpers import Observer, live, others, weights
from tests.integration.discovery.helpers import CODEC, Written, ids, make
from tests.support import LIMIT, Truth, core_of, wait_view
from zkdiscovery import Client, Guard, Service, Settings
from zkdiscovery.testing import FaultProxy, ZookeeperEnsemble, ZookeeperMember
from zkdiscovery.testing.wire import RawSession

NAMES = ("a", "b", "c", "d", "e")


@contextmanager
def service(hosts: str, namespace: str) -> Iterator[Written]:
    """The service, written over these members."""
    with Truth(hosts) as truth:
        yield Written(truth, namespace)


def picked(view: Service) -> set[str]:
    return {view.pick().id for _ in range(100)}


@pytest.fixture
def filled(ensemble: ZookeeperEnsemble, ensemble_namespace: str) -> dict[str, float]:
    """Instances that stand in ZooKeeper, with their weights."""
    with service(ensemble.hosts, ensemble_namespace) as payments:
        payments.add(*NAMES, weight=1.0)
    return dict.fromkeys(NAMES, 1.0)


@pytest.mark.parametrize("fault", ["killed", "paused", "isolated"])
def test_the_leader_is_lost(
    ensemble: ZookeeperEnsemble,
    ensemble_namespace: str,
    make_ensemble_client: MakeEnsembleClient,
    filled: dict[str, float],
    fault: str,
) -> None:
    """The client is connected to it. Stale or not, picks go on; then the cache is what the new leader says."""
    leader, followers = ensemble.leader(), others(ensemble)
    client, _ = make_ensemble_client(session_timeout=4.0)
    view = client.discover("payments").wait_ready(LIMIT, at_least=5)
    observer = Observer(view)
    if fault == "killed":
        leader.kill()
    elif fault == "paused":
        leader.pause()
    else:
        ensemble.isolate(leader)
    with service(",".join(member.hosts for member in followers), ensemble_namespace) as payments:
        payments.change("a", weight=2.0)
        payments.remove("b", "c")
        payments.add("c", "f", weight=2.0)
        assert picked(view) <= {*NAMES, "f"}
        truth = {"a": 2.0, "c": 2.0, "d": 1.0, "e": 1.0, "f": 2.0}
        wait_view(view, lambda snapshot: not snapshot.stale and weights(snapshot) == truth)
        payments.change("f", weight=3.0)
        wait_view(view, lambda snapshot: weights(snapshot) == {**truth, "f": 3.0})
    assert observer.backwards == []


@dataclass
class Served:
    """A client and its view, connected to a follower; all members can be reached."""

    follower: ZookeeperMember
    rest: str
    client: Client
    proxies: tuple[FaultProxy, ...]
    view: Service
    observer: Observer


@pytest.fixture
def served(ensemble: ZookeeperEnsemble, make_ensemble_client: MakeEnsembleClient, filled: dict[str, float]) -> Served:
    follower, other = others(ensemble)
    leader = ensemble.leader()
    client, proxies = make_ensemble_client(members=(follower, leader, other))
    for proxy in proxies[1:]:
        proxy.refuse()
    view = client.discover("payments").wait_ready(LIMIT, at_least=len(filled))
    for proxy in proxies[1:]:
        proxy.heal()
    return Served(follower, f"{leader.hosts},{other.hosts}", client, proxies, view, Observer(view))


def test_the_member_that_serves_the_client_is_killed(
    served: Served, ensemble_namespace: str, filled: dict[str, float]
) -> None:
    """Curator: ensemble member lost, session survives. What changed in between is not missed."""
    with service(served.rest, ensemble_namespace) as payments:
        served.follower.kill()
        payments.change("a", weight=2.0)
        payments.remove("b")
        payments.add("b", weight=2.0)
        wait_view(
            served.view, lambda snapshot: weights(snapshot) == {**filled, "a": 2.0, "b": 2.0} and live(served.view)
        )
    session = core_of(served.client).session
    assert (session.epoch, session.generation) == (1, 2)
    assert served.observer.backwards == []


def test_the_member_that_serves_the_client_is_cut_off(
    ensemble: ZookeeperEnsemble, served: Served, ensemble_namespace: str
) -> None:
    """Nobody can tell until the member gives up, `syncLimit` ticks later. Then the client finds another one."""
    ensemble.isolate(served.follower)
    start = time.monotonic()
    with service(served.rest, ensemble_namespace) as payments:
        payments.change("a", weight=2.0)
        payments.remove("b")
        wait_view(served.view, lambda snapshot: weights(snapshot) == {"a": 2.0, "c": 1.0, "d": 1.0, "e": 1.0})
    assert served.observer.backwards == []
    session = core_of(served.client).session
    assert session.server != served.proxies[0].address
    assert session.epoch == 1
    print(f"a follower that was cut off let go of its client {time.monotonic() - start:.1f} s later")


def test_without_quorum(
    ensemble: ZookeeperEnsemble,
    ensemble_namespace: str,
    make_ensemble_client: MakeEnsembleClient,
    filled: dict[str, float],
) -> None:
    """Two of three are down: the third hangs up. What is known serves on, and is right again with the second one."""
    client, _ = make_ensemble_client(session_timeout=4.0)
    view = client.discover("payments").wait_ready(LIMIT, at_least=5)
    gone = others(ensemble)
    for member in gone:
        member.kill()
    wait_view(view, lambda snapshot: snapshot.stale)
    assert picked(view) == set(NAMES)
    assert weights(view.snapshot) == filled
    gone[0].restart()
    wait_view(view, lambda snapshot: not snapshot.stale)
    with service(f"{gone[0].hosts}", ensemble_namespace) as payments:
        payments.remove("e")
    wait_view(view, lambda snapshot: ids(snapshot) == {"a", "b", "c", "d"} and not snapshot.suspects)


def test_all_members_go_down_and_four_of_five_owners_with_them(
    ensemble: ZookeeperEnsemble, ensemble_namespace: str, make_ensemble_client: MakeEnsembleClient
) -> None:
    """After the outage the sessions of the dead expire, one after the other: suspects, as designed."""
    path = f"{ensemble_namespace}/services/payments"
    with Truth(ensemble.hosts) as truth:
        truth.create(path)
    owner, _ = make_ensemble_client(session_timeout=10.0)
    owner.register("payments", 8080, id="alive", host="127.0.0.1").wait_registered(LIMIT)
    client, _ = make_ensemble_client(session_timeout=10.0, settings=Settings(guard=Guard(hold=30.0)))
    view = client.discover("payments").wait_ready(LIMIT)
    dead, leader = [], ensemble.leader()
    for name in NAMES[:4]:
        session = RawSession(leader.hosts, session_timeout=1.5)
        session.create(f"{path}/{name}", CODEC.encode(make("payments", name)), ephemeral=True)
        dead.append(session)
    view.wait_ready(LIMIT, at_least=5)
    for session in dead:
        session.disconnect()
    ensemble.restart()
    wait_view(view, lambda snapshot: len(snapshot.suspects) == 4)
    assert (ids(view.instances), ids(view.snapshot.suspects)) == ({"alive"}, set(NAMES[:4]))
    assert picked(view) == {"alive"}
    assert (core_of(client).session.epoch, core_of(owner).session.epoch) == (1, 1), "the living kept their sessions"
    assert not view.snapshot.stale


class Changes:
    """Changes a service all the time, over whatever member serves."""

    def __init__(self, truth: Truth, payments: Written) -> None:
        self._truth = truth
        self._payments = payments
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.made = 0
        self.state: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join(2 * LIMIT)

    def _run(self) -> None:
        for number in itertools.count(2):
            if self._over.wait(0.02):
                return
            name = NAMES[number % len(NAMES)]
            self._surely(f"{self._payments.path}/{name}", float(number), again=number % 3 == 0)
            self.made += 1

    def _surely(self, path: str, weight: float, *, again: bool) -> None:
        """Over broken connections, too: what is there is looked at before each try."""
        session = self._truth.session
        data = CODEC.encode(make("payments", path.rpartition("/")[2], weight=weight))

        def once(_deadline: float, _generation: int) -> None:
            node = self._truth.get(path)
            if node is None:
                self._truth.create(path, data)
            elif node.data != data and again:
                self._truth.delete(path)
                self._truth.create(path, data)
            elif node.data != data:
                self._truth.set(path, data)

        session.retry(once, 2 * LIMIT)
        self.state[path.rpartition("/")[2]] = weight


def test_a_rolling_restart_under_continuous_changes(
    ensemble: ZookeeperEnsemble,
    ensemble_namespace: str,
    make_ensemble_client: MakeEnsembleClient,
    filled: dict[str, float],
) -> None:
    """No change is missed, no session lost."""
    client, _ = make_ensemble_client(session_timeout=10.0)
    view = client.discover("payments").wait_ready(LIMIT, at_least=5)
    observer = Observer(view)
    with service(ensemble.hosts, ensemble_namespace) as payments:
        with Changes(payments.truth, payments) as changes:
            ensemble.rolling_restart()
        assert changes.made > 20
        wait_view(view, lambda snapshot: not snapshot.stale and weights(snapshot) == {**filled, **changes.state})
    assert observer.backwards == []
    assert core_of(client).session.epoch == 1
    print(f"{changes.made} changes, {client.slot.current().session.generation} connections")
