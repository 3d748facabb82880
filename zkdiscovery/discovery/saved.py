"""The last known instances of a view in a file, from which a process starts while ZooKeeper can't be reached.

Threads: the one that makes the view reads. The cache's worker offers snapshots; a worker of this feature writes the
last one, at most once a second, because a disk may be slow.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import time

from zkdiscovery.codecs import Codec
from zkdiscovery.core import Core, Feature, Phase
from zkdiscovery.errors import ZkDiscoveryError
from zkdiscovery.lifecycle import PrivateFile
from zkdiscovery.model import Snapshot
from zkdiscovery.threads import Worker

log = logging.getLogger("zkdiscovery.discovery")

FORMAT = 1
MOST = 64 * 1024 * 1024  # bytes
DELAY = 1.0  # seconds from a change to the file


class SavedView:
    """The file of one view.

    Args:
        path: of the file.
        service: name of the service.
        where: path of the service in ZooKeeper; the file of another one is not used.
        codec: writes and reads instances.
    """

    def __init__(self, path: str | os.PathLike[str], service: str, where: str, codec: Codec) -> None:
        self._file = PrivateFile(path, f"the fallback file of the view of {service!r},", log)
        self._service = service
        self._where = where
        self._codec = codec
        self._latest: Snapshot | None = None  # not written yet

    def load(self) -> Snapshot | None:
        """Return what was saved, as stale; None if there is nothing that can be used. Never raises."""
        data = self._file.read(MOST)
        if data is None:
            return None
        try:
            found = json.loads(data)
            if found["format"] != FORMAT or found["path"] != self._where:
                raise ValueError("it is of another service")
            instances = tuple(
                self._codec.decode(self._service, name, base64.b64decode(encoded))
                for name, encoded in found["instances"].items()
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, ZkDiscoveryError) as error:
            self._file.refuse(repr(error))
            return None
        return Snapshot(self._service, instances=instances, loaded=True, stale_since=time.monotonic())

    def offer(self, snapshot: Snapshot, worker: Worker) -> None:
        """Save a snapshot soon. What is stale is not saved, nor is it in a hurry."""
        if not snapshot.stale:
            self._latest = snapshot
            worker.schedule(self, self._save, DELAY)

    def _save(self) -> None:
        snapshot, self._latest = self._latest, None
        if snapshot is None:
            return
        encoded: dict[str, str] = {}
        for instance in (*snapshot.instances, *snapshot.suspects):
            try:
                encoded[instance.id] = base64.b64encode(self._codec.encode(instance)).decode()
            except ZkDiscoveryError as error:  # a codec that writes less than it reads
                log.debug("%r is left out of the fallback file: %s", instance.id, error)
        content = {"format": FORMAT, "path": self._where, "instances": encoded}
        self._file.write(json.dumps(content).encode())


class SavedViews(Feature):
    """What writes the files of one client's views."""

    phase = Phase.VIEWS

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        self.worker = Worker("zkdiscovery-fallback")

    def begin_close(self, deadline: float) -> None:  # noqa: ARG002 - it is quick
        self.worker.close(0.0)

    def close(self, deadline: float) -> None:
        self.worker.close(max(0.0, deadline - time.monotonic()))
