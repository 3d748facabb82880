"""`/healthz` and `/readyz`: what they say while ZooKeeper is there, away, and away from the start."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from tests.conftest import MakeClient
from tests.integration.docs.samples import free_port
from tests.integration.servers.programs import answers, get, gunicorn, running, uvicorn, write_programs
from tests.integration.servers.webclient import TestClient
from tests.support import LIMIT, wait_state, wait_until, wait_view
from zkdiscovery import Client, State, Status
from zkdiscovery.integrations import asgi, wsgi
from zkdiscovery.testing import FaultProxy, static_client

PLACE: Any = {"host": "127.0.0.1", "id": "one"}


def application(client: Client, **options: Any) -> FastAPI:
    """An application at whose port nobody listens."""
    app = FastAPI(lifespan=asgi.lifespan(client, "payments", port=free_port(), **PLACE))
    app.add_middleware(asgi.Health, **options)
    app.post("/readyz")(lambda: "the application's")
    return app


def test_ready_once_it_was_registered_and_in_every_outage_after(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy
) -> None:
    client = make_client(zkdiscovery_proxy.address)
    zkdiscovery_proxy.refuse()  # ZooKeeper is away from the start
    with TestClient(application(client)) as web:
        assert web.get("/healthz").status_code == 200
        answer = web.get("/readyz")
        said = "not ready: payments has not been registered yet: ZooKeeper has not confirmed it\n"
        assert (answer.status_code, answer.text) == (503, said)
        zkdiscovery_proxy.heal()
        wait_until(lambda: web.get("/readyz").status_code == 200)
        zkdiscovery_proxy.refuse()
        wait_state(client, State.SUSPENDED)
        nobody = "ready; payments is STARTING: nothing listens at 127.0.0.1:"
        wait_until(lambda: web.get("/readyz").text.startswith(nobody))
        assert web.get("/readyz").status_code == web.get("/healthz").status_code == 200
        client.close(0.5)  # as when a signal drains it
        answer = web.get("/readyz")
        assert (answer.status_code, answer.text) == (503, "not ready: payments is leaving\n")


def test_without_a_registration_if_that_is_wanted() -> None:
    client = Client(f"127.0.0.1:{free_port()}")
    with TestClient(application(client, require_registration=False)) as web:
        assert web.get("/readyz").status_code == 200
    client.close()


def test_only_the_log_names_the_servers(caplog: pytest.LogCaptureFixture) -> None:
    hosts = f"127.0.0.1:{free_port()}"
    client = Client(hosts)
    with TestClient(application(client)) as web, caplog.at_level(logging.INFO, "zkdiscovery.integrations"):
        assert {hosts in web.get("/readyz").text for _ in range(3)} == {False}
    client.close()
    (said,) = [record.getMessage() for record in caplog.records if record.name == "zkdiscovery.integrations"]
    assert f"payments has not been registered yet: no connection to ZooKeeper at {hosts}" in said


def test_why_it_is_not_registered(make_client: MakeClient) -> None:
    other = make_client().register("payments", 8080, **PLACE)
    other.wait_registered()
    app = FastAPI(
        lifespan=asgi.lifespan(make_client(), "payments", port=free_port(), on_conflict="refuse", **PLACE),
    )
    app.add_middleware(asgi.Health)
    with TestClient(app) as web:
        said = "not ready: payments has not been registered yet: another owner has the id\n"
        wait_until(lambda: web.get("/readyz").text == said)
        assert web.get("/readyz").status_code == 503


def test_nothing_that_registers() -> None:
    app = FastAPI()
    app.add_middleware(asgi.Health)
    with TestClient(app) as web:
        answer = web.get("/readyz")
    assert answer.status_code == 503
    assert "no integration of this process" in answer.text


def test_each_lifespan_of_a_process_counts() -> None:
    there, away = static_client(), Client(f"127.0.0.1:{free_port()}")
    with TestClient(application(there)) as web:
        assert web.get("/readyz").status_code == 200
        with TestClient(application(away)):
            assert web.get("/readyz").status_code == 503
        assert web.get("/readyz").status_code == 200
    away.close()


def test_other_requests_are_the_applications() -> None:
    with TestClient(application(static_client()), root_path="/api") as web:
        assert web.post("/readyz").json() == "the application's"
        assert web.get("/other").status_code == 404
        head = web.head("/healthz")
        assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "6")
        assert web.get("/api/readyz").status_code == 200, "the path as servers say it that have a root path"


def test_wsgi() -> None:
    def plain(_environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [b"paid"]

    said: list[str] = []

    def ask(path: str, method: str = "GET") -> bytes:
        environ = {"REQUEST_METHOD": method, "PATH_INFO": path}
        return b"".join(wsgi.Health(plain)(environ, lambda status, _headers: said.append(status)))

    client = static_client()
    assert ask("/healthz") == b"alive\n"
    assert ask("/readyz").startswith(b"not ready")
    with wsgi.serving(client, "payments", 8080, **PLACE):
        assert ask("/readyz") == b"ready\n"
        assert ask("/readyz", "HEAD") == b""
        assert ask("/readyz", "POST") == ask("/") == b"paid"
        client.drain()
        assert ask("/readyz") == b"not ready: payments is leaving\n"
    assert said == ["200 OK", "503 Service Unavailable", *["200 OK"] * 4, "503 Service Unavailable"]


@pytest.mark.parametrize("server", ["gunicorn", "preloaded", "uvicorn"])
def test_in_servers_processes(server: str, tmp_path: Path, port: int, make_client: MakeClient) -> None:
    command = {
        "gunicorn": gunicorn("shop:app"),
        "preloaded": gunicorn("shop:app", "--preload"),
        "uvicorn": uvicorn("app:app", port),
    }[server]
    payments = make_client().discover("payments")
    with running(tmp_path, *command) as program:
        payments.wait_ready(LIMIT)
        for _ in range(8):  # several workers
            assert answers(port, "/readyz") == answers(port, "/healthz") == 200
        program.signal(signal.SIGTERM)
        wait_view(payments, lambda snapshot: snapshot.instances[0].status is Status.DRAINING)
        wait_until(lambda: answers(port, "/readyz") == 503)
        program.wait()


@pytest.mark.parametrize("server", ["gunicorn", "uvicorn"])
def test_in_servers_processes_without_zookeeper(
    server: str, tmp_path: Path, namespace: str, zkdiscovery_proxy: FaultProxy
) -> None:
    zkdiscovery_proxy.refuse()
    port = write_programs(tmp_path, zkdiscovery_proxy.address, namespace)
    command = {"gunicorn": gunicorn("shop:app"), "uvicorn": uvicorn("app:app", port)}[server]
    with running(tmp_path, *command) as program:
        wait_until(lambda: answers(port, "/healthz") == 200)
        status, said = get(port, "/readyz")
        assert (status, said.startswith("not ready: payments has not been registered yet")) == (503, True)
        assert answers(port) == 200
        zkdiscovery_proxy.heal()
        wait_until(lambda: answers(port, "/readyz") == 200)
        zkdiscovery_proxy.refuse()
        assert answers(port, "/readyz") == 200
        program.signal(signal.SIGTERM)
        program.wait()
