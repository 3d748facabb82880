"""What is registered of an engine, what runs there, and those who call it."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Sequence
from http.client import HTTPException
from typing import Any, Self

from docker import APIClient
from docker.errors import DockerException
from requests.exceptions import RequestException

from tests.interop.docker.engine import Engine
from tests.support import LIMIT, wait_until
from zkdiscovery import Client, Instance, NoInstanceAvailable, Snapshot, Status

LABELS = {"zkdiscovery.name": "web"}
_PATIENCE = 5.0  # seconds for one attempt


def registered(client: Client, service: str = "web") -> set[str]:
    """The ids of the containers or tasks that are UP in ZooKeeper."""
    return {each.id.split(":")[1] for each in client.instances(service) if each.status is Status.UP}


def statuses(client: Client, service: str = "web") -> dict[str, Status]:
    """The statuses of the containers or tasks in ZooKeeper, by id."""
    return {each.id.split(":")[1]: each.status for each in client.instances(service)}


def healthy(engine: Engine) -> set[str]:
    """The ids of the containers that have our label and are healthy."""
    filters = ("--filter", "label=zkdiscovery.name=web", "--filter", "health=healthy", "--filter", "status=running")
    return set(engine.docker("ps", "--quiet", "--no-trunc", *filters).split())


def wait_truth(client: Client, engine: Engine, timeout: float = LIMIT) -> float:
    """Wait until exactly what is healthy is registered, and return how long that took.

    Containers that start meanwhile become healthy; so it is waited for those as well.
    """
    began = time.monotonic()
    wait_until(lambda: registered(client) == healthy(engine), timeout)
    return time.monotonic() - began


def wait_settled(engine: Engine) -> None:
    """Wait until no container is starting, and each that runs is healthy or not."""
    wait_until(lambda: not engine.docker("ps", "--quiet", "--filter", "health=starting"), 2 * LIMIT)


def run(
    engine: Engine,
    *options: str,
    labels: dict[str, str] | None = None,
    image: str = "web:1",
    arguments: Sequence[str] = (),
) -> str:
    """Run a container, and return its id."""
    given = [f"--label={key}={value}" for key, value in (LABELS if labels is None else labels).items()]
    return engine.docker("run", "--detach", *given, *options, image, *arguments)


class Churn:
    """Starts and stops of containers, one after the other on a thread of its own, in a `with` block.

    Args:
        engine: the engine.
        count: how many are started; almost as many are stopped.
        patient: it goes on when the engine has been away.
    """

    def __init__(self, engine: Engine, count: int, *, patient: bool = False) -> None:
        self._engine = engine
        self._count = count
        self._patience = 2 * LIMIT if patient else 0.0  # seconds for which the engine may be away
        self.done = 0
        self._thread = threading.Thread(target=self._run)
        self._failure: BaseException | None = None

    def _run(self) -> None:
        api = APIClient(self._engine.host, version="auto", timeout=60)
        started: list[str] = []
        try:
            for number in range(self._count):
                end = time.monotonic() + self._patience
                while not self._step(api, started, number):
                    assert time.monotonic() < end, "the engine does not answer"
                    time.sleep(0.1)
                self.done = number + 1
        except BaseException as error:
            self._failure = error
        finally:
            api.close()

    def _step(self, api: Any, started: list[str], number: int) -> bool:
        try:
            container = api.create_container("web:1", labels=LABELS)["Id"]
            api.start(container)
            started.append(container)
            if number % 3 == 0:
                api.kill(started.pop(0))
            elif len(started) > 4:
                api.remove_container(started.pop(0), force=True)
        except (DockerException, RequestException):
            if not self._patience:
                raise
            return False
        return True

    def wait(self) -> None:
        """Wait until all is done."""
        self._thread.join(10 * LIMIT)
        assert not self._thread.is_alive()
        if self._failure is not None:
            raise self._failure

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._thread.join(10 * LIMIT)


class Callers:
    """Calls of a service at a steady rate, in a `with` block; a failed attempt is tried on another instance.

    Args:
        client: the one that calls.
        rate: calls in a second.
        service: which one.
        threads: callers, which wait for an answer before they call again.
        word: the one of an answer by which answers are counted.
    """

    def __init__(self, client: Client, rate: float, service: str = "web", *, threads: int = 4, word: int = 0) -> None:
        self._service = client.discover(service)
        self._word = word
        self._pause = threads / rate
        self._over = threading.Event()
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()  # by the version, or by another word
        self.errors: list[BaseException] = []
        self.attempts: list[tuple[str, float, OSError]] = []  # that failed: whom, after how many seconds, and why
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    @property
    def seen(self) -> Snapshot:
        """What they choose from."""
        return self._service.snapshot

    def _run(self) -> None:
        due = time.monotonic()
        while not self._over.wait(max(0.0, due - time.monotonic())):
            due = max(due + self._pause, time.monotonic() - self._pause)
            attempts = 0

            def ask(instance: Instance) -> str:
                nonlocal attempts
                attempts += 1
                began = time.monotonic()
                try:
                    with urllib.request.urlopen(instance.url, timeout=_PATIENCE) as answer:
                        text: str = answer.read().decode()
                except OSError as error:
                    self.attempts.append((instance.id, time.monotonic() - began, error))
                    raise
                return text

            try:
                text = self._service.call(ask, retry_on=(OSError, HTTPException))
            except (OSError, HTTPException, NoInstanceAvailable) as error:
                self._count("failed", error)
            else:
                self._count("retried" if attempts > 1 else "first", text.split()[self._word])

    def _count(self, what: str, said: Any) -> None:
        with self._lock:
            self.counts[what] += 1
            if isinstance(said, BaseException):
                self.errors.append(said)
            else:
                self.answers[said] += 1

    def wait_answers(self, said: str, count: int = 20) -> None:
        """Wait for so many more of the answers that say this."""
        wanted = self.answers[said] + count
        wait_until(lambda: self.answers[said] >= wanted, 2 * LIMIT)

    def __enter__(self) -> Self:
        self._service.wait_ready(LIMIT)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(LIMIT)
        print(f"calls: {dict(self.counts)}, answers: {dict(self.answers)}, errors: {self.errors[:3]}")
        print(f"attempts that failed: {self.attempts[:5]}")
