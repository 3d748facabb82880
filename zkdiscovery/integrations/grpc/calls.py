"""The calls that RPCs of the synchronous channel give: one that reports its end, and one that was not sent."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn, Self

import grpc

from zkdiscovery.balancing import Outcome
from zkdiscovery.integrations.grpc.picking import Rpc


class Call:
    """A stream of responses, or a future, around gRPC's own, which it stands for in everything.

    gRPC cancels an RPC whose call nobody refers to. A callback that asks gRPC's call for its status would refer to it,
    so users get this one, whose collection cancels the RPC.
    """

    def __init__(self, call: Any, rpc: Rpc[grpc.Channel]) -> None:
        self._call = call
        self._rpc = rpc

        def ended() -> None:
            rpc.done(None if call.code() is grpc.StatusCode.OK else call)

        if not call.add_callback(ended):
            ended()

    def add_done_callback(self, fn: Callable[[Any], object]) -> None:
        """As in `grpc.Future`: the callback keeps the call."""
        self._call.add_done_callback(lambda _: fn(self))

    def __getattr__(self, name: str) -> Any:
        return partial(_keeping, self, getattr(self._call, name))  # all that gRPC's call has is methods

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        return next(self._call)

    def __repr__(self) -> str:
        return repr(self._call)

    def __del__(self) -> None:
        # A call of the single-threaded kind that nobody reads does not tell of its end.
        if self._call.cancel():
            self._rpc.report(Outcome.CANCELLED)


def _keeping(_call: Call, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a method of gRPC's call; meanwhile ours lives: `stub.Pay.future(order).result()` keeps nothing else."""
    return method(*args, **kwargs)


grpc.Call.register(Call)
grpc.Future.register(Call)


class Unsent(grpc.RpcError, grpc.Call, grpc.Future):  # type: ignore[type-arg] # not generic at run time
    """An RPC that ended before it was sent: the error, and the call that failed."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(code, details)
        self._code = code
        self._details = details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    def debug_error_string(self) -> str:
        return str(self)

    def initial_metadata(self) -> tuple[()]:
        return ()

    def trailing_metadata(self) -> tuple[()]:
        return ()

    def is_active(self) -> bool:
        return False

    def time_remaining(self) -> float:
        return 0.0

    def add_callback(self, callback: Callable[[], None]) -> bool:  # noqa: ARG002 - it has ended
        return False

    def cancel(self) -> bool:
        return False

    def cancelled(self) -> bool:
        return False

    def running(self) -> bool:
        return False

    def done(self) -> bool:
        return True

    def result(self, timeout: float | None = None) -> NoReturn:  # noqa: ARG002
        raise self

    def exception(self, timeout: float | None = None) -> Self:  # noqa: ARG002
        return self

    def traceback(self, timeout: float | None = None) -> Any:  # noqa: ARG002
        return self.__traceback__

    def add_done_callback(self, fn: Callable[[Any], object]) -> None:
        fn(self)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> NoReturn:
        raise self

    def __str__(self) -> str:
        return f"{self._code.name}: {self._details}"

    __repr__ = __str__
