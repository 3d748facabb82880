"""One-off calls with time limits."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from tests.faults.chaos.history import History, now
from tests.faults.chaos.mood import Mood
from zkdiscovery import Client, ClientClosed, ZkDiscoveryError

PACE = 1.0  # seconds between two calls on the mean


class Caller:
    """Asks now and then, on a thread of its own, and records how long it takes."""

    def __init__(self, client: Client, config: dict[str, Any], history: History, mood: Mood, rng: Random) -> None:
        self._history, self._mood, self._rng = history, mood, rng
        self._services = config["services"]
        self._elections = [client.election(name) for name in config["elections"]]
        self._client = client

    def run(self) -> None:
        """Until the process ends."""
        while not self._mood.over:
            self._mood.pause(self._rng.expovariate(1 / PACE))
            name, call = self._choose()
            limit = self._rng.choice([0.0, 0.3, 1.0, 3.0])
            began = now()
            try:
                call(limit)
            except ClientClosed:
                return
            except ZkDiscoveryError as error:
                result = type(error).__name__
            else:
                result = "ok"
            self._history.write("call", name=name, begin=began, end=now(), limit=limit, result=result)

    def _choose(self) -> tuple[str, Callable[[float], object]]:
        service, election = self._rng.choice(self._services), self._rng.choice(self._elections)
        calls: dict[str, Callable[[float], object]] = {
            "instances": lambda limit: self._client.instances(service, timeout=limit),
            "service_names": lambda limit: self._client.service_names(timeout=limit),
            "leader": lambda limit: election.leader(timeout=limit),
            "candidates": lambda limit: election.candidates(timeout=limit),
            "wait_connected": self._client.wait_connected,
        }
        name = self._rng.choice(list(calls))
        return name, calls[name]
