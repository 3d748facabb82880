"""The name of a source, which marks what its bridges write, and the ids of what they write."""

from __future__ import annotations

import hashlib
import time
from typing import NamedTuple

from zkdiscovery.bridges.source import Imported
from zkdiscovery.model import Instance


class Key(NamedTuple):
    """One instance in ZooKeeper."""

    service: str
    id: str


def source_name(kind: str, identity: str) -> str:
    """Return the name of a source: `docker-8f43b2c1d5e6a790`.

    It is made of what the source is, not of a name that people give and copy, so two sources never have one name.
    """
    return f"{kind}-{hashlib.sha256(f'{kind} {identity}'.encode()).hexdigest()[:16]}"


def to_instance(source: str, imported: Imported) -> Instance:
    """Return the instance that stands for what a source knows.

    Its id is made of the source, the object and the port, so it names one instance, whatever else changes.

    Raises:
        InvalidName: the service or the id can't be a znode.
        InvalidInstance: another field is out of range.
    """
    return Instance(
        imported.service,
        imported.address,
        imported.port,
        id=f"{source.rpartition('-')[2]}:{imported.object_id}:{imported.port}",
        ports=imported.ports,
        tls_port=imported.tls_port,
        status=imported.status,
        weight=imported.weight,
        zone=imported.zone,
        version=imported.version,
        tags=tuple(imported.tags),
        metadata=imported.metadata,
        source=source,
    )


def above(standing: Instance | None, wanted: Instance) -> Instance:
    """Return what is to stand in ZooKeeper: what is wanted, with an operator's override and the time of before.

    Args:
        standing: what stands there now; None: nothing.
        wanted: what the source says.
    """
    since = None if standing is None else standing.registered_at
    wanted = wanted.with_(registered_at=round(time.time(), 3) if since is None else since)
    override = None if standing is None else standing.override
    return wanted if override is None else override.above(wanted)


def is_run_of(registered: str, runtime: str) -> bool:
    """Return True if a registration that names `registered` was made in `runtime`, or in a part of it."""
    return registered == runtime or registered.startswith(f"{runtime}/")
