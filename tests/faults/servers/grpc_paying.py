"""A gRPC server of `payments`, as its own program: `/Payments/Pay` answers at once, to `/slow?seconds=2` late.

Arguments: `threads` or `asyncio`. `PORT` and `ZKDISCOVERY_*` say the rest.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from concurrent import futures
from typing import Any

import grpc
import grpc.aio

from tests.faults.servers.paying import DRAIN_DELAY, SERVICE, marked_slow
from zkdiscovery import Client, close_on_signals

GRACE = 15.0  # seconds for the RPCs that are under way
OPTIONS = [("grpc.so_reuseport", 0)]


def seconds_of(path: bytes) -> float:
    """How long the answer takes."""
    return float(path.partition(b"=")[2] or 0)


def handlers(pay: Any) -> tuple[grpc.GenericRpcHandler]:
    """The service with its one method."""
    return (grpc.method_handlers_generic_handler("Payments", {"Pay": grpc.unary_unary_rpc_method_handler(pay)}),)


def pay(path: bytes, _context: grpc.ServicerContext) -> bytes:
    """Answer, at once or late."""
    if seconds := seconds_of(path):
        with marked_slow():
            time.sleep(seconds)
    return f"paid by {os.getpid()}".encode()


async def pay_on_loop(path: bytes, _context: Any) -> bytes:
    """The same on an event loop."""
    if seconds := seconds_of(path):
        with marked_slow():
            await asyncio.sleep(seconds)
    return f"paid by {os.getpid()}".encode()


def serve(client: Client, port: int) -> None:
    """Serve with threads."""
    server = grpc.server(futures.ThreadPoolExecutor(16), handlers(pay), options=OPTIONS)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    signal.signal(signal.SIGTERM, lambda *_: server.stop(GRACE))
    client.register(SERVICE, port, ready="listening", drain_delay=DRAIN_DELAY)
    close_on_signals(client)  # calls the handler above once the instance is out
    server.wait_for_termination()
    client.close()


async def serve_on_loop(client: Client, port: int) -> None:
    """Serve on an event loop."""
    server = grpc.aio.server(handlers=handlers(pay_on_loop), options=OPTIONS)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    client.register(SERVICE, port, ready="listening", drain_delay=DRAIN_DELAY)
    await stop.wait()
    await asyncio.to_thread(client.drain)
    await server.stop(GRACE)
    await asyncio.to_thread(client.close)


if __name__ == "__main__":
    if sys.argv[1] == "asyncio":
        asyncio.run(serve_on_loop(Client(), int(os.environ["PORT"])))
    else:
        serve(Client(), int(os.environ["PORT"]))
