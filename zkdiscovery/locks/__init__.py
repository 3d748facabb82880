"""Locks: mutexes, read-write locks and semaphores, with leases and fences; barriers and counters."""

from __future__ import annotations

from zkdiscovery.locks.barrier import Barrier, BaseBarrier
from zkdiscovery.locks.base import LEAVE_TIMEOUT, WAIT, BaseLock, BaseReadWriteLock, lock_queue
from zkdiscovery.locks.counter import BaseCounter, Compute, Counter, adding, check_guard, done, setting
from zkdiscovery.locks.counters import Counters
from zkdiscovery.locks.limit import Limit
from zkdiscovery.locks.lock import Lock, ReadWriteLock
from zkdiscovery.locks.locks import Contender, Locks, Standing
from zkdiscovery.locks.methods import LockMethods
from zkdiscovery.locks.names import Kind, Layout, check_layout, is_reader, number_of
from zkdiscovery.locks.party import Party
from zkdiscovery.locks.place import MakeHold, Place
from zkdiscovery.locks.semaphore import BaseSemaphore, Semaphore

__all__ = [
    "LEAVE_TIMEOUT",
    "WAIT",
    "Barrier",
    "BaseBarrier",
    "BaseCounter",
    "BaseLock",
    "BaseReadWriteLock",
    "BaseSemaphore",
    "Compute",
    "Contender",
    "Counter",
    "Counters",
    "Kind",
    "Layout",
    "Limit",
    "Lock",
    "LockMethods",
    "Locks",
    "MakeHold",
    "Party",
    "Place",
    "ReadWriteLock",
    "Semaphore",
    "Standing",
    "adding",
    "check_guard",
    "check_layout",
    "done",
    "is_reader",
    "lock_queue",
    "number_of",
    "setting",
]
