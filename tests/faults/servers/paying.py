"""The application that the servers serve: `/` answers at once, `/slow?seconds=2` late. Both name the process.

`LOOKS` is a folder in which each process keeps a file `slow.<pid>` while it has a slow request under way.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from zkdiscovery import Client
from zkdiscovery.integrations import asgi

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


def serving(**options: Any) -> asgi.lifespan:
    """What registers an application. `PORT` is the port, `ZKDISCOVERY_*` the rest."""
    return asgi.lifespan(Client(), SERVICE, port=int(os.environ["PORT"]), drain_delay=DRAIN_DELAY, **options)


ROUTES = [Route("/", pay, methods=["GET", "POST"]), Route("/slow", pay_slowly)]


def app() -> Starlette:
    """An application that registers itself, for one process."""
    return Starlette(routes=ROUTES, lifespan=serving())


def shared() -> Starlette:
    """The same, for several processes behind one port."""
    return Starlette(routes=ROUTES, lifespan=serving(on_conflict="share"))
