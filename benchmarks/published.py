"""Instances that are written behind the SDK's back, for its consumers to find."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from benchmarks.common import LIMIT, Bench
from tests.support import Truth
from zkdiscovery import Instance
from zkdiscovery.codecs.curator import CuratorCodec
from zkdiscovery.session import EPHEMERAL, Create, Delete, Multi, SetData, Write

BATCH = 500  # nodes written by one transaction
WINDOW = 4  # transactions in flight

Encode = Callable[[Instance], bytes]
encode_instance = CuratorCodec().encode


def metadata(index: int) -> dict[str, str]:
    """Five entries, one of which no other instance has: who shares what is equal can't share it as a whole."""
    return {**{f"key-{entry}": f"value-{entry}" for entry in range(4)}, "key-4": f"value-{index}"}


class Published:
    """The instances of one service, ephemeral nodes of one session, written behind the SDK's back.

    Args:
        truth: the session.
        namespace: where the service is.
        service: its name.
        encode: gives what is stored for an instance.
    """

    def __init__(
        self, truth: Truth, namespace: str, service: str = "payments", encode: Encode = encode_instance
    ) -> None:
        self.service = service
        self._encode = encode
        self.path = f"{namespace}/services/{service}"
        self._truth = truth
        truth.create(self.path)  # no container, which ZooKeeper would take away while it is empty

    def instance(self, index: int, **fields: Any) -> Instance:
        """Instance number `index`, with five entries of metadata."""
        host = f"10.{index >> 16 & 255}.{index >> 8 & 255}.{index & 255}"
        options = {"id": f"i{index:06}", "metadata": metadata(index), "registered_at": 1_700_000_000.0, **fields}
        return Instance(self.service, host, 8080, **options)

    def node(self, index: int) -> str:
        """Its path."""
        return f"{self.path}/i{index:06}"

    def data(self, index: int, **fields: Any) -> bytes:
        """What is stored for it."""
        return self._encode(self.instance(index, **fields))

    def add(self, *indices: int) -> None:
        """Create them, hundreds in one transaction."""
        acl = self._truth.session.leaf_acl
        self._write(Create(self.node(index), self.data(index), acl, EPHEMERAL) for index in indices)

    def add_singly(self, *indices: int) -> None:
        """Create them, each by itself, all at once."""
        acl = self._truth.session.leaf_acl
        self._submit([Create(self.node(index), self.data(index), acl, EPHEMERAL) for index in indices])

    def remove_singly(self, *indices: int) -> None:
        """Delete them, each by itself, all at once, without deregistering."""
        self._submit([Delete(self.node(index)) for index in indices])

    def change(self, *indices: int, **fields: Any) -> None:
        """Write other data into them."""
        self._write(SetData(self.node(index), self.data(index, **fields)) for index in indices)

    def remove(self, *indices: int) -> None:
        """Delete them, without deregistering."""
        self._write(Delete(self.node(index)) for index in indices)

    def _write(self, writes: Iterable[Write]) -> None:
        pending = list(writes)
        batches = [Multi(pending[start : start + BATCH]) for start in range(0, len(pending), BATCH)]
        for start in range(0, len(batches), WINDOW):
            self._submit(batches[start : start + WINDOW])

    def _submit(self, requests: Sequence[Write | Multi]) -> None:
        session, deadline = self._truth.session, time.monotonic() + LIMIT
        for future in [session.submit(request, deadline=deadline) for request in requests]:
            future.result(LIMIT)


@contextlib.contextmanager
def published(
    bench: Bench, namespace: str, count: int, service: str = "payments", encode: Encode = encode_instance
) -> Iterator[Published]:
    """A service with `count` instances, which are gone with the block."""
    with Truth(bench.hosts) as truth:
        instances = Published(truth, namespace, service, encode)
        instances.add(*range(count))
        yield instances
