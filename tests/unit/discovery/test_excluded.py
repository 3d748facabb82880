"""What `exclude` takes: ids and instances, one or many; never silently nothing, never part of a text."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from zkdiscovery import Instance, NoInstanceAvailable, Service
from zkdiscovery.testing import StaticClient, static_client

INSTANCES = {name: Instance("payments", "127.0.0.1", 8000, id=name) for name in ("a", "ab", "b")}
A, AB, B = INSTANCES.values()

Picks = Callable[[Service, object], set[str]]


def by_pick(view: Service, exclude: object) -> set[str]:
    return {view.pick(exclude=exclude).id for _ in range(30)}  # type: ignore[arg-type]


def by_attempt(view: Service, exclude: object) -> set[str]:
    found = set()
    for _ in range(30):
        with view.attempt(exclude=exclude) as attempt:  # type: ignore[arg-type]
            found.add(attempt.instance.id)
    return found


both_ways = pytest.mark.parametrize("picks", [by_pick, by_attempt])


@pytest.fixture
def client() -> Iterator[StaticClient]:
    with static_client(payments=INSTANCES.values()) as client:
        yield client


@pytest.fixture(params=["round_robin", "p2c_ewma", "maglev"])
def view(client: StaticClient, request: pytest.FixtureRequest) -> Service:
    return client.discover("payments", balancer=request.param)


@both_ways
@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ((), {"a", "ab", "b"}),
        ([], {"a", "ab", "b"}),
        (frozenset(), {"a", "ab", "b"}),
        (["b"], {"a", "ab"}),
        ({"a", "b"}, {"ab"}),
        ([AB], {"a", "b"}),
        ((A, "b"), {"ab"}),
        ({"a": 1, "ab": 2}, {"b"}),
        ("ab", {"a", "b"}),
        ("abc", {"a", "ab", "b"}),
        (AB, {"a", "b"}),
        (["no such id"], {"a", "ab", "b"}),
    ],
)
def test_ids_and_instances_are_excluded(view: Service, picks: Picks, exclude: object, left: set[str]) -> None:
    assert picks(view, exclude) == left


def test_an_iterator_is_read_once(view: Service) -> None:
    assert view.pick(exclude=(name for name in ("a", "b"))).id == "ab"
    with view.attempt(exclude=iter([A, B])) as attempt:
        assert attempt.instance.id == "ab"
    with pytest.raises(NoInstanceAvailable, match="3 excluded"):
        view.pick(exclude=iter(INSTANCES))


@both_ways
@pytest.mark.parametrize("exclude", [None, 0, False, 7, b"a", [b"a"], [None], [("a",)], [A, 1], object], ids=repr)
def test_anything_else_is_refused(view: Service, picks: Picks, exclude: object) -> None:
    with pytest.raises(TypeError, match="exclude must be ids or instances: one, or an iterable of them: got "):
        picks(view, exclude)
