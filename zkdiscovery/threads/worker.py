"""Threads for small tasks of the SDK itself, each waiting at most once."""

from __future__ import annotations

import heapq
import logging
import math
import threading
import time
from collections.abc import Callable, Hashable
from contextlib import suppress

from zkdiscovery.errors import NoThreadAvailable
from zkdiscovery.threads.start import start_thread

log = logging.getLogger("zkdiscovery.threads")


class Worker:
    """Runs tasks one after another on a thread of its own, which starts with the first task.

    A task is known by its key: scheduling it again before it ran moves it forward if that is sooner and else does
    nothing, so the queue is no longer than there are keys. A task that raises is logged; the next one runs.

    Args:
        name: of the threads.
        threads: how many tasks may run at the same time. A further thread starts when a task begins while others wait.
    """

    def __init__(self, name: str, threads: int = 1) -> None:
        self._name = name
        self._limit = threads
        self._ready = threading.Condition()
        self._due: dict[Hashable, tuple[float, Callable[[], None]]] = {}
        self._heap: list[tuple[float, int, Hashable]] = []
        self._order = 0
        self._threads: list[threading.Thread] = []
        self._idle = 0  # threads that wait for a task
        self._timekeeper = math.inf  # when the thread wakes that waits for the next task; the other idle ones sleep on
        self._closed = False

    def start(self) -> None:
        """Start the thread now, so that `schedule` can't fail for the lack of one.

        Raises:
            NoThreadAvailable: the system has none to give.
        """
        with self._ready:
            if not self._threads and not self._closed:
                self._add_thread()

    def schedule(self, key: Hashable, task: Callable[[], None], delay: float = 0.0) -> None:
        """Run `task` in `delay` seconds, unless it is due sooner already. After close() nothing is taken.

        Raises:
            NoThreadAvailable: it has no thread yet, and the system has none to give. The task waits for the next call.
        """
        due = time.monotonic() + delay
        with self._ready:
            if self._closed:
                return
            known = self._due.get(key)
            sooner = known is None or known[0] > due
            if sooner:
                self._due[key] = (due, task)
                self._order += 1
                heapq.heappush(self._heap, (due, self._order, key))
            if not self._threads:
                self._add_thread()
            elif sooner and (self._heap[0][2] == key or not self._idle):  # else one waits for what is due before
                self._call_another()

    def cancel(self, key: Hashable) -> None:
        """Forget a task that waits; one that runs goes on."""
        with self._ready:
            self._due.pop(key, None)

    def close(self, timeout: float) -> bool:
        """Take nothing more, wait for the running task up to `timeout` seconds.

        Returns:
            True if no thread is left, but for the calling one.
        """
        end = time.monotonic() + timeout
        with self._ready:
            self._closed = True
            self._due.clear()
            self._heap.clear()
            threads = [thread for thread in self._threads if thread is not threading.current_thread()]
            self._ready.notify_all()
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def _add_thread(self) -> None:
        self._threads.append(start_thread(self._run, self._name))

    def _next(self) -> Callable[[], None] | None:
        with self._ready:
            while not self._closed:
                wake = math.inf
                while self._heap:
                    due, _, key = self._heap[0]
                    known = self._due.get(key)
                    if known is None or known[0] != due:  # cancelled, or moved forward
                        heapq.heappop(self._heap)
                        continue
                    if due > time.monotonic():
                        wake = due
                        break
                    heapq.heappop(self._heap)
                    del self._due[key]
                    if self._due:
                        self._call_another()
                    return known[1]
                self._sleep(wake)
            return None

    def _sleep(self, due: float) -> None:
        """Wait for a task, or until the next one is due, unless another thread does that already."""
        keeps_time = due < self._timekeeper
        if keeps_time:
            self._timekeeper = due
        self._idle += 1
        self._ready.wait(due - time.monotonic() if keeps_time else None)
        self._idle -= 1
        if keeps_time and self._timekeeper == due:
            self._timekeeper = math.inf

    def _call_another(self) -> None:
        """Let another thread see to the tasks that wait, while this one runs its task."""
        if self._idle:
            self._ready.notify()
        elif len(self._threads) < self._limit:
            with suppress(NoThreadAvailable):  # then they wait for this one
                self._add_thread()

    def _run(self) -> None:
        while (task := self._next()) is not None:
            try:
                task()
            except BaseException:
                log.exception("a task of %s failed", self._name)
            del task  # keep nothing alive while idle
