"""What elections need of their client."""

from __future__ import annotations

from typing import NamedTuple

from zkdiscovery.session import Session
from zkdiscovery.threads import Dispatcher, Worker
from zkdiscovery.znodes import Loader, OwnedNodes, Paths


class Room(NamedTuple):
    """What elections need of their client; another one after a fork."""

    session: Session
    nodes: OwnedNodes
    worker: Worker
    loader: Loader
    dispatcher: Dispatcher
    paths: Paths
