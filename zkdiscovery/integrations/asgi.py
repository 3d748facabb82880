"""ASGI applications: registered while they are served, drained before their server closes its port.

```python
from fastapi import FastAPI
from zkdiscovery import Client
from zkdiscovery.integrations import asgi

client = Client("zk1:2181,zk2:2181,zk3:2181", namespace="/shop")
app = FastAPI(lifespan=asgi.lifespan(client, "payments", port=8080))
app.add_middleware(asgi.Health)  # /healthz and /readyz

@app.get("/")
def pay():
    return "paid"

# uvicorn app:app --host 0.0.0.0 --port 8080 --timeout-graceful-shutdown 20 --timeout-keep-alive 10
```

A signal that stops uvicorn takes this course: the instance is DRAINING, the server serves on for `drain_delay`, the
instance is out, uvicorn closes its port and finishes its requests, the application's own lifespan ends, the client
closes. The order holds because uvicorn installs its handlers before it runs the lifespan, so ours are called first.

Threads: a lifespan runs on the thread of its event loop. What waits for ZooKeeper or imports modules runs on another.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from typing import Any, TypeVar, Unpack

from zkdiscovery.client import Client
from zkdiscovery.errors import ClientClosed, InvalidInstance
from zkdiscovery.integrations.clients import HasClient, plain_client
from zkdiscovery.integrations.health import Watched, answer_to
from zkdiscovery.integrations.stopping import DRAIN_DELAY, Linger, Stopping
from zkdiscovery.registration import RegisterOptions, Registration

R = TypeVar("R")

log = logging.getLogger("zkdiscovery.integrations")

Lifespan = Callable[[Any], AbstractAsyncContextManager[Any]]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class lifespan:  # noqa: N801 - reads as a function: `FastAPI(lifespan=lifespan(client, ...))`
    """A lifespan that registers an instance for as long as the application is served.

    The instance is STARTING until the port accepts connections, then UP. On SIGTERM or SIGINT it drains before the
    server hears of the signal; the client closes once the server has finished its requests and the application's own
    lifespan has ended. Without a signal the instance leaves at once, because its port is closed already, and the client
    stays open, because the process goes on.

    On another thread than the main one, such as that of a test client, it handles no signal.

    Args:
        client: what registers; a `Client`, or an asynchronous client.
        service: name of the service.
        port: TCP port that callers use. A server on a Unix socket or an inherited file descriptor has none of its own:
            give that of the proxy before it.
        wrap: the application's own lifespan. It starts before the instance is registered, and ends after the instance
            is out. Its state is passed on.
        options: as in `Client.register`; `ready` is "listening" and `drain_delay` 1.0 unless given.

    Raises:
        InvalidInstance: port 0, which nobody would tell later.
    """

    def __init__(
        self,
        client: Client | HasClient,
        service: str,
        *,
        port: int,
        wrap: Lifespan | None = None,
        **options: Unpack[RegisterOptions],
    ) -> None:
        if not port:
            raise InvalidInstance(
                f"the lifespan of {service!r} needs the port that callers use, not {port!r}:"
                " it starts before the server opens one, and can't ask for it"
            )
        options.setdefault("ready", "listening")
        options.setdefault("drain_delay", DRAIN_DELAY)
        self._client = plain_client(client)
        self._service = service
        self._port = port
        self._options = options
        self._own: Lifespan = wrap or (lambda _app: nullcontext())
        self._watched: Watched | None = None
        self._stopping: Stopping | None = None

    @property
    def registration(self) -> Registration:
        """The registration, while the application is served.

        Raises:
            RuntimeError: the lifespan is not running.
        """
        if self._watched is None:
            raise self._not_started()
        return self._watched.registration

    def __call__(self, app: Any) -> AbstractAsyncContextManager[Any]:
        """The lifespan of `app`, as Starlette, FastAPI and Litestar ask for it."""
        return self._serve(app)

    async def drained(self) -> None:
        """Wait for a signal, and until the instance is out; then the server may close its port.

        For servers that let the program say when to stop, such as hypercorn's `serve(shutdown_trigger=...)`.

        Raises:
            RuntimeError: the lifespan is not running.
            ValueError: not on the main thread, so no signal can be heard of.
        """
        if self._stopping is None:
            raise self._not_started()
        loop, out = asyncio.get_running_loop(), asyncio.Event()
        self._stopping.instead(lambda _number: loop.call_soon_threadsafe(out.set))
        await out.wait()

    def _not_started(self) -> RuntimeError:
        return RuntimeError(f"the lifespan of {self._service!r} is not running: give it to the application")

    @asynccontextmanager
    async def _serve(self, app: Any) -> AsyncIterator[Any]:
        stopping = Stopping(self._client)
        try:
            with stopping:  # first, because a signal may come while the application starts
                async with self._own(app) as state:
                    watched = await self._register(stopping)
                    self._linger(self._options["drain_delay"])
                    self._watched, self._stopping = watched, stopping
                    try:
                        yield state
                    finally:
                        self._watched = self._stopping = None
                        await self._leave(watched)
        finally:
            if stopping.ends_client:
                await _close(self._client)

    async def _register(self, stopping: Stopping) -> Watched | None:
        try:
            await _elsewhere(self._client.start)
            return Watched(self._service, self._client.register(self._service, self._port, **self._options))
        except ClientClosed:
            if stopping.signalled:  # while the application started; it is stopped as soon as it is up
                return None
            raise

    async def _leave(self, watched: Watched | None) -> None:
        if watched is not None:
            self._linger(0.0)
            await _elsewhere(watched.leave)

    def _linger(self, delay: float) -> None:
        if self._options.get("on_conflict") == "share":
            with suppress(ClientClosed):  # a signal came, or the program has closed the client
                self._client.feature(Linger).delay = delay


async def _close(client: Client) -> None:
    try:
        await _elsewhere(client.close)
    except Exception:  # what the application has raised says more
        log.exception("closing %r failed; the process ends all the same", client)


async def _elsewhere(fn: Callable[[], R]) -> R:
    """Call `fn` on a thread of its own, because the loop's pool may be full of the application's work."""
    pool = ThreadPoolExecutor(1, "zkdiscovery-lifespan")
    try:
        return await asyncio.get_running_loop().run_in_executor(pool, fn)
    finally:
        pool.shutdown(wait=False)


class Health:
    """Middleware that answers `/healthz` and `/readyz`; all else is the application's.

    `/healthz` is 200 while the process answers. `/readyz` is 200 once each lifespan of this process has registered its
    instance, STARTING included, and 503 before that and while one is leaving; the body says why. Later outages of
    ZooKeeper change neither.

    Args:
        app: the application.
        require_registration: False: ready without ZooKeeper, too. Then a process that starts during an outage of
            ZooKeeper gets traffic from an orchestrator that asks, and none from callers that discover it.
    """

    def __init__(self, app: Application, *, require_registration: bool = True) -> None:
        self._app = app
        self._require_registration = require_registration

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = None
        if scope["type"] == "http" and scope["method"] in {"GET", "HEAD"}:
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            answer = answer_to(path, require_registration=self._require_registration)
        if answer is None:
            await self._app(scope, receive, send)
            return
        headers = [(name.encode(), value.encode()) for name, value in answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})
