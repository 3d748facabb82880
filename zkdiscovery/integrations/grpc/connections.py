"""One real channel for each instance of a service, for as long as the instance is there or has RPCs.

Threads: RPCs begin and end on any thread. The client's dispatcher thread tells of instances that left. The lock is
re-entrant, because the garbage collector may end an abandoned RPC on a thread that holds it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import grpc

from zkdiscovery.client import Client
from zkdiscovery.discovery import Service, ViewOptions
from zkdiscovery.errors import NoInstanceAvailable
from zkdiscovery.model import Change, Instance
from zkdiscovery.validation import join_host_port

C = TypeVar("C")

Options = Sequence[tuple[str, Any]]
State = grpc.ChannelConnectivity

_RECONNECT = {
    # The balancer decides whom to avoid and for how long, so a channel may be quick to try again. gRPC's 120 s would
    # keep an instance away that restarted at its address long ago.
    "grpc.initial_reconnect_backoff_ms": 250,
    "grpc.max_reconnect_backoff_ms": 2000,
    # Otherwise channels to one address share a connection and its back-off, also with channels of an earlier instance.
    "grpc.use_local_subchannel_pool": 1,
}


class Target:
    """The multi-callables of each instance of a service.

    Args:
        service: its name.
        port: name of one of an instance's further ports; None: `tls_port`, if `tls` and there is one, else `port`.
        options: of the real channels; they win over ours.
        tls: whether connections are encrypted.
    """

    def __init__(self, service: str, port: str | None, options: Options, *, tls: bool) -> None:
        self._service = service
        self._port = port
        self._tls = tls
        # The authority is what certificates and virtual hosts are for.
        self.options: Options = tuple({**_RECONNECT, "grpc.default_authority": service, **dict(options)}.items())

    def view(self, client: Client, options: ViewOptions) -> Service:
        """A view of the instances that can be called."""
        where, port = options.get("where"), self._port
        if port is not None:
            options = {**options, "where": lambda i: port in i.ports and (where is None or where(i))}
        return client.discover(self._service, **options)

    def address(self, instance: Instance) -> str:
        """`host:port` of an instance."""
        if self._port is not None:
            number = instance.ports.get(self._port, instance.port)
        else:
            number = instance.tls_port if self._tls and instance.tls_port is not None else instance.port
        return join_host_port(instance.host, number)


class Connection(Generic[C]):
    """A real channel to one instance, and how many RPCs use it. The lock of `Connections` guards `calls` and `left`."""

    __slots__ = ("calls", "channel", "id", "left")

    def __init__(self, id: str, channel: C) -> None:
        self.id = id
        self.channel = channel
        self.calls = 0
        self.left = False


class Connections(Generic[C]):
    """The real channels of one view.

    Args:
        view: tells which instances are there; closed by `close`.
        address: of an instance.
        make: makes a real channel to an address; must not block.
        discard: closes a real channel that no RPC uses; must not block.
        state: the connectivity of a real channel; with True it connects if it is idle.
    """

    def __init__(
        self,
        view: Service,
        address: Callable[[Instance], str],
        make: Callable[[str], C],
        discard: Callable[[C], object],
        state: Callable[[C, bool], State],
    ) -> None:
        self.view = view
        self._address = address
        self._make = make
        self._discard = discard
        self._state = state
        self._new()
        _all.add(self)
        this = weakref.WeakMethod(self._follow)

        def follow(change: Change) -> None:
            if (method := this()) is not None:
                method(change)
            else:  # a channel that was dropped without close(); the garbage collector must not take locks for this
                subscription.close()

        self._subscription = subscription = view.on_change(follow)

    def _new(self) -> None:
        self.changed = threading.Condition()  # notified at each change of the view, after `changes` was counted
        self.changes = 0
        self.listener: Callable[[], object] | None = None  # called on the dispatcher's thread at each change
        self.closed = False
        self._open: dict[tuple[str, str], Connection[C]] = {}
        self._leaving: set[Connection[C]] = set()  # of instances that left, with RPCs

    # -- RPCs --

    def use(self, instance: Instance, calls: int = 1) -> Connection[C]:
        """Count an RPC to an instance; gives its connection, made at the first use.

        Raises:
            ValueError: the channel was closed.
        """
        key = (instance.id, self._address(instance))
        with self.changed:
            if self.closed:
                raise ValueError("Cannot invoke RPC on closed channel!")
            connection = self._open.get(key)
            if connection is not None:
                connection.calls += calls
                return connection
            connection = self._open[key] = Connection(instance.id, self._make(key[1]))
            connection.calls = calls
            # It may have left since it was picked. If it leaves from here on, `_follow` finds its connection.
            snapshot = self.view.snapshot
            if not any(i.id == instance.id for i in (*snapshot.instances, *snapshot.suspects)):
                self._leave(key)
            return connection

    def release(self, connection: Connection[C]) -> None:
        """Count the end of an RPC."""
        with self.changed:
            connection.calls -= 1
            last = connection.left and connection.calls == 0 and connection in self._leaving
            if last:
                self._leaving.remove(connection)
        if last:
            self._discard(connection.channel)

    def state_of(self, connection: Connection[C], *, connect: bool = False) -> State:
        """The connectivity of one real channel."""
        return self._state(connection.channel, connect)

    # -- the instances --

    def _follow(self, change: Change) -> None:
        """Let go of instances that left (the dispatcher's thread)."""
        delta = change.delta.items()
        there = {name: self._address(new) for name, (_, new) in delta if new is not None}
        there |= {instance.id: self._address(instance) for instance in change.after.suspects}
        gone = {name for name, (_, new) in delta if new is None} | {instance.id for instance in change.before.suspects}
        discarded = []
        with self.changed:
            for key in list(self._open):
                name, address = key
                if there[name] != address if name in there else name in gone:
                    connection = self._leave(key)
                    if connection.calls == 0:
                        self._leaving.remove(connection)
                        discarded.append(connection)
            self.changes += 1
            self.changed.notify_all()
            listener = self.listener
        for connection in discarded:
            self._discard(connection.channel)
        if listener is not None:
            listener()

    def _leave(self, key: tuple[str, str]) -> Connection[C]:
        connection = self._open.pop(key)
        connection.left = True
        self._leaving.add(connection)
        return connection

    # -- the whole --

    def connectivity(self, *, connect: bool = False) -> State:
        """The state of the whole, as gRPC's round_robin has it: the best one of a real channel.

        Args:
            connect: begin to connect to one instance, if no connection is ready.
        """
        with self.changed:
            if self.closed:
                return State.SHUTDOWN
            connections = list(self._open.values())
        states = {self.state_of(connection) for connection in connections}
        if State.READY in states:
            return State.READY
        if connect:
            with contextlib.suppress(NoInstanceAvailable):
                states.add(self.state_of(self.use(self.view.pick(), calls=0), connect=True))
        for state in (State.CONNECTING, State.IDLE):
            if state in states:
                return state
        if not self.view.snapshot.loaded:
            return State.CONNECTING
        return State.IDLE if self.view.available and not states else State.TRANSIENT_FAILURE

    def close(self) -> list[C]:
        """Follow no more; gives the real channels, to be closed."""
        with self.changed:
            self.closed = True
            channels = [connection.channel for connection in (*self._open.values(), *self._leaving)]
            self._open.clear()
            self._leaving.clear()
            self.changed.notify_all()
        self._subscription.close()
        self.view.close()
        return channels

    def forked(self) -> None:
        """In a forked child: begin without a real channel. Those of the parent are kept: to close them may hang."""
        _inherited.append((self._open, self._leaving))
        closed = self.closed
        self._new()
        self.closed = closed


_all: weakref.WeakSet[Connections[Any]] = weakref.WeakSet()
_inherited: list[object] = []


def _after_fork() -> None:
    for connections in list(_all):
        connections.forked()


os.register_at_fork(after_in_child=_after_fork)
