"""The application that the servers serve: `/` answers at once, `/slow?seconds=2` late. Both name the process.

`LOOKS` is a folder in which each process keeps a file `slow.<pid>` while it has a slow request under way.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from zkdiscovery import Client, close_on_signals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

SERVICE = "payments"
DRAIN_DELAY = 3.0  # seconds; more than a caller on a busy machine needs to hear that an instance goes


@contextmanager
def marked_slow() -> Iterator[None]:
    """Tell the test that a slow request is under way in this process."""
    mark = Path(os.environ["LOOKS"]) / f"slow.{os.getpid()}"
    mark.touch()
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)


async def pay(_request: Request) -> PlainTextResponse:
    """Answer at once."""
    return PlainTextResponse(f"paid by {os.getpid()}")


async def pay_slowly(request: Request) -> PlainTextResponse:
    """Answer after some seconds."""
    with marked_slow():
        await asyncio.sleep(float(request.query_params["seconds"]))
    return PlainTextResponse(f"paid by {os.getpid()}")


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    """Register, as "Deploy and stop" shows for uvicorn. `PORT` is the port, `ZKDISCOVERY_*` the rest."""
    client = Client()
    client.register(SERVICE, int(os.environ["PORT"]), ready="listening", drain_delay=DRAIN_DELAY)
    with close_on_signals(client):
        yield
    client.close()


ROUTES = [Route("/", pay, methods=["GET", "POST"]), Route("/slow", pay_slowly)]

app = Starlette(routes=ROUTES, lifespan=lifespan)
"""Registers itself; for a server that registers in another way there is `unregistered`."""

unregistered = Starlette(routes=ROUTES)
