"""Balancing as a view does it: ejection, slow start, zones and classification, and what `explain` says of them."""

from __future__ import annotations

import math
import os
import time

import pytest

from tests.conftest import MakeClient
from tests.integration.discovery.helpers import Written
from tests.support import LIMIT, feed_of, wait_view
from zkdiscovery import (
    Ejection,
    InstanceReport,
    InvalidSettings,
    Outcome,
    PreferZone,
    RoundRobin,
    Service,
    Status,
    Sticky,
)


def fail(view: Service, wanted: str, times: int = 5) -> None:
    """Calls of this instance that fail, among calls of the others that don't."""
    while times:
        with view.attempt() as attempt:
            if attempt.instance.id == wanted:
                attempt.fail("out of memory")
                times -= 1


def standing(view: Service, wanted: str) -> InstanceReport:
    (found,) = [each for each in view.explain() if each.instance.id == wanted]
    return found


def picked(view: Service) -> set[str]:
    return {view.pick().id for _ in range(100)}


@pytest.mark.parametrize("balancer", ["round_robin", "weighted", "least_in_flight"])
def test_an_instance_whose_calls_fail_is_ejected_and_explained(
    make_client: MakeClient, payments: Written, balancer: str
) -> None:
    payments.add("a", "b", "c", "d")
    view = make_client().discover("payments", balancer=balancer).wait_ready(LIMIT, at_least=4)
    assert {each.why for each in view.explain()} == {""}
    fail(view, "b")
    assert picked(view) == {"a", "c", "d"}
    b = standing(view, "b")
    assert not b.picked
    assert b.why == "ejected: 5 failures in a row, the last: out of memory"
    assert b.ejected_for is not None
    assert 9.0 < b.ejected_for <= 15.0
    assert (b.failures, b.failed_in_a_row, b.in_flight) == (5, 5, 0)
    assert b.latency is None, "what failures count as is no answer time"
    payments.change("b", weight=2.0)
    wait_view(view, lambda snapshot: any(instance.weight == 2.0 for instance in snapshot))
    assert picked(view) == {"a", "c", "d"}, "a change of its metadata forgets nothing"


def test_an_ejected_instance_comes_back_after_one_call(make_client: MakeClient, payments: Written) -> None:
    payments.add("a", "b", "c")
    rules = Ejection(base=0.01)
    view = make_client().discover("payments", balancer="round_robin", ejection=rules).wait_ready(LIMIT, at_least=3)
    fail(view, "b")
    end = time.monotonic() + LIMIT
    while standing(view, "b").ejected_for is not None:
        assert time.monotonic() < end
        with view.attempt():
            pass
    assert picked(view) == {"a", "b", "c"}


def test_no_ejection_if_it_is_not_wanted(make_client: MakeClient, payments: Written) -> None:
    payments.add("a", "b", "c")
    view = make_client().discover("payments", balancer="round_robin", ejection=None).wait_ready(LIMIT, at_least=3)
    fail(view, "b", 20)
    assert picked(view) == {"a", "b", "c"}


def test_a_restarted_instance_starts_anew(make_client: MakeClient, payments: Written) -> None:
    payments.add("a", "b", "c", registered_at=1.0)
    view = make_client().discover("payments", balancer="round_robin").wait_ready(LIMIT, at_least=3)
    fail(view, "b")
    payments.change("b", registered_at=2.0)
    wait_view(view, lambda snapshot: any(instance.registered_at == 2.0 for instance in snapshot))
    assert picked(view) == {"a", "b", "c"}
    assert standing(view, "b").failures == 0


def test_users_say_what_a_failure_is(make_client: MakeClient, payments: Written) -> None:
    payments.add("a", "b")

    def classify(error: BaseException | None) -> Outcome:
        return Outcome.SUCCESS if error is None or isinstance(error, KeyError) else Outcome.FAILURE

    view = make_client().discover("payments", classify=classify).wait_ready(LIMIT, at_least=2)
    for error in (KeyError, ValueError):
        for _ in range(3):
            with pytest.raises(error), view.attempt():
                raise error
            with pytest.raises(error):
                view.call(lambda instance, error=error: (_ for _ in ()).throw(error))
    assert sum(each.successes for each in view.explain()) == 6
    assert sum(each.failures for each in view.explain()) == 6


def test_slow_start(make_client: MakeClient, payments: Written) -> None:
    payments.add("a", registered_at=1.0)
    payments.add("b", registered_at=time.time())
    view = make_client().discover("payments", balancer="round_robin", slow_start=3600.0)
    view.wait_ready(LIMIT, at_least=2)
    part = sum(view.pick().id == "b" for _ in range(2000)) / 2000
    assert part < 0.15
    b = standing(view, "b")
    assert (b.picked, b.why) == (True, "slow start")
    assert b.weight == pytest.approx(0.1, abs=0.02)
    assert standing(view, "a").weight == 1.0


def test_the_zone_of_the_client(make_client: MakeClient, payments: Written) -> None:
    payments.add("a", "b", zone="eu-1a")
    payments.add("c", "d", zone="eu-1b")
    client = make_client(zone="eu-1b")
    near = client.discover("payments", balancer="prefer_zone").wait_ready(LIMIT, at_least=4)
    assert picked(near) == {"c", "d"}
    nested = client.discover("payments", balancer=Sticky(PreferZone(then=RoundRobin()))).wait_ready(LIMIT, at_least=4)
    assert picked(nested) in ({"c"}, {"d"})
    other = client.discover("payments", balancer=PreferZone("eu-1a")).wait_ready(LIMIT, at_least=4)
    assert picked(other) == {"a", "b"}


def test_explaining_who_is_not_picked(make_client: MakeClient, payments: Written) -> None:
    payments.add("a", "b", "d")
    payments.add("c", weight=0.0)
    payments.change("b", status=Status.DRAINING)
    view = make_client().discover("payments", where=lambda instance: instance.id != "d")
    assert view.explain() == ()
    wait_view(view, lambda snapshot: len(snapshot) == 4)
    assert [(each.instance.id, each.picked, each.why) for each in view.explain()] == [
        ("a", True, ""),
        ("b", False, "DRAINING"),
        ("c", False, "weight 0: only if nothing else is left"),
        ("d", False, "not accepted by `where`"),
    ]


@pytest.mark.parametrize(
    "preferences", [{"slow_start": -1.0}, {"slow_start": math.nan}, {"ejection": True}, {"balancer": "best"}]
)
def test_preferences_that_cannot_be_used(make_client: MakeClient, preferences: dict[str, object]) -> None:
    with pytest.raises(InvalidSettings, match=r"must be|no balancer 'best'\. There are 'p2c_ewma'"):
        make_client().discover("payments", **preferences)  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_knows_no_ejections_of_its_parent(make_client: MakeClient, payments: Written) -> None:
    payments.add("a", "b", "c")
    view = make_client().discover("payments", balancer="round_robin").wait_ready(LIMIT, at_least=3)
    feed = feed_of(view)
    with view.attempt():  # under way at the fork
        fail(view, "b")
        child = os.fork()
        if not child:
            code = 1
            try:
                view._attach = lambda _core, _view: feed  # no connection: the known instances serve
                code = 0 if picked(view) == {"a", "b", "c"} else 2
            finally:
                os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert picked(view) == {"a", "c"}
