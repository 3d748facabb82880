"""The synchronous channel.

Threads: an RPC picks and connects on the caller's thread. The end of a blocking RPC is reported there too, that of
a stream or future on gRPC's thread. While somebody subscribes to the connectivity, one thread polls it.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, Self

import grpc

from zkdiscovery.errors import NoThreadAvailable
from zkdiscovery.integrations.grpc.calls import Call, Unsent
from zkdiscovery.integrations.grpc.connections import Connections, State
from zkdiscovery.integrations.grpc.picking import Arguments, Connect, NotSent, Pause, Rpc, choose
from zkdiscovery.threads import start_thread

log = logging.getLogger("zkdiscovery.integrations")

POLL = 0.05  # seconds between looks at the connectivity, while somebody waits for it; gRPC itself polls every 0.2 s

_STATES = {state.value[0]: state for state in State}


def state_of(channel: grpc.Channel, connect: bool) -> State:
    """The connectivity of a real channel.

    gRPC has no public way to read it at once: `subscribe` costs a thread for each channel, and 5 polls a second.
    """
    core: Any = channel._channel  # type: ignore[attr-defined] # noqa: SLF001 - grpc.aio's get_state, which grpc lacks
    try:
        return _STATES[core.check_connectivity_state(connect)]
    except ValueError:  # closed meanwhile
        return State.SHUTDOWN


def _connected(channel: grpc.Channel, seconds: float) -> bool:
    """Connect; True once the channel is ready, False if it can't within `seconds`."""
    settled: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def note(state: State) -> None:
        if state in {State.READY, State.TRANSIENT_FAILURE, State.SHUTDOWN}:
            settled.put(state is State.READY)

    channel.subscribe(note, try_to_connect=True)
    try:
        return settled.get(timeout=seconds)
    except queue.Empty:
        return False
    finally:
        channel.unsubscribe(note)


