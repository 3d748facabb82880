"""tooz, whose groups are services and whose members are instances."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from typing import Any

from benchmarks.common import Bench
from zkdiscovery import Instance


def has_tooz(bench: Bench) -> bool:
    """Is it installed?"""
    found = importlib.util.find_spec("tooz") is not None
    if not found:
        bench.say("left out: tooz, which is not installed (extra `bench`)")
    return found


@contextlib.contextmanager
def tooz(hosts: str, namespace: str) -> Iterator[Any]:
    """A started coordinator; a group below `namespace` is a service."""
    from tooz import coordination  # noqa: PLC0415 - need not be there

    coordinator = coordination.get_coordinator(f"kazoo://{hosts}", b"benchmark", namespace=namespace.lstrip("/"))
    coordinator.start()
    try:
        yield coordinator
    finally:
        coordinator.stop()


def for_tooz(instance: Instance) -> bytes:
    """An instance as a member's capabilities."""
    from tooz import utils  # noqa: PLC0415 - need not be there

    capabilities = {"host": instance.host, "port": instance.port, "metadata": dict(instance.metadata)}
    data: bytes = utils.dumps(capabilities)
    return data


def tooz_members(coordinator: Any, group: str) -> dict[bytes, Any]:
    """All members with their capabilities: a read each."""
    return {
        member: coordinator.get_member_capabilities(group.encode(), member).get()
        for member in coordinator.get_members(group.encode()).get()
    }
