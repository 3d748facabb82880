"""What operators do to instances of others: set aside, weigh, remove. From any process, with or without the owner.

An override is written into the instance's own node with a version check. A live owner adopts it and keeps it over
expiries; consumers see its effect like any other change. Each write is safe to repeat, so it is repeated over lost
connections.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from zkdiscovery.codecs import Codec, Override
from zkdiscovery.errors import (
    AccessDenied,
    InvalidInstance,
    NodeChanged,
    NodeMissing,
    OperationTimeout,
    ZkDiscoveryError,
)
from zkdiscovery.model import Instance, Status, deadline_after
from zkdiscovery.session import Delete, GetData, Node, Session, SetData, Sync
from zkdiscovery.znodes import Paths

log = logging.getLogger("zkdiscovery.registration")


class Overrides:
    """An operator's writes through one client."""

    def __init__(self, session: Session, paths: Paths, codec: Codec) -> None:
        self._session = session
        self._paths = paths
        self._codec = codec

    def override(
        self, service: str, instance_id: str, status: Status | None, weight: float | None, timeout: float
    ) -> Instance:
        """Put `status` and `weight` above what the owner wants; None leaves that one to the owner."""
        if status is None and weight is None:
            raise InvalidInstance("give a status, a weight, or both; clear_override() takes an override away")

        def change(instance: Instance, known: Override | None) -> tuple[Instance, Override | None]:
            base = instance if known is None else known.below(instance)
            override = Override(
                status=None if status is None else Status(status),
                weight=None if weight is None else float(weight),
                base_status=base.status,
                base_weight=base.weight,
            )
            return override.above(base), override

        # For its checks: names, status and weight are refused before anything is read.
        Instance(
            service, "host", 1, id=instance_id, status=status or Status.UP, weight=1.0 if weight is None else weight
        )
        return self._rewrite(service, instance_id, change, timeout)

    def clear(self, service: str, instance_id: str, timeout: float) -> Instance:
        """Leave everything to the owner again."""

        def change(instance: Instance, known: Override | None) -> tuple[Instance, Override | None]:
            return instance if known is None else known.below(instance), None

        return self._rewrite(service, instance_id, change, timeout)

    def remove(self, service: str, instance_id: str, timeout: float) -> bool:
        """Delete the node, whoever owns it. True if it was there. A live owner comes back."""
        path = self._paths.instance(service, instance_id)
        deadline = deadline_after(timeout)
        tried = False
        known = 0  # last transaction before the first request that may have deleted it

        def once() -> bool:
            nonlocal tried, known
            self._session.wait_connected(max(0.0, deadline - time.monotonic()))
            self._session.call(Sync(path), deadline=deadline)
            if tried and self._created(path, deadline) > known:
                return True  # done by the try before, whose answer was lost; what stands there now came later
            if not tried:
                known = self._session.highest_zxid
            try:
                self._session.call(Delete(path), deadline=deadline)
            except NodeMissing:
                return tried  # gone by the try before, whose answer was lost, or never there
            except ZkDiscoveryError as error:
                tried = tried or error.outcome_unknown
                raise
            return True

        return self._session.retrying(timeout)(once)

    def _created(self, path: str, deadline: float) -> int:
        """The transaction that created a node; 0 if there is none, or we may not know."""
        try:
            node: Node = self._session.call(GetData(path), deadline=deadline)
        except (NodeMissing, AccessDenied):
            return 0
        return node.stat.czxid

    def _rewrite(
        self,
        service: str,
        instance_id: str,
        change: Callable[[Instance, Override | None], tuple[Instance, Override | None]],
        timeout: float,
    ) -> Instance:
        path = self._paths.instance(service, instance_id)
        deadline = deadline_after(timeout)

        def once() -> Instance:
            while True:
                self._session.wait_connected(max(0.0, deadline - time.monotonic()))
                # An instance that is registered may not be known to our server yet.
                self._session.call(Sync(path), deadline=deadline)
                node: Node = self._session.call(GetData(path), deadline=deadline)
                instance = self._codec.decode(service, instance_id, node.data)
                known = self._codec.read_override(node.data)
                wanted, override = change(instance, known)
                data = self._codec.encode(wanted, node.data, override)
                if data == node.data:  # also: written by the try before, whose answer was lost
                    return wanted
                try:
                    self._session.call(SetData(path, data, node.stat.version), deadline=deadline)
                except NodeChanged:
                    if time.monotonic() >= deadline:
                        raise OperationTimeout(f"{path} changed at each try for {timeout:g} s", path=path) from None
                    continue
                return wanted

        return self._session.retrying(timeout)(once)
