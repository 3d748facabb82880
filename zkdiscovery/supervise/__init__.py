"""Child processes: groups, guardians, signals, the first process of a container. Nothing of ZooKeeper."""

from __future__ import annotations

from zkdiscovery.supervise.child import Child, Ended, Exited, Stopped
from zkdiscovery.supervise.guardian import lease_now
from zkdiscovery.supervise.limited import LimitedCommand, Run, StatusLost
from zkdiscovery.supervise.signals import Signals
from zkdiscovery.supervise.supervision import reap_orphans, supervise
from zkdiscovery.supervise.terminal import Terminal

__all__ = [
    "Child",
    "Ended",
    "Exited",
    "LimitedCommand",
    "Run",
    "Signals",
    "StatusLost",
    "Stopped",
    "Terminal",
    "lease_now",
    "reap_orphans",
    "supervise",
]