class Channel(grpc.Channel):
    """The `grpc.Channel` that `channel` gives.

    Attributes:
        view: the view of the service, for `view.explain()` and `view.wait_ready()`; closed with the channel.
    """

    def __init__(self, connections: Connections[grpc.Channel], key: str | None) -> None:
        self.view = connections.view
        self._connections = connections
        self._key = key
        self._connectivity = _Connectivity(connections)

    def begin(self, call: Arguments) -> Rpc[grpc.Channel]:
        """Pick an instance whose connection is ready.

        Raises:
            NotSent: there is none.
            ClientClosed: the client was closed.
            ValueError: this channel was closed.
        """
        if self._connections.closed:
            raise ValueError("Cannot invoke RPC on closed channel!")
        steps = choose(self._connections, call, call.key(self._key))
        try:
            step = next(steps)
            while True:
                step = steps.send(self._do(step))
        except StopIteration as chosen:
            rpc: Rpc[grpc.Channel] = chosen.value
            return rpc
        finally:
            steps.close()

    def _do(self, step: Connect[grpc.Channel] | Pause) -> bool:
        if isinstance(step, Connect):
            return _connected(step.connection.channel, step.seconds)
        with self._connections.changed:
            if self._connections.changes == step.changes and not self._connections.closed:
                self._connections.changed.wait(step.seconds)
        return True

    # The arguments, by any name, are handed to a real channel as they are: stubs pass what their gRPC knows.

    def unary_unary(self, *args: Any, **kwargs: Any) -> grpc.UnaryUnaryMultiCallable[Any, Any]:
        return _UnaryResponse(self, "unary_unary", args, kwargs)

    def unary_stream(self, *args: Any, **kwargs: Any) -> grpc.UnaryStreamMultiCallable[Any, Any]:
        return _StreamResponse(self, "unary_stream", args, kwargs)

    def stream_unary(self, *args: Any, **kwargs: Any) -> grpc.StreamUnaryMultiCallable[Any, Any]:
        return _UnaryResponse(self, "stream_unary", args, kwargs)

    def stream_stream(self, *args: Any, **kwargs: Any) -> grpc.StreamStreamMultiCallable[Any, Any]:
        return _StreamResponse(self, "stream_stream", args, kwargs)

    def subscribe(self, callback: Callable[[State], None], try_to_connect: bool | None = False) -> None:
        self._connectivity.subscribe(callback, connect=bool(try_to_connect))

    def unsubscribe(self, callback: Callable[[State], None]) -> None:
        self._connectivity.unsubscribe(callback)

    def close(self) -> None:
        for channel in self._connections.close():
            channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _Method:
    """One method of a service: `kind` of a real channel, with the arguments that the stub gave."""

    def __init__(self, channel: Channel, kind: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._channel = channel
        self._kind = kind
        self._args = args
        self._kwargs = kwargs

    def _real(self, rpc: Rpc[grpc.Channel]) -> Any:
        return getattr(rpc.channel, self._kind)(*self._args, **self._kwargs)

    def _started(self, call: Arguments, start: Callable[[Any], Callable[..., Any]]) -> Any:
        """Begin an RPC that goes on after this: a future, or a stream of responses."""
        try:
            rpc = self._channel.begin(call)
        except NotSent as error:
            return Unsent(error.code, error.details)
        try:
            return Call(start(self._real(rpc))(call.request, **call.passed()), rpc)
        except BaseException as error:
            rpc.done(error)
            raise


class _UnaryResponse(_Method, grpc.UnaryUnaryMultiCallable, grpc.StreamUnaryMultiCallable):  # type: ignore[type-arg] # not generic at run time
    """A method with one response."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._blocking(Arguments(*args, **kwargs), lambda real: real)

    def with_call(self, *args: Any, **kwargs: Any) -> Any:
        return self._blocking(Arguments(*args, **kwargs), lambda real: real.with_call)

    def _blocking(self, call: Arguments, send: Callable[[Any], Callable[..., Any]]) -> Any:
        try:
            rpc = self._channel.begin(call)
        except NotSent as error:
            raise Unsent(error.code, error.details) from None
        try:
            response = send(self._real(rpc))(call.request, **call.passed())
        except BaseException as error:
            rpc.done(error)
            raise
        rpc.done(None)
        return response

    def future(self, *args: Any, **kwargs: Any) -> Any:
        return self._started(Arguments(*args, **kwargs), lambda real: real.future)


class _StreamResponse(_Method, grpc.UnaryStreamMultiCallable, grpc.StreamStreamMultiCallable):  # type: ignore[type-arg] # not generic at run time
    """A method with a stream of responses."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._started(Arguments(*args, **kwargs), lambda real: real)


class _Connectivity:
    """Tells subscribers of the connectivity. Its thread lives while there are any; the lock is that of the channel."""

    def __init__(self, connections: Connections[grpc.Channel]) -> None:
        self._connections = connections
        self._told: dict[Callable[[State], None], State | None] = {}
        self._connect = False
        self._thread: threading.Thread | None = None

    def subscribe(self, callback: Callable[[State], None], *, connect: bool) -> None:
        with self._connections.changed:
            self._told[callback] = None
            self._connect |= connect
            if self._thread is None or not self._thread.is_alive():  # not alive: this is a forked child
                self._thread = start_thread(self._run, "zkdiscovery-grpc-connectivity")

    def unsubscribe(self, callback: Callable[[State], None]) -> None:
        with self._connections.changed:
            self._told.pop(callback, None)

    def _run(self) -> None:
        last = False
        while not last:
            state = self._connections.connectivity(connect=self._connect)
            with self._connections.changed:
                self._connect &= state is not State.READY  # until there is an instance, there is nothing to connect to
                news = [callback for callback, told in self._told.items() if told is not state]
                self._told.update(dict.fromkeys(news, state))
                last = not self._told or state is State.SHUTDOWN
                if last:
                    self._thread = None
            for callback in news:
                try:
                    callback(state)
                except Exception:
                    log.exception("the callback %r of a channel raised", callback)
            with self._connections.changed:
                self._connections.changed.wait(0.0 if last else POLL)


def discard(channel: grpc.Channel) -> None:
    """Close a real channel, on another thread: this one may be gRPC's, which tells of the last RPC."""
    with contextlib.suppress(NoThreadAvailable):  # then the garbage collector closes it
        start_thread(channel.close, "zkdiscovery-grpc-close")
