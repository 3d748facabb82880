"""The asynchronous channel.

An RPC whose instance has a ready connection is gRPC's own call on it. Where something is to be awaited first, an
instance or a connection, and where there are interceptors, it is a call of gRPC's with interceptors, the last of which
picks and connects: so a call can be had before there is a connection, and an interceptor that tries again gets another
instance.

Threads: everything runs on the event loop of the first RPC; the client's dispatcher only tells that loop of changes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from contextvars import ContextVar
from typing import Any, Self

import grpc
import grpc.aio

from zkdiscovery.integrations.grpc.connections import Connections, State
from zkdiscovery.integrations.grpc.picking import Arguments, Connect, NotSent, Pause, Rpc, Steps, choose
from zkdiscovery.integrations.grpc.sync import POLL

_NOWHERE = "ipv4:127.0.0.1:9"  # the target of a channel that never connects, because our interceptors are the last

Begun = tuple[Steps[grpc.aio.Channel], Connect[grpc.aio.Channel] | Pause]


class AioChannel(grpc.aio.Channel):
    """The `grpc.aio.Channel` that `aio_channel` gives.

    Attributes:
        view: the view of the service, for `view.explain()`; closed with the channel.
    """

    def __init__(
        self,
        connections: Callable[[Callable[[grpc.aio.Channel], None]], Connections[grpc.aio.Channel]],
        key: str | None,
        interceptors: Sequence[grpc.aio.ClientInterceptor],
    ) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._key = key
        self._interceptors = tuple(interceptors)
        self._front: grpc.aio.Channel | None = None
        self._changed = asyncio.Event()
        self._connections = connections(self._discard)
        self.view = self._connections.view
        self._connections.listener = self._tell

    # -- the loop --

    def _attach(self) -> None:
        """Stay with the running loop.

        Raises:
            RuntimeError: there is none, or the channel belongs to another one.
        """
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise RuntimeError("a channel belongs to the event loop of its first RPC: make one for each loop")

    def _on_loop(self, fn: Callable[[], object]) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed, and with it whatever waits
                self._loop.call_soon_threadsafe(fn)

    def _tell(self) -> None:
        def tell() -> None:
            self._changed.set()
            self._changed = asyncio.Event()

        self._on_loop(tell)

    def _discard(self, channel: grpc.aio.Channel) -> None:
        def close() -> None:
            task = asyncio.ensure_future(channel.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

        self._on_loop(close)

    # -- RPCs --

    def call(self, method: _Method, call: Arguments) -> Any:
        """Begin an RPC; gives gRPC's call."""
        self._attach()
        if self._connections.closed:
            raise grpc.aio.UsageError("Channel is closed.")
        begun: Begun | NotSent | None = None
        if not self._interceptors:
            steps = choose(self._connections, call, call.key(self._key))
            try:
                begun = steps, next(steps)
            except StopIteration as chosen:
                return method.send(chosen.value, call)
            except NotSent as error:
                begun = error
        if self._front is None:
            self._front = grpc.aio.insecure_channel(_NOWHERE, interceptors=(*self._interceptors, *self._last()))
        token = _current.set((method, call, begun))
        try:
            front = getattr(self._front, method.kind)(method.name)
            return front(call.request, wait_for_ready=call.wait_for_ready, **call.passed())
        finally:
            _current.reset(token)

    def _last(self) -> list[grpc.aio.ClientInterceptor]:
        return [kind(self.intercept) for kind in (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream)]

    async def intercept(self, details: grpc.aio.ClientCallDetails, request: Any) -> Any:
        """Send an RPC, in a task of gRPC's."""
        method, first, begun = _current.get()
        _current.set((method, first, None))  # an interceptor that tries again has us pick again
        call = Arguments(request, details.timeout, details.metadata, details.credentials, details.wait_for_ready)
        try:
            rpc = await self._chosen(begun or choose(self._connections, call, call.key(self._key)))
        except NotSent as error:
            raise _rpc_error(error.code, error.details) from None
        name: str | bytes = details.method
        return method.send(rpc, call, name if isinstance(name, str) else name.decode())

    async def _chosen(self, begun: Begun | NotSent | Steps[grpc.aio.Channel]) -> Rpc[grpc.aio.Channel]:
        if isinstance(begun, NotSent):
            raise begun
        steps, step = begun if isinstance(begun, tuple) else (begun, None)
        try:
            if step is None:
                step = next(steps)
            while True:
                step = steps.send(await self._do(step))
        except StopIteration as chosen:
            rpc: Rpc[grpc.aio.Channel] = chosen.value
            return rpc
        finally:
            steps.close()

    async def _do(self, step: Connect[grpc.aio.Channel] | Pause) -> bool:
        try:
            async with asyncio.timeout(step.seconds):
                if isinstance(step, Connect):
                    return await _connected(step.connection.channel)
                if self._connections.changes == step.changes:
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    # The arguments, by any name, are handed to a real channel as they are: stubs pass what their gRPC knows.

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        return _Method(self, "unary_unary", args, kwargs)

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        return _Method(self, "unary_stream", args, kwargs)

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        return _Method(self, "stream_unary", args, kwargs)

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        return _Method(self, "stream_stream", args, kwargs)

    # -- the whole --

    def get_state(self, try_to_connect: bool = False) -> State:
        self._attach()
        return self._connections.connectivity(connect=try_to_connect)

    async def wait_for_state_change(self, last_observed_state: State) -> None:
        while self.get_state() is last_observed_state:  # noqa: ASYNC110 - each real channel has a wait of its own
            await asyncio.sleep(POLL)

    async def channel_ready(self) -> None:
        while self.get_state(try_to_connect=True) is not State.READY:  # noqa: ASYNC110 - as above
            await asyncio.sleep(POLL)

    async def close(self, grace: float | None = None) -> None:
        channels = self._connections.close()
        if self._front is not None:
            channels.append(self._front)
        await asyncio.gather(*(channel.close(grace) for channel in channels), *self._closing)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()


