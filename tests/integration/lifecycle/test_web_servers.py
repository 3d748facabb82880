"""Real web servers under load, stopped by a signal: the samples of "Deploy and stop", word for word."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import MakeClient
from tests.integration.docs.samples import free_port, write_samples
from tests.integration.lifecycle import preloading
from tests.integration.lifecycle.first_process import FirstProcess
from tests.support import LIMIT, Truth, wait_until, wait_view
from zkdiscovery import Instance, NoInstanceAvailable, Service
from zkdiscovery.testing import ZookeeperServer

CALLERS = 4
PAUSE = 0.04  # seconds between the calls of one caller: 100 a second in all
CALLS_BEFORE = 50  # before the server is stopped
GRACE = 8.0  # seconds

WSGI = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "4")])
    return [b"paid"]
"""
SLOW = """
import os, time
from app import app, client

@app.get("/slow")
def slow():
    open("begun", "w").close()
    while not os.path.exists("go on"):
        time.sleep(0.02)
    return client.discover("stock").wait_ready(5.0).call(lambda instance: instance.id)
"""


def get(instance: Instance, path: str = "/") -> str:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(instance.host, instance.port, timeout=LIMIT)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.status == 200
        return response.read().decode()
    finally:
        connection.close()


class Load:
    """Calls of a service, none of them retried, until it has no instance any more."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.made = 0
        self.under_way = threading.Event()
        self.failures: list[BaseException] = []
        self._lock = threading.Lock()
        self._end = threading.Event()

    def _call(self) -> None:
        while not self._end.wait(PAUSE):
            try:
                instance = self.service.pick()
            except NoInstanceAvailable:
                return
            try:
                get(instance)
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.failures.append(error)
            with self._lock:
                self.made += 1
            if self.made >= CALLS_BEFORE:
                self.under_way.set()

    @contextmanager
    def running(self) -> Iterator[None]:
        callers = [threading.Thread(target=self._call) for _ in range(CALLERS)]
        for caller in callers:
            caller.start()
        try:
            yield
            for caller in callers:
                caller.join(LIMIT)
        finally:
            self._end.set()
            for caller in callers:
                caller.join(LIMIT)


@pytest.fixture
def folder(tmp_path: Path, zkdiscovery_server: ZookeeperServer, namespace: str) -> Path:
    names = write_samples(
        "docs/how-to/deploying.md", tmp_path, hosts=zkdiscovery_server.hosts, namespace=namespace, port=free_port()
    )
    assert names == ["app.py", "gunicorn.conf.py"]
    (tmp_path / "wsgi.py").write_text(WSGI)
    (tmp_path / "slow.py").write_text(SLOW)
    return tmp_path


@pytest.fixture
def port(folder: Path) -> str:
    text = (folder / "app.py").read_text()
    return text.partition('client.register("payments", ')[2].partition(",")[0]


@pytest.fixture
def environment() -> dict[str, str]:
    return {**os.environ, "ZKDISCOVERY_ADVERTISE_HOST": "127.0.0.1"}


def command(server: str, port: str) -> list[str]:
    return {
        "uvicorn": ["-m", "uvicorn", "app:app", "--port", port, "--log-level", "warning"],
        "slow": ["-m", "uvicorn", "slow:app", "--port", port, "--log-level", "warning"],
        "gunicorn": ["-m", "gunicorn", "wsgi", "--no-control-socket"],
        "gunicorn, preloaded": ["-m", "gunicorn", "wsgi", "--no-control-socket", "--preload"],
    }[server]


@contextmanager
def serving(server: str, port: str, folder: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, *command(server, port)],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("server", "status"), [("uvicorn", -signal.SIGTERM), ("gunicorn", 0), ("gunicorn, preloaded", 0)]
)
def test_no_call_is_refused_while_it_stops(
    server: str, status: int, folder: Path, port: str, environment: dict[str, str], make_client: MakeClient
) -> None:
    load = Load(make_client().discover("payments"))
    with serving(server, port, folder, environment) as process:
        load.service.wait_ready(LIMIT)
        with load.running():
            assert load.under_way.wait(LIMIT)
            process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=GRACE)
    assert process.returncode == status, said
    assert load.failures == []
    assert "Traceback" not in said


@pytest.mark.parametrize("number", range(3))
def test_each_worker_of_a_preloaded_application_answers_from_live_data(
    number: int, tmp_path: Path, zkdiscovery_server: ZookeeperServer, namespace: str, make_client: MakeClient
) -> None:
    make_client().register("stock", 8081, id="a", host="10.0.0.1").wait_registered(LIMIT)
    took, wrong = preloading.start(tmp_path, zkdiscovery_server.hosts, namespace)
    assert wrong == "", f"start {number}, after {took:.1f} s"


def test_a_slow_request_can_call_another_service_to_the_end(
    folder: Path, port: str, environment: dict[str, str], make_client: MakeClient
) -> None:
    client = make_client()
    client.register("stock", 8081, host="10.0.0.2", id="the stock").wait_registered(LIMIT)
    payments = client.discover("payments")
    with serving("slow", port, folder, environment) as process, ThreadPoolExecutor(1) as pool:
        instance = payments.wait_ready(LIMIT).pick()
        answer = pool.submit(get, instance, "/slow")
        wait_for_file(folder / "begun")
        process.send_signal(signal.SIGTERM)
        wait_view(payments, lambda snapshot: len(snapshot) == 0)
        wait_refused(instance)
        (folder / "go on").touch()
        assert answer.result(LIMIT) == '"the stock"'
        assert process.wait(GRACE) == -signal.SIGTERM


def wait_for_file(path: Path) -> None:
    wait_until(path.exists)


def wait_refused(instance: Instance) -> None:
    """Wait until the server has closed its port."""

    def refused() -> bool:
        try:
            get(instance)
        except OSError:
            return True
        return False

    wait_until(refused)


@pytest.mark.parametrize("server", ["uvicorn", "gunicorn"])
def test_as_the_first_process_of_a_container(
    server: str,
    folder: Path,
    port: str,
    environment: dict[str, str],
    make_client: MakeClient,
    truth: Truth,
    namespace: str,
) -> None:
    payments = make_client().discover("payments")
    with FirstProcess(*command(server, port), folder=folder, env=environment) as process:
        payments.wait_ready(LIMIT)
        process.signal(signal.SIGTERM)
        wait_view(payments, lambda snapshot: len(snapshot) == 0)
        process.wait(GRACE)
    assert truth.children(f"{namespace}/services/payments") == []
