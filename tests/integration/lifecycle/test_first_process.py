"""The first process of a container ends by itself after a signal, with the usual status."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.integration.docs.samples import free_port, write_samples
from tests.integration.lifecycle.first_process import FirstProcess
from tests.integration.registration.helpers import read
from tests.support import Truth
from zkdiscovery import Status
from zkdiscovery.testing import ZookeeperServer

GRACE = 8.0  # seconds: Docker kills after 10


@pytest.fixture
def serve(tmp_path: Path, zkdiscovery_server: ZookeeperServer, namespace: str) -> FirstProcess:
    """README's serve.py, word for word."""
    write_samples("README.md", tmp_path, hosts=zkdiscovery_server.hosts, namespace=namespace, port=free_port())
    return FirstProcess("serve.py", folder=tmp_path)


@pytest.fixture
def payments(namespace: str) -> str:
    return f"{namespace}/services/payments"


def wait_up(truth: Truth, service: str) -> str:
    """Wait until the only instance is UP; its path."""
    truth.wait(service, lambda _: bool(truth.children(service)))
    path = f"{service}/{truth.children(service)[0]}"
    truth.wait(path, lambda node: node is not None and read(path, node).status is Status.UP)
    return path


def test_sigterm_ends_it(serve: FirstProcess, truth: Truth, payments: str) -> None:
    with serve as process:
        path = wait_up(truth, payments)
        begun = time.monotonic()
        process.signal(signal.SIGTERM)
        truth.wait(path, lambda node: node is None)
        assert process.wait(GRACE) == 128 + signal.SIGTERM
        assert time.monotonic() - begun < GRACE


def test_a_second_sigterm_ends_it_at_once(serve: FirstProcess, truth: Truth, payments: str) -> None:
    with serve as process:
        path = wait_up(truth, payments)
        process.signal(signal.SIGTERM)
        truth.wait(path, lambda node: node is None or read(path, node).status is Status.DRAINING)
        process.signal(signal.SIGTERM)
        assert process.wait(GRACE) == 128 + signal.SIGTERM


def test_sigint_is_a_keyboard_interrupt(serve: FirstProcess, truth: Truth, payments: str) -> None:
    with serve as process:
        path = wait_up(truth, payments)
        process.signal(signal.SIGINT)
        assert process.wait(GRACE) == 0, "serve.py suppresses it"
        assert truth.get(path) is None


@pytest.mark.parametrize(("page", "program", "election"), [("docs/tutorial.md", "sweep.py", "sweep")])
def test_a_leader_ends(
    tmp_path: Path,
    zkdiscovery_server: ZookeeperServer,
    truth: Truth,
    namespace: str,
    page: str,
    program: str,
    election: str,
) -> None:
    write_samples(page, tmp_path)
    environment = {**os.environ, "ZKDISCOVERY_HOSTS": zkdiscovery_server.hosts, "ZKDISCOVERY_NAMESPACE": namespace}
    queue = f"{namespace}/elections/{election}"
    with FirstProcess(program, "3600", folder=tmp_path, env=environment) as process:
        truth.wait(queue, lambda _: bool(truth.children(queue)))
        process.signal(signal.SIGTERM)
        assert process.wait(GRACE) == 128 + signal.SIGTERM
        assert truth.children(queue) == []


def test_what_a_handler_of_before_decides_stands(
    tmp_path: Path, zkdiscovery_server: ZookeeperServer, truth: Truth, namespace: str, payments: str
) -> None:
    (tmp_path / "exits.py").write_text(f"""
import signal, sys, threading
from zkdiscovery import Client, close_on_signals
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
client = Client({zkdiscovery_server.hosts!r}, namespace={namespace!r})
client.register("payments", 8080, host="127.0.0.1", id="a")
close_on_signals(client)
threading.Event().wait()
""")
    with FirstProcess("exits.py", folder=tmp_path) as process:
        wait_up(truth, payments)
        process.signal(signal.SIGTERM)
        assert process.wait(GRACE) == 7
    assert truth.children(payments) == []