class _Method(
    grpc.aio.UnaryUnaryMultiCallable,  # type: ignore[type-arg] # not generic at run time
    grpc.aio.UnaryStreamMultiCallable,  # type: ignore[type-arg] # not generic at run time
    grpc.aio.StreamUnaryMultiCallable,  # type: ignore[type-arg] # not generic at run time
    grpc.aio.StreamStreamMultiCallable,  # type: ignore[type-arg] # not generic at run time
):
    """One method of a service: `kind` of a real channel, with the arguments that the stub gave."""

    def __init__(self, channel: AioChannel, kind: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        kwargs = dict(kwargs)
        self.kind = kind
        self.name: str = args[0] if args else kwargs.pop("method")
        self._channel = channel
        self._args = args[1:]
        self._kwargs = kwargs

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._channel.call(self, Arguments(*args, **kwargs))

    def send(self, rpc: Rpc[grpc.aio.Channel], call: Arguments, name: str | None = None) -> Any:
        """Send an RPC on a connection that is ready; gives gRPC's call."""
        try:
            real = getattr(rpc.channel, self.kind)(name or self.name, *self._args, **self._kwargs)
            sent = real(call.request, **call.passed())
        except BaseException as error:
            rpc.done(error)
            raise

        def ended(call: Any) -> None:
            code = _now(call.code())
            rpc.done(None if code is grpc.StatusCode.OK else _rpc_error(code))

        sent.add_done_callback(ended)
        return sent


_current: ContextVar[tuple[_Method, Arguments, Begun | NotSent | None]] = ContextVar("zkdiscovery_grpc_rpc")


async def _connected(channel: grpc.aio.Channel) -> bool:
    state = channel.get_state(try_to_connect=True)
    while state in {State.IDLE, State.CONNECTING}:
        await channel.wait_for_state_change(state)
        state = channel.get_state(try_to_connect=True)
    return state is State.READY


def _rpc_error(code: grpc.StatusCode, details: str | None = None) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details, details)


def _now(coroutine: Coroutine[Any, Any, grpc.StatusCode]) -> grpc.StatusCode:
    """The result of a coroutine that has nothing to wait for: the code of a call that has ended."""
    try:
        coroutine.send(None)
    except StopIteration as result:
        code: grpc.StatusCode = result.value
        return code
    coroutine.close()
    return grpc.StatusCode.CANCELLED


# ruff: noqa: ARG002 - the last interceptor continues with nothing
class _Last:
    """The last interceptor, which sends. gRPC takes an object for one kind of methods only, so there are four."""

    def __init__(self, send: Callable[[grpc.aio.ClientCallDetails, Any], Coroutine[Any, Any, Any]]) -> None:
        self._send = send


class _UnaryUnary(_Last, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self, continuation: Any, client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await self._send(client_call_details, request)


class _UnaryStream(_Last, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(
        self, continuation: Any, client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await self._send(client_call_details, request)


class _StreamUnary(_Last, grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(
        self, continuation: Any, client_call_details: grpc.aio.ClientCallDetails, request_iterator: Any
    ) -> Any:
        return await self._send(client_call_details, request_iterator)


class _StreamStream(_Last, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(
        self, continuation: Any, client_call_details: grpc.aio.ClientCallDetails, request_iterator: Any
    ) -> Any:
        return await self._send(client_call_details, request_iterator)
