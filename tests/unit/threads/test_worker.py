"""The thread for small tasks: each waits at most once, the sooner time wins, nothing a task does ends it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.support import LIMIT, Recorder, wait_until
from zkdiscovery.threads import Worker

FAR = 3600.0  # seconds


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker("test-worker")
    yield worker
    assert worker.close(LIMIT)


class Gate:
    """A task that holds the worker until it is opened."""

    def __init__(self, worker: Worker) -> None:
        self._entered, self._leave = threading.Event(), threading.Event()
        worker.schedule(self, self._hold)
        assert self._entered.wait(LIMIT)

    def _hold(self) -> None:
        self._entered.set()
        assert self._leave.wait(LIMIT)

    def open(self) -> None:
        self._leave.set()


def test_a_task_waits_at_most_once(worker: Worker) -> None:
    recorder: Recorder[str] = Recorder()
    gate = Gate(worker)
    for _ in range(1000):
        worker.schedule("same", lambda: recorder("same"))
    worker.schedule("last", lambda: recorder("last"))
    gate.open()
    recorder.wait(lambda items: items == ["same", "last"])


def test_a_task_scheduled_while_it_runs_runs_again(worker: Worker) -> None:
    """What came in while it ran is not lost."""
    recorder: Recorder[int] = Recorder()

    def task() -> None:
        if len(recorder.items) < 3:
            worker.schedule("same", task)
        recorder(len(recorder.items))

    worker.schedule("same", task)
    recorder.wait(lambda items: items == [0, 1, 2, 3])


def test_the_sooner_time_wins(worker: Worker) -> None:
    recorder: Recorder[str] = Recorder()
    worker.schedule("a", lambda: recorder("far"), FAR)
    worker.schedule("a", lambda: recorder("now"))
    recorder.wait(lambda items: items == ["now"])
    gate = Gate(worker)
    worker.schedule("b", lambda: recorder("first"))
    worker.schedule("b", lambda: recorder("never"), FAR)
    gate.open()
    recorder.wait(lambda items: items == ["now", "first"])


def test_tasks_run_in_the_order_of_their_times(worker: Worker) -> None:
    recorder: Recorder[str] = Recorder()
    gate = Gate(worker)
    worker.schedule("b", lambda: recorder("b"), 0.02)
    worker.schedule("a", lambda: recorder("a"), 0.01)
    worker.schedule("c", lambda: recorder("c"), 0.03)
    gate.open()
    recorder.wait(lambda items: items == ["a", "b", "c"])


def test_a_cancelled_task_does_not_run_and_may_come_again(worker: Worker) -> None:
    recorder: Recorder[str] = Recorder()
    gate = Gate(worker)
    worker.schedule("a", lambda: recorder("cancelled"))
    worker.cancel("a")
    worker.cancel("unknown")
    worker.schedule("b", lambda: recorder("b"))
    worker.schedule("a", lambda: recorder("a"))
    gate.open()
    recorder.wait(lambda items: items == ["b", "a"])


def test_a_task_that_raises_is_logged_and_the_next_one_runs(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    recorder: Recorder[str] = Recorder()
    gate = Gate(worker)

    def fail() -> None:
        raise ValueError("a defect")

    worker.schedule("a", fail)
    worker.schedule("b", lambda: recorder("b"))
    gate.open()
    recorder.wait(lambda items: items == ["b"])
    assert "a task of test-worker failed" in caplog.text
    assert "a defect" in caplog.text


def test_closing_waits_for_the_running_task_and_forgets_the_others() -> None:
    worker = Worker("test-worker")
    ran = []
    gate = Gate(worker)
    worker.schedule("a", lambda: ran.append("waiting"))
    assert not worker.close(0.0), "a task still runs"
    worker.schedule("b", lambda: ran.append("late"))
    gate.open()
    assert worker.close(LIMIT)
    assert ran == []


def test_a_task_may_close_its_worker() -> None:
    worker = Worker("test-worker")
    recorder: Recorder[bool] = Recorder()
    worker.schedule("a", lambda: recorder(worker.close(LIMIT)))
    recorder.wait(lambda items: items == [True])
    assert worker.close(LIMIT)


def test_no_thread_without_a_task() -> None:
    before = threading.active_count()
    worker = Worker("test-worker")
    worker.cancel("a")
    assert threading.active_count() == before
    assert worker.close(0.0)


def test_a_task_that_waits_already_wakes_nobody(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a storm of events each of them asks for the same task."""
    worker.schedule("same", lambda: None, FAR)
    woken: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr(worker._ready, "notify", lambda: woken.append(1))
        for _ in range(100):
            worker.schedule("same", lambda: None, FAR)
    assert woken == []


def test_threads_that_were_idle_share_what_comes_at_once() -> None:
    """One thread was woken for all of it, so a task that takes long held up the others."""
    worker = Worker("test-worker", threads=4)
    try:
        for _ in range(2):  # in the second round all threads are there, and idle
            together = threading.Barrier(4)
            done: Recorder[int] = Recorder()

            def task(number: int, together: threading.Barrier = together, done: Recorder[int] = done) -> None:
                together.wait(LIMIT)
                done(number)

            for number in range(4):
                worker.schedule(number, lambda number=number, task=task: task(number))
            done.wait(lambda items: len(items) == 4)
    finally:
        assert worker.close(LIMIT)


def test_of_the_idle_threads_one_keeps_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them woke up for each task."""
    worker = Worker("test-worker", threads=4)
    try:
        gates = [Gate(worker) for _ in range(4)]
        worker.schedule("far", lambda: None, FAR)
        timed: list[bool] = []
        wait = worker._ready.wait

        def noted(timeout: float | None = None) -> bool:
            timed.append(timeout is not None)
            return wait(timeout)

        monkeypatch.setattr(worker._ready, "wait", noted)
        for gate in gates:
            gate.open()
        wait_until(lambda: len(timed) == 4)
        assert sum(timed) == 1
        ran: Recorder[str] = Recorder()
        for number in range(20):
            worker.schedule(number, lambda: ran("soon"), 0.01 * number)
        ran.wait(lambda items: len(items) == 20)
    finally:
        assert worker.close(LIMIT)
