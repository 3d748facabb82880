"""The application, served by hypercorn from a program: `python -m tests.faults.servers.paying_hypercorn`."""

from __future__ import annotations

import asyncio
import os

from hypercorn.asyncio import serve
from hypercorn.config import Config
from starlette.applications import Starlette

from tests.faults.servers.fleet import GRACE
from tests.faults.servers.paying import ROUTES, serving

payments = serving()
app = Starlette(routes=ROUTES, lifespan=payments)

config = Config()
config.bind = [f"127.0.0.1:{os.environ['PORT']}"]
config.graceful_timeout = GRACE
config.keep_alive_timeout = 10.0  # seconds; longer than callers keep idle connections

if __name__ == "__main__":
    asyncio.run(serve(app, config, shutdown_trigger=payments.drained))  # type: ignore[arg-type]
