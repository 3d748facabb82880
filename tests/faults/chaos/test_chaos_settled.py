"""What counts as settled: what processes say, against what ZooKeeper holds."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.chaos.settled import find_problems

Change = Callable[[dict[str, Any], dict[str, Any]], None]


def instance(by: str, **fields: Any) -> dict[str, Any]:
    return {"by": by, "life": 1, "nonce": 1, "seq": 3, "status": "UP", "weight": 1.0, "registered_at": 5.0, **fields}


def claim(by: str, id: str, state: str, *, twin: bool = False) -> dict[str, Any]:
    return {**instance(by), "service": "alpha", "id": id, "state": state, "twin": twin, "mode": "wait"}


def state(
    session: int,
    claims: list[dict[str, Any]],
    instances: dict[str, Any],
    term: int | None,
    shards: dict[str, int],
) -> dict[str, Any]:
    cache = {"loaded": True, "stale": False, "suspects": [], "rejected": [], "instances": instances}
    return {
        "round": 4, "busy": 0, "session": session, "wanted": claims, "caches": {"alpha": cache}, "terms": {"one": term},
        "waits": [], "shards": shards,
    }  # fmt: skip


def settled() -> tuple[dict[str, Any], dict[str, Any]]:
    """ZooKeeper, and the reports of two processes: each has an instance and a shard, and they share a third id."""
    nodes = {
        "w1-a": {"owner": 1, "instance": instance("w1")},
        "w2-a": {"owner": 2, "instance": instance("w2")},
        "twin": {"owner": 2, "instance": instance("w2")},
    }
    instances = {name: node["instance"] for name, node in nodes.items()}
    queue = [{"fence": 10, "owner": 1, "data": "w1"}, {"fence": 20, "owner": 2, "data": "w2"}]
    truth = {
        "services": {"alpha": nodes}, "elections": {"one": queue}, "queues": {"locks/mutex": []},
        "shards": {"zero": [{"fence": 30, "owner": 1}], "first": [{"fence": 40, "owner": 2}]},
        "sharers": {"members": [{"owner": 2}, {"owner": 1}], "assigner": [{"owner": 1}, {"owner": 2}]},
    }  # fmt: skip
    first = [claim("w1", "w1-a", "REGISTERED"), claim("w1", "twin", "WAITING", twin=True)]
    second = [claim("w2", "w2-a", "REGISTERED"), claim("w2", "twin", "REGISTERED", twin=True)]
    return truth, {
        "w1.1": state(1, first, dict(instances), 10, {"zero": 30}),
        "w2.1": state(2, second, dict(instances), None, {"first": 40}),
    }


def categories(truth: dict[str, Any], states: dict[str, Any]) -> set[str]:
    """Those with problems."""
    return {name for name, problems in find_problems(truth, states, ["w1.1", "w2.1"], 4).items() if problems}


def test_all_is_well() -> None:
    """The history that the others break."""
    assert not categories(*settled())


def test_a_twin_that_stands_back_for_good() -> None:
    """CONFLICT is final: after the other one left, nobody holds the id, and no node stands."""
    truth, states = settled()
    del truth["services"]["alpha"]["twin"]
    for report in states.values():
        del report["caches"]["alpha"]["instances"]["twin"]
    states["w1.1"]["wanted"][1]["state"] = "CONFLICT"
    states["w2.1"]["wanted"].pop()
    assert not categories(truth, states)


def _late_report(_truth: Any, states: Any) -> None:
    states["w1.1"]["round"] = 3


def _busy(_truth: Any, states: Any) -> None:
    states["w1.1"]["busy"] = 1


def _missing(truth: Any, states: Any) -> None:
    del truth["services"]["alpha"]["w1-a"]
    for report in states.values():
        del report["caches"]["alpha"]["instances"]["w1-a"]


def _foreign_owner(truth: Any, _states: Any) -> None:
    truth["services"]["alpha"]["w1-a"]["owner"] = 9


def _not_registered(_truth: Any, states: Any) -> None:
    states["w1.1"]["wanted"][0]["state"] = "PENDING"


def _older(truth: Any, states: Any) -> None:
    old = instance("w1", seq=2)
    truth["services"]["alpha"]["w1-a"]["instance"] = old
    for report in states.values():
        report["caches"]["alpha"]["instances"]["w1-a"] = old


def _two_holders(_truth: Any, states: Any) -> None:
    states["w1.1"]["wanted"][1]["state"] = "REGISTERED"


def _foreign_twin(truth: Any, _states: Any) -> None:
    truth["services"]["alpha"]["twin"]["owner"] = 1


def _waits_in_vain(_truth: Any, states: Any) -> None:
    states["w2.1"]["wanted"].pop()


def _unwanted(_truth: Any, states: Any) -> None:
    states["w1.1"]["wanted"].pop(0)


def _stale(_truth: Any, states: Any) -> None:
    states["w2.1"]["caches"]["alpha"]["stale"] = True


def _not_loaded(_truth: Any, states: Any) -> None:
    states["w2.1"]["caches"]["alpha"]["loaded"] = False


def _listed_and_gone(_truth: Any, states: Any) -> None:
    states["w2.1"]["caches"]["alpha"]["instances"]["w3-a"] = instance("w3")


def _not_listed(_truth: Any, states: Any) -> None:
    del states["w2.1"]["caches"]["alpha"]["instances"]["w1-a"]


def _listed_as_before(_truth: Any, states: Any) -> None:
    states["w2.1"]["caches"]["alpha"]["instances"]["w1-a"] = instance("w1", registered_at=4.0)


def _suspected_and_there(_truth: Any, states: Any) -> None:
    states["w2.1"]["caches"]["alpha"]["suspects"] = ["w1-a"]


def _nobody_leads(_truth: Any, states: Any) -> None:
    states["w1.1"]["terms"]["one"] = None


def _two_lead(_truth: Any, states: Any) -> None:
    states["w2.1"]["terms"]["one"] = 20


def _the_second_leads(_truth: Any, states: Any) -> None:
    states["w1.1"]["terms"]["one"], states["w2.1"]["terms"]["one"] = None, 20


def _no_candidate(truth: Any, _states: Any) -> None:
    truth["elections"]["one"] = []


def _waits_for_ever(_truth: Any, states: Any) -> None:
    states["w1.1"]["waits"] = ["locks/mutex"]


def _left_behind(truth: Any, _states: Any) -> None:
    truth["queues"]["locks/mutex"] = ["/locks/mutex/_c_1-lock-0000000001"]


def _nobody_owns(truth: Any, states: Any) -> None:
    states["w1.1"]["shards"] = {}
    truth["shards"]["zero"] = []


def _two_own(_truth: Any, states: Any) -> None:
    states["w1.1"]["shards"]["first"] = 41


def _another_place(truth: Any, _states: Any) -> None:
    truth["shards"]["zero"][0]["fence"] = 50


def _waits_for_a_shard(truth: Any, _states: Any) -> None:
    truth["shards"]["zero"].append({"fence": 50, "owner": 2})


def _member_missing(truth: Any, _states: Any) -> None:
    truth["sharers"]["members"].pop()


def _assigner_twice(truth: Any, _states: Any) -> None:
    truth["sharers"]["assigner"].append({"owner": 2})


def _uneven(truth: Any, states: Any) -> None:
    truth["shards"] |= {"second": [{"fence": 60, "owner": 2}], "third": [{"fence": 70, "owner": 2}]}
    states["w2.1"]["shards"] |= {"second": 60, "third": 70}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (_late_report, {"reports", "unwanted", "leaders", "shards"}),
        (_busy, {"reports"}),
        (_missing, {"registrations"}),
        (_foreign_owner, {"registrations"}),
        (_not_registered, {"registrations"}),
        (_older, {"registrations"}),
        (_two_holders, {"twins"}),
        (_foreign_twin, {"twins"}),
        (_waits_in_vain, {"twins"}),
        (_unwanted, {"unwanted"}),
        (_stale, {"caches"}),
        (_not_loaded, {"caches"}),
        (_listed_and_gone, {"caches"}),
        (_not_listed, {"caches"}),
        (_listed_as_before, {"caches"}),
        (_suspected_and_there, {"caches"}),
        (_nobody_leads, {"leaders"}),
        (_two_lead, {"leaders"}),
        (_the_second_leads, {"leaders"}),
        (_no_candidate, {"leaders"}),
        (_waits_for_ever, {"waiters"}),
        (_left_behind, {"orphans"}),
        (_nobody_owns, {"shards"}),
        (_two_own, {"shards"}),
        (_another_place, {"shards"}),
        (_waits_for_a_shard, {"shards"}),
        (_member_missing, {"shards"}),
        (_assigner_twice, {"shards"}),
        (_uneven, {"shards"}),
    ],
)
def test_what_is_not_as_it_should_be(change: Change, found: set[str]) -> None:
    """Each way to differ is a problem of its category."""
    truth, states = copy.deepcopy(settled())
    change(truth, states)
    assert categories(truth, states) == found
