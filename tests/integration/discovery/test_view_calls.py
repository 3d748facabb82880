"""Picks, attempts and calls through a view, on a real server."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import MakeClient
from tests.integration.discovery.helpers import Written, ids
from tests.support import LIMIT, Truth, wait_view
from zkdiscovery import Instance, NoInstanceAvailable, Status


def test_endpoints_outlive_changes_of_weight_and_metadata(make_client: MakeClient, payments: Written) -> None:
    """What was learnt of an instance stays; a new incarnation starts from nothing."""
    payments.add("a", registered_at=1.0)
    view = make_client().discover("payments").wait_ready(LIMIT)
    before = view._endpoints._present["a"]
    with view.attempt() as attempt:
        attempt.fail()
    payments.change("a", registered_at=1.0, weight=3.0, metadata={"new": "yes"})
    wait_view(view, lambda snapshot: snapshot.instances[0].weight == 3.0)
    assert view._endpoints._present["a"] is before
    assert before.instance.metadata == {"new": "yes"}
    payments.change("a", registered_at=2.0)
    wait_view(view, lambda snapshot: snapshot.instances[0].registered_at == 2.0)
    assert view._endpoints._present["a"] is not before
    assert view._endpoints._present["a"].cost < before.cost


def test_what_was_learnt_of_an_instance_outlives_its_absence(make_client: MakeClient, payments: Written) -> None:
    """Its session expired and returned: no mass, so it was no suspect."""
    payments.add("a", "b", "c", "d", registered_at=1.0)
    view = make_client().discover("payments").wait_ready(LIMIT, at_least=4)
    before = view._endpoints._present["a"]
    for returns_at, same in ((1.0, True), (2.0, False)):
        payments.remove("a")
        wait_view(view, lambda snapshot: ids(snapshot) == {"b", "c", "d"})
        assert view.snapshot.suspects == ()
        payments.add("a", registered_at=returns_at)
        wait_view(view, lambda snapshot: len(snapshot) == 4)
        assert (view._endpoints._present["a"] is before) is same
        assert view._endpoints._present["a"].instance.registered_at == returns_at


def test_picks_follow_the_status(make_client: MakeClient, payments: Written) -> None:
    payments.add("a", "b")
    view = make_client().discover("payments").wait_ready(LIMIT, at_least=2)
    for status in (Status.DRAINING, Status.OUT_OF_SERVICE, Status.DOWN, Status.STARTING):
        payments.change("a", status=status)
        wait_view(view, lambda snapshot, status=status: {i.status for i in snapshot} == {status, Status.UP})
        assert {view.pick().id for _ in range(20)} == {"b"}
    payments.change("a")
    wait_view(view, lambda snapshot: {i.status for i in snapshot} == {Status.UP})
    assert {view.pick().id for _ in range(200)} == {"a", "b"}


def test_attempts(make_client: MakeClient, payments: Written) -> None:
    payments.add("a")
    view = make_client().discover("payments").wait_ready(LIMIT)
    endpoint = view._endpoints._present["a"]
    with view.attempt() as attempt:
        assert attempt.instance.id == "a"
        assert endpoint.in_flight == 1
        attempt.done()
        attempt.done()
        assert endpoint.in_flight == 0, "counts once"
    assert endpoint.in_flight == 0
    with pytest.raises(RuntimeError, match="can be entered once"), attempt:
        pass
    with pytest.raises(ZeroDivisionError), view.attempt():
        raise ZeroDivisionError
    assert endpoint.in_flight == 0
    with pytest.raises(NoInstanceAvailable, match="1 excluded"), view.attempt(exclude=["a"]):
        pass


def test_attempts_in_coroutines(make_client: MakeClient, payments: Written) -> None:
    payments.add("a")
    view = make_client().discover("payments").wait_ready(LIMIT)
    endpoint = view._endpoints._present["a"]
    cost = endpoint.cost

    async def cancelled() -> None:
        async with view.attempt() as attempt:
            assert attempt.instance.id == "a"
            assert endpoint.in_flight == 1
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert endpoint.in_flight == 0
    assert endpoint.cost == cost, "who gives up says nothing of the instance"


class Fails:
    """Fails with the errors given, one a call, and then answers with the instance's id."""

    def __init__(self, *errors: BaseException) -> None:
        self._errors = list(errors)
        self.called: list[str] = []

    def __call__(self, instance: Instance) -> str:
        self.called.append(instance.id)
        if self._errors:
            raise self._errors.pop(0)
        return instance.id


def test_a_call_is_repeated_on_another_instance(make_client: MakeClient, payments: Written) -> None:
    payments.add("a", "b", "c")
    view = make_client().discover("payments").wait_ready(LIMIT, at_least=3)
    for _ in range(5):
        fn = Fails(ConnectionError(), ConnectionError())
        assert view.call(fn, retry_on=ConnectionError) == fn.called[-1]
        assert sorted(fn.called) == ["a", "b", "c"]


