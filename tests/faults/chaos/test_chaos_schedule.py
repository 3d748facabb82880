"""The schedule is a pure function of the seed."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.faults.chaos.faults import Faults
from tests.faults.chaos.schedule import CLIENT_FAULTS, ENSEMBLE_FAULTS, OPERATOR_FAULTS, Round, plan_round

SIZES: dict[str, Any] = {"clients": 10, "services": 2, "elections": 3, "queues": 4, "shards": 14, "timeout": 4.0}


def rounds(seed: int, count: int) -> list[Round]:
    return [plan_round(seed, number, **SIZES) for number in range(1, count + 1)]


@given(st.integers(), st.integers(1, 10_000))
def test_the_same_seed_gives_the_same_round(seed: int, number: int) -> None:
    """A seed that found something finds it again."""
    assert plan_round(seed, number, **SIZES) == plan_round(seed, number, **SIZES)


@given(st.integers(), st.integers(1, 10))
def test_few_clients_have_few_faults(seed: int, clients: int) -> None:
    """No client has two faults at a time, however few there are."""
    faults = plan_round(seed, 1, **{**SIZES, "clients": clients}).faults
    struck = [fault.target for fault in faults if fault.kind in CLIENT_FAULTS]
    assert len(struck) == len(set(struck))
    assert all(0 <= int(client) < clients for client in struck)


def test_another_seed_gives_another_schedule() -> None:
    """No two runs are alike."""
    assert rounds(1, 5) != rounds(2, 5)


def test_every_kind_of_fault_comes_and_can_be_done() -> None:
    """Nothing in the tables is forgotten, on either side."""
    kinds = {fault.kind for plan in rounds(7, 300) for fault in plan.faults}
    assert kinds == {*CLIENT_FAULTS, *OPERATOR_FAULTS, *ENSEMBLE_FAULTS, "set_limit"}
    assert all(callable(getattr(Faults, f"_{kind}")) for kind in kinds)


@given(st.integers(), st.integers(1, 1000))
def test_a_round_is_as_it_should_be(seed: int, number: int) -> None:
    """In order, within its time, and no client is struck by two faults of its own that undo each other."""
    plan = plan_round(seed, number, **SIZES)
    begins = [fault.begin for fault in plan.faults]
    assert begins == sorted(begins)
    assert all(0.0 <= fault.begin <= 5.0 and 0.0 <= fault.duration <= 10.0 for fault in plan.faults)
    clients = [fault.target for fault in plan.faults if fault.kind in CLIENT_FAULTS]
    assert len(clients) == len(set(clients))
    assert all(0 <= client < 10 for client in clients)


def test_what_exposes_the_planted_bugs_is_frequent() -> None:
    """Leaders whose server is cut off for longer than a session, and links that are silent for longer than one."""
    for seed in range(20):
        faults = [fault for plan in rounds(seed, 26) for fault in plan.faults]  # what goes into five minutes
        assert sum(fault.kind == "trap" and fault.duration > 6.0 for fault in faults) >= 4
        assert sum(fault.kind in {"blackhole", "pause", "refuse"} and fault.duration > 4.5 for fault in faults) >= 3
