"""uvicorn in its several ways: failing applications, two in one process, reload, factories, Unix sockets."""

from __future__ import annotations

import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.conftest import MakeClient
from tests.integration.servers.programs import answers, get, running, uvicorn
from tests.support import LIMIT, Recorder, Truth, wait_until, wait_view
from zkdiscovery import Change, Service, Status

OWN = """
import os, time
from contextlib import asynccontextmanager
from fastapi import FastAPI
from zkdiscovery.integrations import asgi
from app import client

@asynccontextmanager
async def own(app):
    START
    yield
    END

app = FastAPI(lifespan=asgi.lifespan(client, "payments", port=PORT, wrap=own))
"""
TWO = """
import asyncio, sys
import uvicorn
from fastapi import FastAPI
from zkdiscovery.integrations import asgi
from slow_fastapi import app, client

other = FastAPI(lifespan=asgi.lifespan(client, "other", port=int(sys.argv[2])))

async def serve():
    configs = [uvicorn.Config(each, port=int(port)) for each, port in zip((app, other), sys.argv[1:], strict=True)]
    await asyncio.gather(*(uvicorn.Server(config).serve() for config in configs))

asyncio.run(serve())
"""
FACTORY = """
def make():
    from app import app
    return app
"""


def statuses(service: Service) -> Recorder[set[Status]]:
    """What the view has shown, from now on."""
    seen: Recorder[set[Status]] = Recorder()

    def note(change: Change) -> None:
        seen({instance.status for instance in change.after})

    service.on_change(note)
    return seen


def write_own(folder: Path, port: int, start: str = "pass", end: str = "pass") -> None:
    """An application with a lifespan of its own."""
    code = OWN.replace("START", start).replace("END", end).replace("PORT", str(port))
    (folder / "failing.py").write_text(code)


def test_an_application_that_fails_at_the_start_is_never_up(
    tmp_path: Path, port: int, make_client: MakeClient, truth: Truth, namespace: str
) -> None:
    payments = make_client().discover("payments").wait_ready(LIMIT, at_least=0)
    seen = statuses(payments)
    write_own(tmp_path, port, start="raise LookupError('no database')")
    with running(tmp_path, *uvicorn("failing:app", port)) as program:
        assert program.wait() == 3
    assert "LookupError: no database" in program.said
    assert all(not each for each in seen.items)
    assert truth.children(f"{namespace}/services/payments") == []


def test_an_application_that_fails_at_the_end_is_out(
    tmp_path: Path, port: int, make_client: MakeClient, truth: Truth, namespace: str
) -> None:
    payments = make_client().discover("payments")
    write_own(tmp_path, port, end="raise LookupError('the database is gone')")
    with running(tmp_path, *uvicorn("failing:app", port)) as program:
        payments.wait_ready(LIMIT)
        program.signal(signal.SIGTERM)
        program.wait()
    assert "LookupError: the database is gone" in program.said
    assert truth.children(f"{namespace}/services/payments") == []


def test_a_signal_while_the_application_starts(
    tmp_path: Path, port: int, make_client: MakeClient, truth: Truth, namespace: str
) -> None:
    """uvicorn starts it up to the end, and then stops at once."""
    payments = make_client().discover("payments").wait_ready(LIMIT, at_least=0)
    seen = statuses(payments)
    wait = "open('begun', 'w').close()\n    while not os.path.exists('go on'): time.sleep(0.02)"
    write_own(tmp_path, port, start=wait)
    with running(tmp_path, *uvicorn("failing:app", port)) as program:
        wait_until((tmp_path / "begun").exists)
        program.signal(signal.SIGTERM)
        (tmp_path / "go on").touch()
        assert program.wait() == -signal.SIGTERM, program.said
    assert "Traceback" not in program.said
    assert all(Status.UP not in each for each in seen.items)
    assert truth.children(f"{namespace}/services/payments") == []


def test_a_port_that_is_taken(tmp_path: Path, port: int, make_client: MakeClient, truth: Truth, namespace: str) -> None:
    with socket.create_server(("127.0.0.1", port)), running(tmp_path, *uvicorn("app:app", port)) as program:
        assert program.wait() == 3
    assert truth.children(f"{namespace}/services/payments") == []


def test_two_applications_in_one_process(tmp_path: Path, port: int, make_client: MakeClient) -> None:
    """The client that both use closes with the last of them."""
    client = make_client()
    client.register("stock", 8081, host="10.0.0.2", id="the stock").wait_registered(LIMIT)
    views = [client.discover(name) for name in ("payments", "other")]
    with socket.create_server(("127.0.0.1", 0)) as server:
        other = server.getsockname()[1]
    (tmp_path / "two.py").write_text(TWO)
    with running(tmp_path, "two.py", str(port), str(other)) as program, ThreadPoolExecutor(1) as pool:
        for view in views:
            view.wait_ready(LIMIT)
        answer = pool.submit(get, port, "/slow")
        wait_until((tmp_path / "begun").exists)
        program.signal(signal.SIGTERM)
        for view in views:
            wait_view(view, lambda snapshot: len(snapshot) == 0)
        wait_until(lambda: not answers(port) and not answers(other))
        (tmp_path / "go on").touch()
        assert answer.result(LIMIT) == (200, '"the stock"'), program.said
        assert program.wait() == -signal.SIGTERM, program.said
    assert "Traceback" not in program.said


def test_reload_and_a_factory(tmp_path: Path, port: int, make_client: MakeClient) -> None:
    (tmp_path / "factory.py").write_text(FACTORY)
    payments = make_client().discover("payments")
    with running(tmp_path, *uvicorn("factory:make", port, "--reload", "--factory")) as program:
        [first] = payments.wait_ready(LIMIT).snapshot
        (tmp_path / "factory.py").write_text(FACTORY + "\n")
        wait_view(
            payments,
            lambda snapshot: (
                [each.status for each in snapshot if each.registered_at != first.registered_at] == [Status.UP]
            ),
        )
        assert answers(port) == 200
        program.signal(signal.SIGTERM)
        wait_view(payments, lambda snapshot: len(snapshot) == 0)
        program.wait()
    assert "Traceback" not in program.said


def test_a_unix_socket_behind_a_proxy(tmp_path: Path, port: int, make_client: MakeClient) -> None:
    """The instance is UP once the proxy's port accepts connections."""
    payments = make_client().discover("payments")
    with running(tmp_path, "-m", "uvicorn", "app:app", "--uds", "socket") as program:
        wait_view(payments, lambda snapshot: [each.status for each in snapshot] == [Status.STARTING])
        wait_until((tmp_path / "socket").exists)
        with socket.create_server(("127.0.0.1", port)):
            payments.wait_ready(LIMIT)
            program.signal(signal.SIGTERM)
            assert program.wait() == -signal.SIGTERM
    wait_view(payments, lambda snapshot: len(snapshot) == 0)
