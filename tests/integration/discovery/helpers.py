"""Instances written behind the SDK's back, as other programs do."""

from __future__ import annotations

from typing import Any

from tests.support import Truth
from zkdiscovery import Instance
from zkdiscovery.codecs.curator import CuratorCodec
from zkdiscovery.session import Create, Multi

CODEC = CuratorCodec()
BATCH = 500  # nodes made by one transaction


def make(service: str, id: str, **fields: Any) -> Instance:
    """An instance whose port is the same as that of all others; its id tells it from them."""
    return Instance(service, "127.0.0.1", 8080, **{"id": id, "registered_at": 1_700_000_000.0, **fields})


class Written:
    """One service as it stands in ZooKeeper, for tests to change."""

    def __init__(self, truth: Truth, namespace: str, service: str = "payments") -> None:
        self.truth = truth
        self.service = service
        self.path = f"{namespace}/services/{service}"

    def add(self, *names: str, **fields: Any) -> None:
        """New nodes."""
        for name in names:
            self.truth.create(f"{self.path}/{name}", CODEC.encode(make(self.service, name, **fields)))

    def change(self, id: str, **fields: Any) -> None:
        """New data in an old node."""
        self.truth.set(f"{self.path}/{id}", CODEC.encode(make(self.service, id, **fields)))

    def remove(self, *names: str) -> None:
        """Without deregistering."""
        for name in names:
            self.truth.delete(f"{self.path}/{name}")

    def add_many(self, count: int) -> None:
        """As many nodes with metadata, in a few transactions."""
        self.truth.create(f"{self.path}")
        metadata = {f"key-{number}": f"value-{number}" for number in range(5)}
        acl = self.truth.session.leaf_acl
        nodes = [make(self.service, f"i{number:05}", metadata=metadata) for number in range(count)]
        creates = [Create(f"{self.path}/{instance.id}", CODEC.encode(instance), acl) for instance in nodes]
        for start in range(0, count, BATCH):
            self.truth.call(Multi(creates[start : start + BATCH]))


def ids(instances: Any) -> set[str]:
    """The ids of some instances."""
    return {instance.id for instance in instances}
