"""gRPC servers of a service `Echo`, and the stubs that grpcio-tools generates for it."""

from __future__ import annotations

import functools
import importlib
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent import futures
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
from grpc_tools import protoc

from zkdiscovery import Client, Registration

PROTO = """
syntax = "proto3";
package echo;
message Say { string text = 1; double pause = 2; string code = 3; int32 times = 4; }
message Heard { string text = 1; string server = 2; string authority = 3; }
service Echo {
  rpc One(Say) returns (Heard);
  rpc Many(Say) returns (stream Heard);
  rpc Sum(stream Say) returns (Heard);
  rpc Talk(stream Say) returns (stream Heard);
}
"""


@functools.cache
def generated() -> tuple[ModuleType, ModuleType]:
    """The modules of messages and of stubs."""
    with tempfile.TemporaryDirectory(prefix="echo") as folder:
        (Path(folder) / "echo.proto").write_text(PROTO)
        flags = ["protoc", f"-I{folder}", f"--python_out={folder}", f"--grpc_python_out={folder}", "echo.proto"]
        assert protoc.main(flags) == 0
        sys.path.insert(0, folder)
        try:
            return importlib.import_module("echo_pb2"), importlib.import_module("echo_pb2_grpc")
        finally:
            sys.path.remove(folder)


def say(text: str = "hello", **fields: Any) -> Any:
    """A request."""
    return generated()[0].Say(text=text, **fields)


def stub(channel: Any) -> Any:
    """The generated stub."""
    return generated()[1].EchoStub(channel)


class Echo:
    """The servicer. `seen` counts RPCs that reached it, `ended` those that are over."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seen: Counter[str] = Counter()
        self.metadata: list[dict[str, str]] = []
        self.going_on = threading.Event()  # set: streams of `Many` that wait for it end

    def _heard(self, text: str) -> Any:
        return generated()[0].Heard(text=text, server=self.name)

    def _begin(self, rpc: str, context: grpc.ServicerContext) -> None:
        self.seen[rpc] += 1
        self.metadata.append({entry[0]: entry[1] for entry in context.invocation_metadata()})
        context.send_initial_metadata((("served-by", self.name),))
        context.set_trailing_metadata((("ended-by", self.name),))

    def One(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._begin("One", context)
        time.sleep(request.pause)
        if request.code:
            context.abort(grpc.StatusCode[request.code], "as told")
        return self._heard(request.text)

    def Many(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: N802
        self._begin("Many", context)
        for number in range(request.times):
            yield self._heard(f"{request.text} {number}")
        if request.pause:
            self.going_on.wait(request.pause)
            yield self._heard("last")
        if request.code:
            context.abort(grpc.StatusCode[request.code], "as told")

    def Sum(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._begin("Sum", context)
        return self._heard(" ".join(request.text for request in requests))

    def Talk(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: N802
        self._begin("Talk", context)
        for request in requests:
            yield self._heard(request.text)


class Server:
    """A server on a free port of loopback."""

    def __init__(self, name: str, credentials: grpc.ServerCredentials | None = None, port: int = 0) -> None:
        self.echo = Echo(name)
        self.name = name
        self._grpc = grpc.server(futures.ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0)])
        generated()[1].add_EchoServicer_to_server(self.echo, self._grpc)
        address = f"127.0.0.1:{port}"
        self.port: int = (
            self._grpc.add_insecure_port(address)
            if credentials is None
            else self._grpc.add_secure_port(address, credentials)
        )
        self._grpc.start()

    def register(self, client: Client, **options: Any) -> Registration:
        """Register it and wait until that is done."""
        registration = client.register("echo", self.port, id=self.name, **options)
        registration.wait_registered(10.0)
        return registration

    def stop(self, grace: float | None = None) -> threading.Event:
        """End; the event says when it is over."""
        event: threading.Event = self._grpc.stop(grace)
        return event


@contextmanager
def servers(*names: str) -> Iterator[list[Server]]:
    """Servers that run for the time of the block."""
    with ExitStack() as stack:
        running = []
        for name in names:
            server = Server(name)
            stack.callback(lambda server=server: server.stop().wait())
            running.append(server)
        yield running


Servers = AbstractContextManager[list[Server]]
