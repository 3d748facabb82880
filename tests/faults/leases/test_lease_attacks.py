"""A short share of `make leases`: the deadliest attacks, once each, and that they bite where the rule is wrong."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.leases.attack import ATTACKS, Attack, attempt
from tests.faults.leases.recorded import RecordedLease
from zkdiscovery.session import lease as lease_module
from zkdiscovery.testing import ZookeeperEnsemble, zookeeper_ensemble

T = 4.0  # seconds
TRIES = 4
STOPPED, HELD = "client stopped before its proof", "held, then lost"


def named(name: str) -> Attack:
    (attack,) = (attack for attack in ATTACKS if attack.name == name)
    return attack


@pytest.fixture(scope="module")
def members() -> Iterator[ZookeeperEnsemble]:
    """Three servers with a tick of T/8, which keep a follower that is cut off for longer than a session."""
    config = {"initLimit": "20", "syncLimit": "40"}
    with zookeeper_ensemble(source="local", tick_time_ms=500, config=config, notify=lambda _: None) as ensemble:
        yield ensemble


@pytest.fixture(autouse=True)
def _recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(lease_module, "Lease", RecordedLease)
    yield
    RecordedLease.all.clear()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", [STOPPED, HELD])
def test_a_lease_has_ended_when_the_next_one_begins(members: ZookeeperEnsemble, name: str) -> None:
    """And it begins all the same, though the candidate stood still before.

    It stands still for nearly a session. A machine that takes a few hundred milliseconds to let it go on ends its
    session, so that there is no lease, and nothing is shown but that none overlaps. Then it is tried again.
    """
    for number in range(TRIES):
        outcome = attempt(members, named(name), T, "new", f"test {number}")
        assert outcome.overlap < 0
        if outcome.won and outcome.lasted > 0.2 * T:  # it began, and was held until its deadline
            return
    pytest.fail(f"no lease in {TRIES} tries; the last one: {outcome}")


@pytest.mark.timeout(300)
def test_the_attack_bites_a_rule_that_assumes_what_it_has_not_measured(members: ZookeeperEnsemble) -> None:
    """Two leases that are valid at one time, within a few tries."""
    assert any(attempt(members, named(STOPPED), T, "old", f"test {number}").overlap > 0 for number in range(5))
