"""Operators' writes to instances of other processes: status, weight, removal. The owner may be there or not.

An override is written into the instance's own node with a version check. An owner that uses this SDK adopts it as soon
as it reads it, and keeps it over expiries for as long as its registration lives. Others know no overrides: an owner
with Java writes its own status again at its next write or after an expiry. Consumers see an override's effect like any
other change. Each write is safe to repeat, so it is repeated over lost connections.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from zkdiscovery.core import Core, Feature
from zkdiscovery.errors import (
    AccessDenied,
    NodeChanged,
    NodeMissing,
    OperationTimeout,
    ZkDiscoveryError,
)
from zkdiscovery.model import Instance, Override, Status, StatusName, check_status
from zkdiscovery.session import Delete, GetData, Node, SetData, Sync

log = logging.getLogger("zkdiscovery.registration")


class Overrides(Feature):
    """An operator's writes through one client."""

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        self._session = core.session
        self._paths = core.paths
        self._codec = core.codec

    def override(
        self,
        service: str,
        instance_id: str,
        status: Status | StatusName | None,
        weight: float | None,
        timeout: float,
    ) -> Instance:
        """Put `status` and `weight` above what the owner wants; None leaves that one to the owner."""
        override = Override(None if status is None else check_status(status), weight)
        return self._rewrite(service, instance_id, lambda instance: override.above(instance.own), timeout)

    def clear(self, service: str, instance_id: str, timeout: float) -> Instance:
        """Leave everything to the owner again."""
        return self._rewrite(service, instance_id, lambda instance: instance.own, timeout)

    def remove(self, service: str, instance_id: str, timeout: float) -> bool:
        """Delete the node, whoever owns it. True if it was there. A live owner registers again."""
        path = self._paths.instance(service, instance_id)
        tried = False
        known = 0  # last transaction before the first request that may have deleted it

        def once(deadline: float, _generation: int) -> bool:
            nonlocal tried, known
            self._session.call(Sync(path), deadline=deadline)
            if tried:
                created = self._created(path, deadline)
                # An earlier attempt did it, and its answer was lost. The next node would be a newer one.
                if created is None or created > known:
                    return True
            else:
                known = self._session.highest_zxid
            try:
                self._session.call(Delete(path), deadline=deadline)
            except NodeMissing:
                return tried  # gone by the try before, whose answer was lost, or never there
            except ZkDiscoveryError as error:
                tried = tried or error.outcome_unknown
                raise
            return True

        return self._session.retry(once, timeout)

    def _created(self, path: str, deadline: float) -> int | None:
        """The transaction that created a node; None if there is none, 0 if we may not know."""
        try:
            node: Node = self._session.call(GetData(path), deadline=deadline)
        except NodeMissing:
            return None
        except AccessDenied:
            return 0
        return node.stat.czxid

    def _rewrite(
        self,
        service: str,
        instance_id: str,
        change: Callable[[Instance], Instance],
        timeout: float,
    ) -> Instance:
        path = self._paths.instance(service, instance_id)

        def once(deadline: float, _generation: int) -> Instance:
            while True:
                # An instance that is registered may not be known to our server yet.
                self._session.call(Sync(path), deadline=deadline)
                node: Node = self._session.call(GetData(path), deadline=deadline)
                wanted = change(self._codec.decode(service, instance_id, node.data))
                data = self._codec.encode(wanted, node.data)
                if data == node.data:  # also: written by the try before, whose answer was lost
                    return wanted
                try:
                    self._session.call(SetData(path, data, node.stat.version), deadline=deadline)
                except NodeChanged:
                    if time.monotonic() >= deadline:
                        raise OperationTimeout(f"{path} changed at each try for {timeout:g} s", path=path) from None
                    continue
                return wanted

        return self._session.retry(once, timeout)
