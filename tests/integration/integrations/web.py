"""Real web servers on threads, that the callers call, and certificates for them."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from tests.support import LIMIT, wait_until


class Web:
    """A server in a `with` block. It answers as its paths say.

    Args:
        certificate: a file with a certificate and its key; None: no TLS.
        host: the loopback address to listen on.

    Attributes:
        port: where it listens.
        sni: the names that clients asked for in their TLS handshakes.
        status: what `/echo` answers.
        go_on: lets `/stream` send the second half of its body.
    """

    def __init__(self, certificate: Path | None = None, host: str = "127.0.0.1") -> None:
        self.sni: list[str | None] = []
        self.status = 200
        self.go_on: Callable[[], object] = lambda: None
        routes = [
            Route("/echo", self._echo, methods=["GET", "POST", "HEAD"]),
            Route("/orders", self._echo, methods=["GET", "POST"]),
            Route("/relative", self._relative),
            Route("/redirect", self._redirect, methods=["GET", "POST"]),
            Route("/hang", self._hang),
            Route("/stream", self._stream),
            Route("/broken", self._broken),
            Route("/stuck", self._stuck),
            Route("/cookie", self._cookie),
            WebSocketRoute("/socket", self._socket),
        ]
        self._socket_ = socket.create_server(
            (host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=128
        )
        self.port: int = self._socket_.getsockname()[1]
        self._application = Starlette(routes=routes)
        config = uvicorn.Config(
            self._serve, interface="asgi3", lifespan="off", log_level="critical", ssl_certfile=certificate, ws="wsproto"
        )
        config.load()
        if config.ssl is not None:
            config.ssl.sni_callback = self._on_sni
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket_],))

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer as a proxy would, too: those are asked for whole URLs."""
        scope["path"] = urlsplit(scope["path"]).path
        await self._application(scope, receive, send)

    def _on_sni(self, _socket: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        self.sni.append(name)

    async def _echo(self, request: Request) -> JSONResponse:
        body = await request.body()
        told = {
            "host": request.headers["host"],
            "method": request.method,
            "query": request.url.query,
            "body": body.decode(),
            "cookie": request.headers.get("cookie"),
            "from": request.client.port if request.client else None,
            "port": self.port,
        }
        return JSONResponse(told, self.status)

    async def _relative(self, _request: Request) -> Response:
        return RedirectResponse("/echo?relative")

    async def _redirect(self, request: Request) -> Response:
        return RedirectResponse(request.query_params["to"])

    async def _hang(self, _request: Request) -> Response:
        await asyncio.Event().wait()
        return Response()

    async def _stream(self, _request: Request) -> Response:
        loop, half = asyncio.get_running_loop(), asyncio.Event()
        self.go_on = lambda: loop.call_soon_threadsafe(half.set)

        async def chunks() -> AsyncIterator[bytes]:
            for number in range(100):
                if number == 50:
                    await half.wait()
                yield f"{number:03}".encode() + b"." * 10_000
                await asyncio.sleep(0)

        return StreamingResponse(chunks())

    async def _broken(self, _request: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"first"

        return StreamingResponse(chunks(), headers={"Content-Length": "100"})  # uvicorn cuts the connection

    async def _stuck(self, _request: Request) -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"first"
            await asyncio.Event().wait()

        return StreamingResponse(chunks())

    async def _cookie(self, _request: Request) -> Response:
        response = Response()
        response.set_cookie("seen", "yes")
        return response

    async def _socket(self, websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())
        await websocket.close()

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: self._server.started)
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(LIMIT)
        self._socket_.close()


class Deaf:
    """A port in a `with` block whose connections are never made: its backlog is full."""

    def __enter__(self) -> Self:
        self._sockets = [socket.socket()]
        self._sockets[0].bind(("127.0.0.1", 0))
        self._sockets[0].listen(0)
        self.port: int = self._sockets[0].getsockname()[1]
        for _ in range(4):
            waiting = socket.socket()
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", self.port))
            self._sockets.append(waiting)
        return self

    def __exit__(self, *exc: object) -> None:
        for each in self._sockets:
            each.close()


def make_certificate(folder: Path, name: str) -> Path:
    """A certificate for a host, signed by itself, and its key in one file; it is its own authority."""
    path, key = folder / f"{name}.pem", folder / f"{name}.key"
    command: list[Any] = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        f"/CN={name}",
    ]
    command += ["-addext", f"subjectAltName=DNS:{name}", "-out", path, "-keyout", key]
    subprocess.run(command, check=True, capture_output=True, timeout=LIMIT)
    path.write_text(path.read_text() + key.read_text())
    return path
