"""Every error the SDK raises, as one tree.

    ZkDiscoveryError
    ├── NotConnected (ConnectionError)         no connection to ZooKeeper within the time given
    ├── OperationTimeout (TimeoutError)        an answer or a condition did not come in time
    │   └── LockTimeout                        a lock was not free in time
    ├── SessionExpired                         the session that the work belonged to is over
    ├── AuthenticationFailed                   ZooKeeper refuses the credentials
    ├── AccessDenied (PermissionError)         an ACL forbids the operation
    ├── UnsupportedServer                      ZooKeeper older than 3.6
    ├── NodeError                              ZooKeeper refused an operation on a node
    │   ├── NodeMissing                        the node is not there
    │   ├── NodeExists                         the node is there already
    │   ├── NodeChanged                        the node has another version than expected
    │   ├── NodeNotEmpty                       the node has children
    │   └── QuotaExceeded                      a quota of ZooKeeper is used up
    ├── InvalidName (ValueError)               a name or id that can't be a znode
    ├── InvalidInstance (ValueError)           an instance with a field out of range, or too large
    ├── InvalidSettings (ValueError)           settings that can't be used
    ├── InvalidDocument (ValueError)           a configuration document that can't be stored
    ├── UndecodableNode (ValueError)           what a znode holds is no instance
    ├── CounterOverflow (OverflowError)        a counter would leave 64 bits
    ├── RegistrationConflict                   another live process owns the id
    ├── NoInstanceAvailable                    nothing to pick; says why
    ├── HoldLost                               what this process held is over
    │   └── LeadershipLost                     the term is over
    ├── RolloutStopped                         all readers have the revision of before
    ├── ClientClosed (RuntimeError)            the client was closed
    ├── NoThreadAvailable (RuntimeError)       the system has no thread to give; nothing was begun
    └── NoServerForTests (RuntimeError)        no ZooKeeper could be had for tests or the demo

Errors carry only plain values, so they can be pickled and sent to another process.
"""

# The names say what happened; "Error" at the end of each would say nothing more.
# ruff: noqa: N818
from __future__ import annotations

from typing import Any


class ZkDiscoveryError(Exception):
    """Base of all errors of the SDK.

    Args:
        message: what was tried, where, and what to do about it.
        path: the znode path concerned, if any.
        server: `host:port` of the ZooKeeper server concerned, if any.
        outcome_unknown: True where the request may have been executed although no answer came.
    """

    operation_index: int | None = None  # of a failed transaction: which of its operations failed

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        server: str | None = None,
        outcome_unknown: bool = False,
    ) -> None:
        super().__init__(message)
        self.path = path
        self.server = server
        self.outcome_unknown = outcome_unknown

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(cls: type[ZkDiscoveryError], args: tuple[Any, ...], state: dict[str, Any]) -> ZkDiscoveryError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class NotConnected(ZkDiscoveryError, ConnectionError):
    """No connection to ZooKeeper, or it broke before the answer came."""


class OperationTimeout(ZkDiscoveryError, TimeoutError):
    """An answer or a condition did not come within the time given."""


class LockTimeout(OperationTimeout):
    """A lock was not free within the time given; nothing is held, and nobody waits any more."""


class SessionExpired(ZkDiscoveryError):
    """The ZooKeeper session that the work belonged to is over; a new one follows by itself."""


class AuthenticationFailed(ZkDiscoveryError):
    """ZooKeeper refuses the credentials."""


class AccessDenied(ZkDiscoveryError, PermissionError):
    """An ACL in ZooKeeper forbids the operation."""


class UnsupportedServer(ZkDiscoveryError):
    """The ZooKeeper server is older than 3.6."""


class NodeError(ZkDiscoveryError):
    """ZooKeeper refused an operation on a node."""


class NodeMissing(NodeError):
    """The node is not there."""


class NodeExists(NodeError):
    """The node is there already."""


class NodeChanged(NodeError):
    """The node has another version than expected: somebody wrote in between."""


class NodeNotEmpty(NodeError):
    """The node has children."""


class QuotaExceeded(NodeError):
    """A quota set in ZooKeeper is used up."""


class InvalidName(ZkDiscoveryError, ValueError):
    """A name or id that can't be a znode."""


class InvalidInstance(ZkDiscoveryError, ValueError):
    """An instance with a field out of range, or too large to store."""


class InvalidSettings(ZkDiscoveryError, ValueError):
    """Settings that can't be used. The message never repeats the values given."""


class InvalidDocument(ZkDiscoveryError, ValueError):
    """A configuration document that can't be stored. The message tells where it is wrong, and repeats no value."""


class UndecodableNode(ZkDiscoveryError, ValueError):
    """A znode whose data the codec can't read."""


class CounterOverflow(ZkDiscoveryError, OverflowError):
    """A counter would leave the range of 64 bits; it was not changed."""


class RegistrationConflict(ZkDiscoveryError):
    """Another live process owns the id."""


class NoInstanceAvailable(ZkDiscoveryError):
    """There is no instance to pick; the message counts what there is and why it does not count."""


class HoldLost(ZkDiscoveryError):
    """A hold that this process has lost; `hold.reason` tells why."""


class LeadershipLost(HoldLost):
    """The term of leadership is over."""


class RolloutStopped(ZkDiscoveryError):
    """The rollout of a revision was stopped; all readers have the revision of before. The message tells why."""


class ClientClosed(ZkDiscoveryError, RuntimeError):
    """The client was closed."""


class NoThreadAvailable(ZkDiscoveryError, RuntimeError):
    """The system has no thread to give. What was asked for was not begun, and may be tried again."""


class NoServerForTests(ZkDiscoveryError, RuntimeError):
    """No ZooKeeper could be had for tests or the demo; the message says what to install."""
