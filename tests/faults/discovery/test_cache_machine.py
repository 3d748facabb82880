"""Whatever happens to a service and to the way to it, in any order: in the end the cache equals the truth, and on the
way no observer saw an instance go backwards.
"""

from __future__ import annotations

import itertools
import secrets
from contextlib import ExitStack, suppress

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from hypothesis.strategies import sampled_from

from tests.faults.discovery.helpers import Observer, quiesce, weights
from tests.integration.discovery.helpers import Written, ids
from tests.support import LIMIT, Recorder, Truth, core_of, wait_view
from zkdiscovery import Change, Client, Guard, SessionExpired, Settings
from zkdiscovery.testing import FaultProxy, ZookeeperServer, expire_session

names = sampled_from("abcd")

QUIET = 10.0  # seconds from the end of the last fault until all is seen; measured: less than one


class ServiceUnderFaults(RuleBasedStateMachine):
    """One service, one client behind a proxy, and what should be seen of it."""

    server: ZookeeperServer
    truth: Truth
    writes = itertools.count(1)

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.proxy = self.stack.enter_context(FaultProxy(self.server.hosts.split(",")[0]))
        namespace = f"{self.server.namespace}/{secrets.token_hex(4)}"
        self.payments = Written(self.truth, namespace)
        self.settled = True
        self.there: dict[str, float] = {}
        self.corrupt: set[str] = set()
        guard = Guard(hold=0.2)
        self.client = Client(
            self.proxy.address, namespace=namespace, session_timeout=2.0, settings=Settings(guard=guard)
        )
        self.stack.callback(self.client.close, 3.0)
        self.view = self.client.discover("payments")
        self.observer = Observer(self.view)
        self.by_callback: dict[str, float] = {}
        self.told: Recorder[Change] = Recorder()
        self.view.on_change(self.follow)

    def follow(self, change: Change) -> None:
        for instance in change.removed:
            self.by_callback.pop(instance.id)
        for instance in change.added:
            assert instance.id not in self.by_callback
            self.by_callback[instance.id] = instance.weight
        for instance in change.updated:
            assert instance.id in self.by_callback
            self.by_callback[instance.id] = instance.weight
        self.told(change)

    # -- the service --

    @rule(name=names)
    def write(self, name: str) -> None:
        weight = float(next(self.writes))
        if name in self.there or name in self.corrupt:
            self.payments.change(name, weight=weight)
            self.corrupt.discard(name)
        else:
            self.payments.add(name, weight=weight)
        self.there[name] = weight

    @rule(name=names)
    def delete(self, name: str) -> None:
        if name in self.there or name in self.corrupt:
            self.payments.remove(name)
            self.there.pop(name, None)
            self.corrupt.discard(name)

    @rule(name=names)
    def recreate(self, name: str) -> None:
        self.delete(name)
        self.write(name)

    @rule(name=names)
    def spoil(self, name: str) -> None:
        if name in self.there:
            self.truth.set(f"{self.payments.path}/{name}", b"{")
            del self.there[name]
            self.corrupt.add(name)

    @rule()
    def delete_the_parent(self) -> None:
        for name in (*self.there, *self.corrupt):
            self.payments.remove(name)
        self.there.clear()
        self.corrupt.clear()
        if self.truth.get(self.payments.path) is not None:
            self.truth.delete(self.payments.path)

    # -- the way to it --

    @rule()
    def drop(self) -> None:
        self.proxy.drop()

    @rule()
    def refuse(self) -> None:
        self.proxy.refuse()

    @rule()
    def be_seen_as_stale(self) -> None:
        self.proxy.refuse()
        wait_view(self.view, lambda snapshot: snapshot.stale, QUIET)

    @rule(direction=sampled_from(["client_to_server", "server_to_client"]))
    def silence(self, direction: str) -> None:
        self.proxy.half_open(direction)  # type: ignore[arg-type]

    @rule(fault=sampled_from(["lose_request", "lose_reply"]))
    def lose(self, fault: str) -> None:
        getattr(self.proxy, fault)()

    @rule(direction=sampled_from(["client_to_server", "server_to_client"]))
    def cut_a_message(self, direction: str) -> None:
        self.proxy.reset_mid_frame(direction)  # type: ignore[arg-type]

    @rule()
    def heal(self) -> None:
        self.proxy.heal()

    @rule()
    def expire(self) -> None:
        credentials = core_of(self.client).session.credentials
        if credentials is not None:
            with suppress(SessionExpired):  # it has expired already
                expire_session(credentials.session_id, credentials.password, self.server.hosts)

    # -- what must hold --

    @invariant()
    def never_backwards(self) -> None:
        assert self.observer.backwards == []

    @rule()
    def settle(self) -> None:
        """Mended, and everything heard: what is seen is the truth."""
        self.settled = False
        self.proxy.heal()
        self.client.wait_connected(LIMIT)
        wait_view(
            self.view,
            lambda snapshot: (
                not snapshot.stale and weights(snapshot) == self.there and set(snapshot.rejected) == self.corrupt
            ),
            QUIET,
        )
        quiesce(self.client)
        assert weights(self.view.snapshot) == self.there
        assert not ids(self.view.snapshot.suspects) & ids(self.view.snapshot)
        assert weights(tuple(self.client.instances("payments"))) == self.there
        self.told.wait(lambda _: self.by_callback == self.there)
        self.settled = True

    def teardown(self) -> None:
        with self.stack:
            if self.settled:  # or else it has failed, and is reported
                self.settle()
                self.never_backwards()


def test_a_cache_under_any_sequence_of_faults(zkdiscovery_server: ZookeeperServer, truth: Truth) -> None:
    """Curator: consistency of a cache after random operations with kills."""
    machine = type("Machine", (ServiceUnderFaults,), {"server": zkdiscovery_server, "truth": truth})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=6,
            stateful_step_count=30,
            derandomize=True,
            phases=[Phase.generate],  # a failure is told as it is: to shrink it takes minutes
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
