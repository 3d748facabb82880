"""The choice of an instance for an RPC: a generator, which each channel drives in its way.

An RPC is sent only on a connection that is READY, as by gRPC's own policies. So whatever fails before that has sent
nothing, and the RPC goes to another instance. Once it is sent, it is sent once.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import grpc

from zkdiscovery.balancing import Outcome
from zkdiscovery.errors import ClientClosed, NoInstanceAvailable
from zkdiscovery.integrations.grpc.connections import Connection, Connections, State
from zkdiscovery.integrations.names import CONNECTS, LOADING
from zkdiscovery.validation import deadline_after

C = TypeVar("C")

_CONNECT = 3.0  # seconds for one connection, before another instance is tried
_PAUSES = (0.1, 1.0)  # seconds between rounds of an RPC that waits: at first, and at most


class NotSent(Exception):  # noqa: N818 - it becomes an RpcError of the kind that the channel raises
    """The RPC ended before it was sent."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self.code = code
        self.details = details


class Arguments:
    """The arguments of a call of a multi-callable."""

    __slots__ = ("compression", "credentials", "end", "metadata", "request", "wait_for_ready")

    def __init__(
        self,
        request: Any = None,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
        *,
        request_iterator: Any = None,
    ) -> None:
        self.request = request if request_iterator is None else request_iterator
        self.end = deadline_after(timeout)
        self.metadata = metadata
        self.credentials = credentials
        self.wait_for_ready = wait_for_ready
        self.compression = compression

    @property
    def timeout(self) -> float | None:
        """Seconds that are left; None: no limit."""
        left = self.end - time.monotonic()
        return None if left == float("inf") else left

    def key(self, entry: str | None) -> str | None:
        """The value of a metadata entry, which a balancer may pick by."""
        if entry is None:
            return None
        values = (value for name, value in self.metadata or () if name == entry)
        value = next(values, None)
        return value.decode("latin-1") if isinstance(value, bytes) else value

    def passed(self) -> dict[str, Any]:
        """Keyword arguments for the multi-callable of a connection that is ready."""
        return {
            "timeout": self.timeout,
            "metadata": self.metadata,
            "credentials": self.credentials,
            "compression": self.compression,
        }


class Rpc(Generic[C]):
    """One RPC and what was picked for it, until it was reported. Reports count once."""

    __slots__ = ("_attempt", "_connections", "_open", "connection")

    def __init__(self, connections: Connections[C], key: str | None, exclude: Sequence[str]) -> None:
        """Pick an instance.

        Raises:
            NoInstanceAvailable: says why.
            ClientClosed: the client was closed.
            ValueError: the channel was closed.
        """
        self._connections = connections
        view = connections.view
        self._attempt = (view.attempt(key, exclude) if exclude else view.attempt(key)).__enter__()
        try:
            self.connection: Connection[C] = connections.use(self._attempt.instance)
        except BaseException:
            self._attempt.report(Outcome.CANCELLED)
            raise
        self._open = [self.connection]  # popping is atomic

    @property
    def channel(self) -> C:
        """The real channel."""
        return self.connection.channel

    def done(self, error: BaseException | None) -> None:
        """The RPC ended, with `error` or well. An error that is no RpcError is the caller's: nothing was sent."""
        if error is None or isinstance(error, grpc.RpcError):
            self._attempt.done(error)
        self.report(Outcome.CANCELLED)

    def report(self, outcome: Outcome, reason: str = "") -> None:
        """The RPC ended so."""
        self._attempt.report(outcome, reason)
        try:
            connection = self._open.pop()
        except IndexError:
            return
        self._connections.release(connection)


@dataclass(slots=True)
class Connect(Generic[C]):
    """A step: connect, within `seconds`; answered with True if the connection is ready."""

    connection: Connection[C]
    seconds: float


@dataclass(slots=True)
class Pause:
    """A step: wait until the view has changed since `changes`, for `seconds` at most."""

    changes: int
    seconds: float


Steps = Generator[Connect[C] | Pause, bool, Rpc[C]]


def choose(connections: Connections[C], call: Arguments, key: str | None) -> Steps[C]:
    """Pick an instance whose connection is ready.

    Raises:
        NotSent: UNAVAILABLE, DEADLINE_EXCEEDED, or CANCELLED because the channel was closed.
        ClientClosed: the client was closed.
    """
    loaded_by = time.monotonic() + LOADING
    pause, longest = _PAUSES
    tried: list[str] = []
    while True:
        changes = connections.changes
        why = [f"can't connect to {name}" for name in tried]
        try:
            rpc = Rpc(connections, key, tried)
        except NoInstanceAvailable as error:
            why.append(str(error))
        except (ClientClosed, ValueError):
            if connections.closed:
                raise NotSent(grpc.StatusCode.CANCELLED, "Channel closed!") from None
            raise
        else:
            if (yield from _connect(connections, rpc, call.end)):
                return rpc
            tried.append(rpc.connection.id)
            why.append(f"can't connect to {rpc.connection.id}")
            if len(tried) < CONNECTS and time.monotonic() < call.end:
                continue
        now = time.monotonic()
        if now >= call.end:
            raise NotSent(grpc.StatusCode.DEADLINE_EXCEEDED, f"Deadline Exceeded before it was sent: {'; '.join(why)}")
        if not call.wait_for_ready and (connections.view.snapshot.loaded or now >= loaded_by):
            raise NotSent(grpc.StatusCode.UNAVAILABLE, "; ".join(why))
        yield Pause(changes, min(pause if tried else longest, call.end - now))
        pause = min(2 * pause, longest)
        tried.clear()


def _connect(connections: Connections[C], rpc: Rpc[C], end: float) -> Generator[Connect[C], bool, bool]:
    """Connect to what was picked. One that can't be connected to has failed."""
    state = connections.state_of(rpc.connection)
    if state is State.READY:
        return True
    ready = False
    try:
        if state is not State.TRANSIENT_FAILURE:  # it tries again by itself
            ready = yield Connect(rpc.connection, max(0.0, min(_CONNECT, end - time.monotonic())))
    except BaseException:  # the caller gave up
        rpc.report(Outcome.CANCELLED)
        raise
    if not ready:
        rpc.report(Outcome.FAILURE, "can't connect")
    return ready
