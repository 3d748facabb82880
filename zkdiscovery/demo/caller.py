"""The client's calls: threads that call the service through its balancer all the time, and keep count."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from typing import NamedTuple, Self

from zkdiscovery import Instance, Service
from zkdiscovery.errors import NoInstanceAvailable

THREADS = 2
PAUSE = 0.03  # seconds between two calls of a thread
CALL_TIMEOUT = 2.0  # seconds for each step of one HTTP request
RETRY_ON = (OSError, HTTPException)


class Totals(NamedTuple):
    """Calls that ended; attempts that were repeated on another instance; calls that failed for good."""

    calls: int = 0
    retried: int = 0
    failed: int = 0

    def since(self, before: Totals) -> Totals:
        """Return what came after `before`."""
        return Totals(*(now - then for now, then in zip(self, before, strict=True)))

    def __str__(self) -> str:
        return f"{self.calls} made, {self.retried} retried, {self.failed} failed"


class Counts(NamedTuple):
    """Calls to one instance: answered, failed, and how many seconds the last hundred answers took."""

    answered: int = 0
    failed: int = 0
    seconds: tuple[float, ...] = ()


NO_CALLS = Counts()


class Caller:
    """Calls until the end of the `with` block.

    Args:
        payments: the view to call through.
        notify: called after each call, with a line for people or an empty string.
    """

    def __init__(self, payments: Service, notify: Callable[[str], None]) -> None:
        self.totals = Totals()
        self._payments = payments
        self._notify = notify
        self._lock = threading.Lock()
        self._counts: dict[str, Counts] = {}
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, name=f"demo-caller-{number}", daemon=True) for number in range(THREADS)
        ]

    def start(self) -> None:
        """Start the threads that call."""
        for thread in self._threads:
            thread.start()

    def of(self, name: str) -> Counts:
        """The calls to one instance so far."""
        with self._lock:
            return self._counts.get(name, NO_CALLS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(2 * CALL_TIMEOUT)

    def _run(self) -> None:
        while not self._stop.wait(PAUSE):
            self._notify(self._call())

    def _call(self) -> str:
        """One call, through the balancer; returns what went wrong, if anything."""
        attempts: list[str] = []

        def fetch(instance: Instance) -> None:
            attempts.append(instance.id)
            began = time.monotonic()
            try:
                get(instance)
            except RETRY_ON:
                self._count(instance.id, None)
                raise
            self._count(instance.id, time.monotonic() - began)

        news = ""
        failed = False
        try:
            self._payments.call(fetch, retry_on=RETRY_ON)
        except (*RETRY_ON, NoInstanceAvailable) as error:
            failed = True
            news = f"a call failed: {error!r}"
        else:
            if len(attempts) > 1:
                news = f"a call failed on {', '.join(attempts[:-1])} and was repeated on {attempts[-1]}"
        with self._lock:
            calls, retries, failures = self.totals
            self.totals = Totals(calls + 1, retries + max(0, len(attempts) - 1), failures + failed)
        return news

    def _count(self, name: str, seconds: float | None) -> None:
        with self._lock:
            answered, failed, latest = self._counts.get(name, NO_CALLS)
            if seconds is None:
                self._counts[name] = Counts(answered, failed + 1, latest)
            else:
                self._counts[name] = Counts(answered + 1, failed, (*latest[-99:], seconds))


def get(instance: Instance) -> None:
    """One HTTP request over a connection of its own.

    Raises:
        OSError, HTTPException: not answered with status 200.
    """
    connection = HTTPConnection(instance.host, instance.port, timeout=CALL_TIMEOUT)
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            raise HTTPException(f"{instance.netloc} answered {response.status}")
    finally:
        connection.close()