def test_a_call_with_fewer_instances_than_attempts(make_client: MakeClient, payments: Written) -> None:
    payments.add("a")
    view = make_client().discover("payments").wait_ready(LIMIT)
    fn = Fails(ConnectionError(), ConnectionError())
    assert view.call(fn, retry_on=ConnectionError) == "a"
    assert fn.called == ["a", "a", "a"]


def test_a_call_ends_with_its_attempts(make_client: MakeClient, payments: Written) -> None:
    payments.add("a", "b", "c")
    view = make_client().discover("payments").wait_ready(LIMIT, at_least=3)
    fn = Fails(*[ConnectionError(str(number)) for number in range(5)])
    with pytest.raises(ConnectionError, match="1"):
        view.call(fn, retry_on=(ConnectionError, TimeoutError), attempts=2)
    assert len(set(fn.called)) == len(fn.called) == 2
    assert [endpoint.in_flight for endpoint in view._endpoints._present.values()] == [0, 0, 0]


def test_other_errors_and_late_ones_are_not_repeated(make_client: MakeClient, payments: Written) -> None:
    payments.add("a", "b")
    view = make_client().discover("payments").wait_ready(LIMIT, at_least=2)
    for fn, options in [
        (Fails(ValueError()), {"retry_on": ConnectionError}),
        (Fails(ValueError()), {}),
        (Fails(ValueError()), {"retry_on": ValueError, "attempts": 1}),
    ]:
        with pytest.raises(ValueError):
            view.call(fn, **options)  # type: ignore[arg-type]
        assert len(fn.called) == 1


def test_retries_have_a_budget(make_client: MakeClient, payments: Written) -> None:
    """A fifth of the calls and ten more: an overload is not multiplied."""
    payments.add("a", "b")
    view = make_client().discover("payments").wait_ready(LIMIT, at_least=2)
    calls, called = 100, 0
    for _ in range(calls):
        fn = Fails(*[ConnectionError()] * 3)
        with pytest.raises(ConnectionError):
            view.call(fn, retry_on=ConnectionError)
        called += len(fn.called)
    assert calls * 1.2 <= called <= calls * 1.2 + 10


def test_nothing_to_call(make_client: MakeClient, payments: Written, truth: Truth) -> None:
    truth.create(payments.path)
    view = make_client().discover("payments")
    wait_view(view, lambda snapshot: snapshot.loaded)
    fn = Fails()
    start = time.monotonic()
    with pytest.raises(NoInstanceAvailable, match="none is registered"):
        view.call(fn, retry_on=Exception)
    assert fn.called == []
    assert time.monotonic() - start < LIMIT / 2
    payments.add("a")
    view.wait_ready(LIMIT)
    assert view.call(Fails(*[ValueError()] * 2), retry_on=ValueError) == "a", "the budget was not touched"


def test_a_service_that_ends_during_a_call(make_client: MakeClient, payments: Written) -> None:
    """The caller sees the error of the call, not that there is nobody else."""
    payments.add("a")
    view = make_client().discover("payments").wait_ready(LIMIT)

    def last(instance: Instance) -> None:
        payments.remove("a")
        wait_view(view, lambda snapshot: len(snapshot) == 0)
        raise ConnectionError("the last one")

    with pytest.raises(ConnectionError, match="the last one"):
        view.call(last, retry_on=ConnectionError)


def test_calls_take_turns(make_client: MakeClient, payments: Written) -> None:
    """One pick a call: with two for each, round robin over two would always give the same one."""
    payments.add("a", "b")
    view = make_client().discover("payments", balancer="round_robin").wait_ready(LIMIT, at_least=2)
    called = [view.call(Fails()) for _ in range(10)]
    assert called.count("a") == called.count("b") == 5


def test_calls_that_make_no_sense(make_client: MakeClient) -> None:
    view = make_client().discover("payments")

    async def fn(instance: Instance) -> None: ...

    with pytest.raises(TypeError, match="async with attempt"):
        view.call(fn)
    with pytest.raises(ValueError, match="attempts must be an integer, 1 or more: got 0"):
        view.call(Fails(), attempts=0)


def test_picks_from_many_threads_while_the_service_changes(make_client: MakeClient, payments: Written) -> None:
    payments.add("a", "b", "c")
    view = make_client().discover("payments").wait_ready(LIMIT, at_least=3)
    stop = threading.Event()

    def pick() -> set[str]:
        picked: set[str] = set()
        while not stop.is_set():
            with view.attempt() as attempt:
                picked.add(attempt.instance.id)
        return picked

    with ThreadPoolExecutor(2) as pool:
        picks = [pool.submit(pick) for _ in range(2)]
        for number in range(8):
            payments.add(f"n{number}")
            payments.change("a", weight=float(number + 1))
        wait_view(view, lambda snapshot: len(snapshot) == 11)
        stop.set()
        assert {"a", "b", "c"} <= set().union(*(each.result(LIMIT) for each in picks))
    assert {endpoint.in_flight for endpoint in view._endpoints._present.values()} == {0}
