"""A member in this process, and what it consumes."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Self

from tests.support import LIMIT, Recorder
from zkdiscovery import Client, Shard

NAME = "orders"


class Consuming:
    """A member on a thread of its own. A shard is consumed until it is lost, and `finish` permits the end.

    Attributes:
        shards: of the client.
        begun: the shards whose consumers have begun, in order.
        ended: those whose consumers have ended.
        held: what `on_change` told.
        finish: cleared, consumers don't end though they must.
        error: what `run` raised.
    """

    def __init__(self, client: Client, count: int | None, weight: float) -> None:
        self.client = client
        self.shards = client.shards(NAME, count, weight=weight)
        self.begun: Recorder[Shard] = Recorder()
        self.ended: Recorder[Shard] = Recorder()
        self.held: Recorder[tuple[int, ...]] = Recorder()
        self.finish = threading.Event()
        self.finish.set()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self.shards.on_change(self.held)

    def consume(self, shard: Shard) -> None:
        """Consume a shard."""
        self.begun(shard)
        shard.wait_lost(None)
        assert self.finish.wait(LIMIT)
        self.ended(shard)

    def wait_held(self, wanted: int | set[int] | Callable[[set[int]], bool], timeout: float = LIMIT) -> set[int]:
        """Wait until so many shards are held, or these."""

        def as_wanted(held: tuple[int, ...]) -> bool:
            if callable(wanted):
                return wanted(set(held))
            return len(held) == wanted if isinstance(wanted, int) else set(held) == wanted

        return set(self.held.wait(lambda told: bool(told) and as_wanted(told[-1]), timeout)[-1])

    def present(self) -> Counter[int]:
        """How many consumers of each shard run."""
        counts = Counter(shard.number for shard in self.begun.items)
        counts.subtract(shard.number for shard in self.ended.items)
        return +counts

    def _run(self) -> None:
        try:
            self.shards.run(self.consume)
        except BaseException as error:
            self.error = error

    def join(self) -> None:
        """Wait until `run` has returned."""
        self._thread.join(LIMIT)
        assert not self._thread.is_alive()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.finish.set()
        self.shards.close()
        self.join()
