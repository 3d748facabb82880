"""A clock that is set: ages, suspects and what balancers learnt go by clocks that can't be.

That no room reads the clock of the wall, but for the time of a registration, is shown in test_election_clocks.py.
"""

from __future__ import annotations

import time

import pytest

from tests.conftest import MakeClient
from tests.integration.discovery.helpers import Written, ids
from tests.support import LIMIT, core_of, wait_view
from zkdiscovery import Guard, Settings
from zkdiscovery.testing import FaultProxy

DAY = 86_400.0  # seconds


class WallClock:
    """`time.time()` as somebody sets it, for all of this process, kazoo included."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._offset = 0.0
        real, real_ns = time.time, time.time_ns
        monkeypatch.setattr(time, "time", lambda: real() + self._offset)
        monkeypatch.setattr(time, "time_ns", lambda: real_ns() + int(self._offset * 1e9))

    def set_by(self, seconds: float) -> None:
        self._offset += seconds


@pytest.mark.parametrize("seconds", [-DAY, DAY], ids=["back", "forward"])
def test_a_clock_that_is_set_changes_nothing(
    make_client: MakeClient,
    zkdiscovery_proxy: FaultProxy,
    payments: Written,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
) -> None:
    clock = WallClock(monkeypatch)
    payments.add("a", "b", "c", "d")
    client = make_client(
        zkdiscovery_proxy.address, session_timeout=2.0, settings=Settings(guard=Guard(hold=1.0, window=5.0))
    )
    view = client.discover("payments").wait_ready(LIMIT, at_least=4)
    for _ in range(30):  # calls to `a` fail: it is avoided from here on
        with view.attempt() as attempt:
            if attempt.instance.id == "a":
                attempt.fail("a test")
    assert "a" not in {view.pick().id for _ in range(50)}
    clock.set_by(seconds)
    assert "a" not in {view.pick().id for _ in range(50)}, "not forgiven a day later"

    zkdiscovery_proxy.refuse()
    wait_view(view, lambda snapshot: snapshot.stale)
    before, start = view.snapshot.age, time.monotonic()
    clock.set_by(seconds)
    after, took = view.snapshot.age, time.monotonic() - start
    assert 0.0 <= after - before <= took + 0.1

    payments.remove("a")  # the guard counts what vanished within its window
    zkdiscovery_proxy.heal()
    wait_view(view, lambda snapshot: not snapshot.stale and len(snapshot) == 3)
    clock.set_by(seconds)
    payments.remove("b", "c")
    snapshot = wait_view(view, lambda snapshot: ids(snapshot.suspects) == {"a", "b", "c"})
    suspected = time.monotonic()
    clock.set_by(seconds)
    assert ids(view.snapshot.suspects) == {"a", "b", "c"}, "not let go a day later"
    wait_view(view, lambda snapshot: not snapshot.suspects, 5.0)
    assert time.monotonic() - suspected > 0.5
    assert snapshot.instances == view.snapshot.instances
    assert core_of(client).session.epoch == 1, "no ping was missed, none sent too often to count"
