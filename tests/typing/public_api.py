"""What the type checker knows of the public names. Checked by test_typing.py, never run.

A line with `# type: ignore[code]` must be refused with that code: an ignore that is not needed is an error, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, assert_type

from zkdiscovery import (
    Attempt,
    Balancer,
    Candidate,
    Change,
    Client,
    Config,
    ConfigChange,
    ConfigReader,
    ConfigRejection,
    ConfigRevision,
    Draft,
    Election,
    Instance,
    KeyChange,
    Override,
    P2cEwma,
    Registration,
    RegistrationState,
    RoundRobin,
    Service,
    Settings,
    Snapshot,
    State,
    Status,
    Subscription,
    Term,
    ZkDiscoveryError,
    close_on_signals,
)
from zkdiscovery.testing import StaticClient, static_client

client = Client(
    "zk:2181", namespace="/shop", base_path="/discovery", zone=None, session_timeout=10.0, settings=Settings()
)
Client(2181)  # type: ignore[arg-type]
Client("zk:2181", "/shop")  # type: ignore[call-arg]


# -- the client --

assert_type(client.state, State)
assert_type(client.start(), Client)
assert_type(client.wait_connected(timeout=5.0), Client)
assert_type(client.on_change(lambda state: state.name), Subscription[State])
assert_type(client.service_names(), list[str])
assert_type(client.instances("payments"), list[Instance])
client.state = State.CLOSED  # type: ignore[misc]
with client as entered:
    assert_type(entered, Client)


class Derived(Client):
    """Methods that return the client return the derived one."""


assert_type(Derived().start(), Derived)
assert_type(Derived().wait_connected(), Derived)


def on_state(state: State) -> None: ...


def on_change(change: Change) -> None: ...


client.on_change(on_state)
client.on_change(on_change)  # type: ignore[arg-type]


# -- registration --

registration = client.register("payments", port=8080)
assert_type(registration, Registration)
assert_type(registration.instance, Instance)
assert_type(registration.state, RegistrationState)
assert_type(registration.error, ZkDiscoveryError | None)
assert_type(registration.wait_registered(timeout=5.0), Registration)
assert_type(registration.on_change(lambda r: r.state), Subscription[Registration])
registration.set_status(Status.UP)
registration.set_status("UP")
registration.set_status("ASLEEP")  # type: ignore[arg-type]
assert_type(registration.instance.override, Override | None)
assert_type(registration.instance.own, Instance)
client.register("payments", "8080")  # type: ignore[arg-type]
client.register("payments", 8080, ready="soon")  # type: ignore[arg-type]
client.register("payments", 8080, on_conflict="fight")  # type: ignore[arg-type]
with registration as held:
    assert_type(held, Registration)
assert_type(client.register_many([{"service": "payments", "port": 8080, "weight": 2.0}]), list[Registration])
client.register_many([{"service": "payments", "prot": 8080}])  # type: ignore[typeddict-unknown-key]


@client.registered("payments", port=8080)
def serve() -> int:
    return 1


@client.registered("payments", port=8080, weight=2.0)
def serve_with(registration: Registration) -> str:
    return registration.instance.netloc


@client.registered("payments", port=8080)  # type: ignore[arg-type]
def serve_two(registration: Registration, more: int) -> None: ...


@client.registered("payments", port=8080)  # type: ignore[arg-type]
def serve_wrongly(term: Term) -> None: ...


assert_type(serve(), int)
assert_type(serve_with(), str)
assert_type(serve_with, Callable[[], str])
serve_with(registration)  # type: ignore[call-arg]

assert_type(client.override("payments", "a", status=Status.OUT_OF_SERVICE, weight=None), Instance)
assert_type(client.override("payments", "a", status="OUT_OF_SERVICE"), Instance)
client.override("payments", "a", status="ASLEEP")  # type: ignore[arg-type]
assert_type(client.clear_override("payments", "a"), Instance)
assert_type(client.remove("payments", "a"), bool)


# -- discovery --

payments = client.discover("payments", balancer="p2c_ewma", where=lambda instance: instance.zone == "a")
assert_type(payments, Service)
assert_type(payments.wait_ready(timeout=5.0, at_least=2), Service)
assert_type(payments.instances, tuple[Instance, ...])
assert_type(payments.available, tuple[Instance, ...])
assert_type(payments.snapshot, Snapshot)
assert_type(payments.snapshot.rejected, Mapping[str, str])
assert_type(payments.pick(), Instance)
assert_type(payments.pick(key="user-7", exclude={"a"}), Instance)
payments.pick(exclude=[payments.pick(), "b"])
payments.pick(exclude=payments.pick())
payments.pick(exclude=None)  # type: ignore[arg-type]
payments.attempt(exclude=(1, 2))  # type: ignore[arg-type]
assert_type(payments.on_change(on_change), Subscription[Change])
assert_type(payments.changes(timeout=1.0), Iterator[Change])
payments.on_change(on_state)  # type: ignore[arg-type]
payments.instances.append(registration.instance)  # type: ignore[attr-defined]
client.discover("payments", where="zone")  # type: ignore[arg-type]
for change in payments.changes():
    assert_type(change.added, tuple[Instance, ...])
    assert_type(change.before, Snapshot)

with payments.attempt(key="user-7") as attempt:
    assert_type(attempt, Attempt)
    assert_type(attempt.instance, Instance)
    attempt.fail("slow")
    attempt.done(ValueError())


def charge(instance: Instance) -> float:
    return instance.weight


assert_type(payments.call(charge), float)
assert_type(payments.call(lambda instance: instance.url, retry_on=OSError, attempts=2, timeout=1.0), str)
payments.call(charge, retry_on=(OSError, ValueError))


def charge_in_time(instance: Instance, *, timeout: float) -> float:
    return instance.weight * timeout


assert_type(payments.call(charge_in_time, timeout=1.0), float)
payments.call(charge, retry_on="OSError")  # type: ignore[call-overload]
payments.call(serve_with)  # type: ignore[arg-type]

policy: Balancer = RoundRobin()
policy = P2cEwma()
client.discover("payments", balancer=policy)
client.discover("payments", balancer=7)  # type: ignore[arg-type]
instance = payments.pick()
instance.port = 8081  # type: ignore[misc]
assert_type(instance.tags, tuple[str, ...])
assert_type(instance.zone, str | None)
assert_type(instance.status, Status)


# -- election --

election = client.election("nightly-report", id=None, on_suspend="release")
assert_type(election, Election)
assert_type(election.term, Term | None)
assert_type(election.leader(), Candidate | None)
assert_type(election.candidates(), list[Candidate])
assert_type(election.on_change(lambda leader: leader), Subscription[Candidate | None])
client.election("nightly-report", on_suspend="maybe")  # type: ignore[arg-type]
with election as opened:
    assert_type(opened, Election)

with election.campaign(timeout=None) as term:
    assert_type(term, Term)
    assert_type(term.fence, int)
    assert_type(term.lost, bool)
    assert_type(term.remaining, float)
    assert_type(term.reason, str | None)
    assert_type(term.wait_lost(1.0), bool)
    term.lost = False  # type: ignore[misc]

for turn in election.terms():
    assert_type(turn, Term)


def lead(term: Term) -> str:
    return str(term.fence)


def on_leader(leader: Candidate) -> None: ...


election.start(lead)
election.start(charge)  # type: ignore[arg-type]
election.on_change(on_leader)  # type: ignore[arg-type]


@client.while_leader("nightly-report")
def work() -> int:
    return 1


@client.while_leader("nightly-report", id="me", on_suspend="hold")
def work_with(term: Term) -> str:
    return str(term.fence)


@client.while_leader("nightly-report")  # type: ignore[arg-type]
def work_two(term: Term, more: int) -> None: ...


assert_type(work(), int | None)
assert_type(work_with(), str | None)
assert_type(work_with, Callable[[], str | None])
work().bit_length()  # type: ignore[union-attr]


# -- configuration --


@dataclass
class Shop:
    timeout: float = 1.0


def on_shop(change: ConfigChange[Shop]) -> None:
    assert_type(change.before, Shop | None)
    assert_type(change.after, Shop)
    assert_type(change.keys, frozenset[str])


def on_other(change: ConfigChange[int]) -> None: ...


config = client.config("shop", Shop, layers=["base", "{zone}", "shop"], fallback="~/.cache/shop.json")
assert_type(config, Config[Shop])
assert_type(config.wait_ready(5).value, Shop)
assert_type(client.config("shop").value, dict[str, Any])
assert_type(config.rejected, ConfigRejection | None)
assert_type(config.revisions, Mapping[str, int])
assert_type(config.changes(), Iterator[ConfigChange[Shop]])
config.on_change(on_shop)
config.on_change(on_other)  # type: ignore[arg-type]
config.value = Shop()  # type: ignore[misc]

store = client.config_store("shop")
with store.edit("slow bank", expect=41) as draft:
    assert_type(draft, Draft)
    draft["timeout"] = 3
assert_type(store.replace({"timeout": 3}, "slow bank"), int)
store.replace({"timeout": 3})  # type: ignore[call-arg]
assert_type(store.history(), list[ConfigRevision])
assert_type(store.diff(40, 42), list[KeyChange])
assert_type(store.readers(), list[ConfigReader])
store.export("xml")  # type: ignore[arg-type]
with client.config_edit(["base", "shop"], "both") as drafts:
    assert_type(drafts["base"], Draft)


# -- beside it --

close_on_signals(client, timeout=10.0)
close_on_signals(election)  # type: ignore[arg-type]
assert_type(static_client(payments=["127.0.0.1:8001"]), StaticClient)
