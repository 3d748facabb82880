"""Real web servers under load, stopped by a signal."""

from __future__ import annotations

import http.client
import re
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import MakeClient
from tests.integration.lifecycle.first_process import FirstProcess
from tests.integration.servers.programs import environment, get, gunicorn, listens, running, uvicorn
from tests.support import LIMIT, Truth, wait_until, wait_view
from zkdiscovery import NoInstanceAvailable, Service, Status

CALLERS = 4
PAUSE = 0.04  # seconds between the calls of one caller: 100 a second in all
CALLS_BEFORE = 50  # before the server is stopped

TERM = -signal.SIGTERM
SERVERS = ["uvicorn", "own lifespan", "django by uvicorn", "hypercorn", "gunicorn", "preloaded", "django", "block"]
STATUS = {"uvicorn": TERM, "own lifespan": TERM, "django by uvicorn": TERM, "block": 143}


def command(server: str, port: int) -> list[str]:
    """What starts a server."""
    return {
        "uvicorn": uvicorn("app:app", port),
        "own lifespan": uvicorn("own:app", port),
        "django by uvicorn": uvicorn("asgi_project:application", port),
        "hypercorn": ["hyper.py"],
        "gunicorn": gunicorn("shop:app"),
        "preloaded": gunicorn("shop:app", "--preload"),
        "django": gunicorn("project_wsgi"),
        "block": ["block.py"],
    }[server]


def slow_command(server: str, port: int) -> list[str]:
    """What starts a server with a slow path."""
    return {
        "uvicorn": uvicorn("slow_fastapi:app", port),
        "hypercorn": ["slow_hypercorn.py"],
        "gunicorn": gunicorn("slow_flask:app", "--threads", "4"),
        "preloaded": gunicorn("slow_flask:app", "--preload", "--threads", "4"),
        "block": ["slow_block.py"],
    }[server]


class Load:
    """Calls of a service, none of them retried, until it has no instance any more."""

    def __init__(self, service: Service, path: str = "/") -> None:
        self.service = service
        self.path = path
        self.made = 0
        self.under_way = threading.Event()
        self.failures: list[object] = []
        self._lock = threading.Lock()
        self._end = threading.Event()

    def _call(self) -> None:
        while not self._end.wait(PAUSE):
            try:
                instance = self.service.pick()
            except NoInstanceAvailable:
                return
            try:
                status, body = get(instance.port, self.path)
                if status != 200:
                    self.failures.append((status, body))
            except (OSError, http.client.HTTPException) as error:
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


@pytest.mark.parametrize("server", SERVERS)
def test_no_call_is_refused_while_it_stops(server: str, tmp_path: Path, port: int, make_client: MakeClient) -> None:
    own = server == "own lifespan"
    load = Load(make_client().discover("prices" if own else "payments"), "/tea" if own else "/")
    with running(tmp_path, *command(server, port)) as program:
        load.service.wait_ready(LIMIT)
        with load.running():
            assert load.under_way.wait(LIMIT)
            program.signal(signal.SIGTERM)
        assert program.wait() == STATUS.get(server, 0), program.said
    assert load.failures == []
    assert "Traceback" not in program.said


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn", "gunicorn", "preloaded", "block"])
def test_a_slow_request_can_call_another_service_to_the_end(
    server: str, tmp_path: Path, port: int, make_client: MakeClient
) -> None:
    client = make_client()
    client.register("stock", 8081, host="10.0.0.2", id="the stock").wait_registered(LIMIT)
    payments = client.discover("payments")
    with running(tmp_path, *slow_command(server, port)) as program, ThreadPoolExecutor(1) as pool:
        payments.wait_ready(LIMIT)
        answer = pool.submit(get, port, "/slow")
        try:
            wait_until((tmp_path / "begun").exists)
            program.signal(signal.SIGTERM)
            wait_view(payments, lambda snapshot: len(snapshot) == 0)
            if "gunicorn" in " ".join(slow_command(server, port)):
                program.wait_said("Handling signal: term")  # its workers' backlogs accept on
            else:
                wait_until(lambda: not listens(port))
        finally:
            (tmp_path / "go on").touch()
        status, body = answer.result(LIMIT)
        assert (status, body.strip('"')) == (200, "the stock"), program.said
        assert program.wait() == STATUS.get(server, 0), program.said
    assert "Traceback" not in program.said


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn", "gunicorn", "block"])
def test_as_the_first_process_of_a_container(
    server: str, tmp_path: Path, port: int, make_client: MakeClient, truth: Truth, namespace: str
) -> None:
    payments = make_client().discover("payments")
    with FirstProcess(*command(server, port), folder=tmp_path, env=environment()) as process:
        payments.wait_ready(LIMIT)
        process.signal(signal.SIGTERM)
        wait_view(payments, lambda snapshot: len(snapshot) == 0)
        status = process.wait()
    assert status == {"uvicorn": 0, "block": 143}.get(server, 0)
    assert truth.children(f"{namespace}/services/payments") == []


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn", "gunicorn", "block"])
def test_a_second_signal_proceeds_at_once(server: str, tmp_path: Path, port: int, make_client: MakeClient) -> None:
    payments = make_client().discover("payments")
    for sample in ("app.py", "hyper.py", "gunicorn.conf.py", "block.py"):
        text = (tmp_path / sample).read_text()
        (tmp_path / sample).write_text(re.sub(r'(client, "payments"[^)]*)\)', r"\1, drain_delay=3600.0)", text))
    with running(tmp_path, *command(server, port)) as program:
        payments.wait_ready(LIMIT)
        program.signal(signal.SIGTERM)
        wait_view(payments, lambda snapshot: snapshot.instances[0].status is Status.DRAINING)
        program.signal(signal.SIGTERM)
        assert program.wait() == STATUS.get(server, 0), program.said
