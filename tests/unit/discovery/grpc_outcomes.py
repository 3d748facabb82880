"""A program that raises every error of gRPC against a real server, and prints what each says, as JSON."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import grpc.aio

from zkdiscovery import outcome_of

SERVICE = "test.Codes"
LIMIT = 10.0  # seconds
CODES = [code.name for code in grpc.StatusCode if code is not grpc.StatusCode.OK]
entered, ended = threading.Event(), threading.Event()


def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
    what = request.decode()
    if what == "raise":
        raise ValueError("a defect of the handler")
    if what == "silent":
        entered.set()
        ended.wait(LIMIT)
        return b""
    context.abort(grpc.StatusCode[what], "as asked")
    raise AssertionError


def stream(request: bytes, context: grpc.ServicerContext) -> Any:
    yield b"first"
    yield answer(request, context)


def outcome(call: Any, *arguments: Any, **options: Any) -> str:
    try:
        list(call(*arguments, **options))
    except Exception as error:
        return outcome_of(error).name
    return "nothing was raised"


def cancelled_after_start(begin: Any, finish: Any) -> str:
    call = begin(b"silent", timeout=LIMIT)
    call.cancel()
    return outcome(lambda: finish(call))


async def with_asyncio(address: str) -> dict[str, Any]:
    found: dict[str, Any] = {"asyncio": {}}
    async with grpc.aio.insecure_channel(address) as channel:
        call: Any = channel.unary_unary(f"/{SERVICE}/Unary")
        for code in CODES:
            try:
                await call(code.encode())
            except grpc.aio.AioRpcError as error:
                found["asyncio"][code] = outcome_of(error).name
        entered.clear()
        task = asyncio.create_task(_await(call(b"silent", timeout=LIMIT)))
        await asyncio.to_thread(entered.wait, LIMIT)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError as error:
            found["cancelled task"] = outcome_of(error).name
    return found


async def _await(call: Any) -> object:
    return await call


def main() -> None:
    server = grpc.server(ThreadPoolExecutor(8))
    methods = {
        "Unary": grpc.unary_unary_rpc_method_handler(answer),
        "Stream": grpc.unary_stream_rpc_method_handler(stream),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"127.0.0.1:{closed.getsockname()[1]}"
    with grpc.insecure_channel(address) as channel, grpc.insecure_channel(nobody) as refused:
        unary, streaming = channel.unary_unary(f"/{SERVICE}/Unary"), channel.unary_stream(f"/{SERVICE}/Stream")
        found: dict[str, Any] = {
            "unary": {code: outcome(unary, code.encode()) for code in CODES},
            "stream": {code: outcome(streaming, code.encode()) for code in CODES},
            "handler raised": outcome(unary, b"raise"),
            "deadline": outcome(unary, b"silent", timeout=0.1),
            "refused": outcome(refused.unary_unary(f"/{SERVICE}/Unary"), b"", timeout=LIMIT),
            "cancelled future": cancelled_after_start(unary.future, lambda call: call.result()),
            "cancelled stream": cancelled_after_start(streaming, list),
        }
        found |= asyncio.run(with_asyncio(address))
    ended.set()
    server.stop(None).wait(LIMIT)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
