"""Locks: mutexes and read-write locks, with leases and fences."""

from __future__ import annotations

from zkdiscovery.locks.base import LEAVE_TIMEOUT, WAIT, BaseLock, lock_queue
from zkdiscovery.locks.lock import Lock, ReadWriteLock
from zkdiscovery.locks.locks import Contender, Locks
from zkdiscovery.locks.methods import LockMethods
from zkdiscovery.locks.names import Kind, Layout, check_layout
from zkdiscovery.locks.place import MakeHold, Place

__all__ = [
    "LEAVE_TIMEOUT",
    "WAIT",
    "BaseLock",
    "Contender",
    "Kind",
    "Layout",
    "Lock",
    "LockMethods",
    "Locks",
    "MakeHold",
    "Place",
    "ReadWriteLock",
    "check_layout",
    "lock_queue",
]
