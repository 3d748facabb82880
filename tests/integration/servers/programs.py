"""The samples of "Web servers", word for word, as processes under real signals."""

from __future__ import annotations

import errno
import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.integration.docs.samples import ROOT, free_port, write_samples
from tests.support import LIMIT, wait_until

PAGE = "docs/how-to/servers.md"
SAMPLES = [
    "app.py",
    "own.py",
    "asgi_project.py",
    "hyper.py",
    "gunicorn.conf.py",
    "shop.py",
    "project_wsgi.py",
    "block.py",
]
DJANGO = """
from django.http import HttpResponse
from django.urls import path

SECRET_KEY = "for the test"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "project_settings"
urlpatterns = [path("", lambda request: HttpResponse("paid"))]
"""
SLOW = """
import os, time

def work(client):
    open("begun", "w").close()
    while not os.path.exists("go on"):
        time.sleep(0.02)
    return client.discover("stock").wait_ready(5.0).call(lambda instance: instance.id)
"""
SLOW_FASTAPI = """
from app import app, client
from slow import work

@app.get("/slow")
def slow():
    return work(client)
"""
SLOW_HYPERCORN = """
import asyncio
from hypercorn.asyncio import serve
from hyper import app, client, config, payments
from slow import work

@app.get("/slow")
def slow():
    return work(client)

asyncio.run(serve(app, config, shutdown_trigger=payments.drained))
"""
SLOW_FLASK = """
from runpy import run_path
from shop import app
from slow import work
from zkdiscovery import Client

settings = run_path("gunicorn.conf.py")["client"]._given
client = Client(settings["hosts"], namespace=settings["namespace"])

@app.get("/slow")
def slow():
    return work(client)
"""
SLOW_BLOCK = """
from pathlib import Path
from slow import work

before, _, block = Path("block.py").read_text().partition("with wsgi.serving")
exec(before)
plain = application

def application(environ, start_response):
    if environ["PATH_INFO"] != "/slow":
        return plain(environ, start_response)
    start_response("200 OK", [])
    return [work(client).encode()]

exec("with wsgi.serving" + block)
"""


def write_programs(folder: Path, hosts: str, namespace: str) -> int:
    """Write the samples and what is tried with them; answers the port that they use."""
    port = free_port()
    assert write_samples(PAGE, folder, hosts=hosts, namespace=namespace, port=port) == SAMPLES
    more = {
        "project_settings": DJANGO,
        "slow": SLOW,
        "slow_fastapi": SLOW_FASTAPI,
        "slow_hypercorn": SLOW_HYPERCORN,
        "slow_flask": SLOW_FLASK,
        "slow_block": SLOW_BLOCK,
    }
    for name, code in more.items():
        (folder / f"{name}.py").write_text(code)
    return port


def uvicorn(application: str, port: int, *options: str) -> list[str]:
    """The command that serves an application with uvicorn."""
    limits = ["--timeout-graceful-shutdown", "20"]
    return ["-m", "uvicorn", application, "--port", str(port), *limits, *options]


def gunicorn(application: str, *options: str) -> list[str]:
    """The command that serves an application with gunicorn."""
    return ["-m", "gunicorn", application, "--no-control-socket", *options]


def environment(**more: str) -> dict[str, str]:
    """The variables of a server's process."""
    return {**os.environ, "ZKDISCOVERY_ADVERTISE_HOST": "127.0.0.1", "PYTHONPATH": str(ROOT), **more}


class Program:
    """A server's process. What it prints is in `said`."""

    def __init__(self, folder: Path, *command: str, env: Mapping[str, str] | None = None) -> None:
        self._output = folder / f"output-{free_port()}"
        with self._output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                cwd=folder,
                env=env or environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        """What it has printed."""
        return self._output.read_text()

    def wait_said(self, text: str) -> None:
        """Wait until it has printed a text."""
        wait_until(lambda: text in self.said or self.process.poll() is not None)
        assert text in self.said, self.said

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self, timeout: float = LIMIT) -> int:
        """Wait for its end; its return code, negative for a signal."""
        return self.process.wait(timeout)

    def kill(self) -> None:
        """Kill it and what it has started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(LIMIT)


@contextmanager
def running(folder: Path, *command: str, env: Mapping[str, str] | None = None) -> Iterator[Program]:
    """A server's process for the block."""
    program = Program(folder, *command, env=env)
    try:
        yield program
    finally:
        program.kill()


def get(port: int, path: str = "/", method: str = "GET") -> tuple[int, str]:
    """One request on a connection of its own: its status and its body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def listens(port: int) -> bool:
    """True if somebody listens there. Makes no connection, which a server that stops would reset and report."""
    with socket.socket() as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that go on do not count
        try:
            own.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return True
    return False


def answers(port: int, path: str = "/") -> int:
    """The status of a request; 0 if the port is closed."""
    try:
        return get(port, path)[0]
    except (OSError, http.client.HTTPException):
        return 0
