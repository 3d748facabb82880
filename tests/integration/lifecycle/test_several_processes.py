"""The sample of "Several processes behind one port", word for word: uvicorn and its workers, recycled and killed."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import MakeClient
from tests.faults.registrations.shared_workers import DRAINING, START_LIMIT, UP, watching
from tests.integration.docs.samples import free_port, write_samples
from tests.support import LIMIT, Truth, wait_until, wait_view
from zkdiscovery.testing import ZookeeperServer
from zkdiscovery.znodes import watched

WORKERS = 3
HEALTHCHECK = 60.0  # seconds; a worker may take as long to start on a busy machine


@contextmanager
def uvicorn(folder: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """The command of the page."""
    command = ["-m", "uvicorn", "app:app", "--port", str(port), "--workers", str(WORKERS), "--log-level", "warning"]
    with subprocess.Popen(
        [sys.executable, *command, "--timeout-worker-healthcheck", f"{HEALTHCHECK:.0f}"],
        cwd=folder,
        env={**os.environ, "ZKDISCOVERY_ADVERTISE_HOST": "127.0.0.1", "ZKDISCOVERY_SESSION_TIMEOUT": "20"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def served_by(port: int) -> int:
    """The process that answers a request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    try:
        connection.request("GET", "/")
        return int(connection.getresponse().read())
    finally:
        connection.close()


@pytest.mark.timeout(360)
def test_uvicorn_with_workers(
    make_client: MakeClient,
    truth: Truth,
    zkdiscovery_server: ZookeeperServer,
    namespace: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker is killed, all are replaced one by one, and the server stops: one instance, which drains once."""
    monkeypatch.setattr(watched, "ONE_TRANSACTION", 0.25)  # a busy machine
    port = free_port()
    page = "docs/how-to/several-processes.md"
    assert write_samples(page, tmp_path, hosts=zkdiscovery_server.hosts, namespace=namespace, port=port) == ["app.py"]
    view = make_client(session_timeout=20.0).discover("payments")
    group = f"{namespace}/share/payments"

    def standbys() -> list[str]:
        return [name for place in truth.children(group) for name in truth.children(f"{group}/{place}")]

    with uvicorn(tmp_path, port) as server:
        wait_view(view, lambda snapshot: [str(i.status) for i in snapshot] == [UP], START_LIMIT)
        wait_until(lambda: len(standbys()) == WORKERS, START_LIMIT)
        (instance,) = view.snapshot
        with watching(view, truth, f"{namespace}/services/payments/{instance.id}") as watch:
            first = set(standbys())
            os.kill(served_by(port), signal.SIGKILL)
            # uvicorn may have asked the worker just before how it is, and waits for an answer then.
            wait_until(lambda: len(set(standbys()) - first) == 1, HEALTHCHECK + START_LIMIT)
            second = set(standbys())
            server.send_signal(signal.SIGHUP)
            wait_until(lambda: len(set(standbys()) - second) == WORKERS and not set(standbys()) & second - first, 120.0)
            assert watch.statuses == [UP]
            server.send_signal(signal.SIGTERM)
            wait_view(view, lambda snapshot: not snapshot.instances)
            output, _ = server.communicate(timeout=START_LIMIT)
    assert watch.statuses == [UP, DRAINING, "missing"]
    assert output == ""
