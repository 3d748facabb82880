"""Starts of `gunicorn --preload` with an application that uses a client while it is imported, so just before the forks.

    python -m tests.integration.lifecycle.preloading 50

Each start is well if every worker answers from live data within `LIMIT` seconds.
"""

from __future__ import annotations

import http.client
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.integration.docs.samples import ROOT, free_port
from zkdiscovery import Client
from zkdiscovery.testing import zookeeper_server

WORKERS = 2
LIMIT = 15.0  # seconds for a start and the first answers
APPLICATION = """
import os, sys
from zkdiscovery import Client, NoInstanceAvailable

client = Client(os.environ["HOSTS"], namespace=os.environ["NAMESPACE"])
client.register("web", int(os.environ["PORT"]), host="127.0.0.1")
stock = client.discover("stock")

def application(environ, start_response):
    try:
        picked = stock.pick().id
    except NoInstanceAvailable:
        picked = "nothing"
    start_response("200 OK", [])
    return [f"{os.getpid()} {'stale' if stock.snapshot.stale else 'live'} {picked}".encode()]
"""


def answer(port: int) -> list[str]:
    """What a worker says: its process id, "live" or "stale", and what it has picked; nothing if none answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1.0)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode().split()
    except (OSError, http.client.HTTPException):
        return []
    finally:
        connection.close()


def start(folder: Path, hosts: str, namespace: str) -> tuple[float, str]:
    """Start and stop it once.

    Returns:
        the seconds until all workers have answered from live data, and what went wrong, "" if nothing did.
    """
    (folder / "preloaded.py").write_text(APPLICATION)
    port = free_port()
    begun = time.monotonic()
    live: set[str] = set()
    command = ["-m", "gunicorn", "preloaded:application", "--preload", "--no-control-socket"]
    with subprocess.Popen(
        [sys.executable, *command, "--workers", str(WORKERS), "--bind", f"127.0.0.1:{port}", "--timeout", "60"],
        cwd=folder,
        env={**os.environ, "HOSTS": hosts, "NAMESPACE": namespace, "PORT": str(port), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            while len(live) < WORKERS and time.monotonic() < begun + LIMIT:
                if (reply := answer(port))[1:] == ["live", "a"]:
                    live.add(reply[0])
                time.sleep(0.02)
            took = time.monotonic() - begun
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=LIMIT)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    if len(live) < WORKERS:
        return took, f"{len(live)} of {WORKERS} workers answered from live data"
    return took, said if "Traceback" in said or process.returncode else ""


def main() -> None:
    """As many starts as the first argument says."""
    starts, failed, took = int(sys.argv[1]), 0, []
    with zookeeper_server(source="local") as server, tempfile.TemporaryDirectory() as folder:
        namespace = f"/{secrets.token_hex(4)}"
        with Client(server.hosts, namespace=namespace) as client:
            client.register("stock", 8081, id="a", host="10.0.0.1").wait_registered(LIMIT)
            for _ in range(starts):
                seconds, wrong = start(Path(folder), server.hosts, namespace)
                took.append(seconds)
                failed += bool(wrong)
                print(f"{seconds:5.2f} s {wrong}", flush=True)
    print(f"{failed} of {starts} starts failed; median {sorted(took)[starts // 2]:.2f} s, longest {max(took):.2f} s")


if __name__ == "__main__":
    main()
