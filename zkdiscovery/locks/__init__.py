"""Locks: mutexes, read-write locks and semaphores, with leases and fences."""

from __future__ import annotations

from zkdiscovery.locks.base import LEAVE_TIMEOUT, WAIT, BaseLock, BaseReadWriteLock, lock_queue
from zkdiscovery.locks.limit import Limit
from zkdiscovery.locks.lock import Lock, ReadWriteLock
from zkdiscovery.locks.locks import Contender, Locks, Standing
from zkdiscovery.locks.methods import LockMethods
from zkdiscovery.locks.names import Kind, Layout, check_layout, is_reader, number_of
from zkdiscovery.locks.place import MakeHold, Place
from zkdiscovery.locks.semaphore import BaseSemaphore, Semaphore

__all__ = [
    "LEAVE_TIMEOUT",
    "WAIT",
    "BaseLock",
    "BaseReadWriteLock",
    "BaseSemaphore",
    "Contender",
    "Kind",
    "Layout",
    "Limit",
    "Lock",
    "LockMethods",
    "Locks",
    "MakeHold",
    "Place",
    "ReadWriteLock",
    "Semaphore",
    "Standing",
    "check_layout",
    "is_reader",
    "lock_queue",
    "number_of",
]
