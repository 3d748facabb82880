"""A FastAPI service under uvicorn that registers itself. Runs until SIGTERM or Ctrl-C, or for `--seconds`.

Needs `pip install fastapi uvicorn`.
"""

import argparse
import os
import signal
import socket
import threading

import uvicorn
from fastapi import FastAPI

from zkdiscovery import Client
from zkdiscovery.integrations import asgi


def free_port() -> int:
    """A port at which nobody listens."""
    with socket.create_server(("", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def main() -> None:
    """Serve on a free port, registered while serving."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=None, help="end by itself after so many seconds")
    seconds = parser.parse_args().seconds

    client = Client(namespace="/examples")
    port = free_port()
    app = FastAPI(lifespan=asgi.lifespan(client, "greetings", port=port, drain_delay=0.5))
    app.add_middleware(asgi.Health)  # /healthz and /readyz

    @app.get("/")
    def greet() -> str:
        return "hello"

    print(f"serving on port {port}")
    if seconds is not None:
        threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)).start()
    uvicorn.run(app, host="0.0.0.0", port=port, timeout_graceful_shutdown=20, log_level="warning")
    print("drained and gone")


if __name__ == "__main__":
    main()
