"""gunicorn: when the instance is up, workers that come and go, reloads, Unix sockets."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import MakeClient
from tests.integration.servers.programs import answers, get, gunicorn, running
from tests.support import LIMIT, Recorder, wait_until, wait_view
from zkdiscovery import Change, InvalidInstance, Status
from zkdiscovery.integrations import gunicorn as integration
from zkdiscovery.testing import static_client

SLOW_IMPORT = """
import os, time
open("begun", "w").close()
while not os.path.exists("go on"):
    time.sleep(0.02)
from shop import app
"""
BROKEN = "raise LookupError('no database')"
WHO = """
import os
from shop import app

@app.get("/pid")
def pid():
    return str(os.getpid())
"""


def arbiter(**settings: Any) -> Any:
    """What `when_ready` sees of gunicorn's arbiter."""
    return SimpleNamespace(LISTENERS=[], cfg=SimpleNamespace(address=[], **settings))


@pytest.mark.parametrize("options", [[], ["--preload"]])
def test_up_once_a_worker_has_loaded_the_application(
    options: list[str], tmp_path: Path, port: int, make_client: MakeClient
) -> None:
    payments = make_client().discover("payments")
    (tmp_path / "late.py").write_text(SLOW_IMPORT)
    with (tmp_path / "gunicorn.conf.py").open("a") as file:
        file.write('\ndef post_worker_init(worker):\n    open("hook", "w").close()\n')
    with running(tmp_path, *gunicorn("late:app", *options)):
        wait_until((tmp_path / "begun").exists)
        if not options:
            wait_view(payments, lambda snapshot: [each.status for each in snapshot] == [Status.STARTING])
        (tmp_path / "go on").touch()
        payments.wait_ready(LIMIT)
        assert (tmp_path / "hook").exists(), "the hook of the program was called as well"


def test_an_application_that_can_not_be_loaded_is_never_up(tmp_path: Path, port: int, make_client: MakeClient) -> None:
    payments = make_client().discover("payments").wait_ready(LIMIT, at_least=0)
    seen: Recorder[Change] = Recorder()
    payments.on_change(seen)
    (tmp_path / "broken.py").write_text(BROKEN)
    with running(tmp_path, *gunicorn("broken:app", "--workers", "1")) as program:
        assert program.wait() == 3, program.said
    wait_view(payments, lambda snapshot: len(snapshot) == 0)
    assert all(each.status is not Status.UP for change in seen.items for each in change.after)
    assert "no database" in program.said


@pytest.mark.parametrize("options", [[], ["--preload"]])
def test_workers_come_and_go_without_a_trace(
    options: list[str], tmp_path: Path, port: int, make_client: MakeClient
) -> None:
    payments = make_client().discover("payments")
    (tmp_path / "who.py").write_text(WHO)
    with running(tmp_path, *gunicorn("who:app", "--max-requests", "5", *options)) as program:
        payments.wait_ready(LIMIT)
        seen: Recorder[Change] = Recorder()
        payments.on_change(seen)
        seen.wait(lambda changes: len(changes) == 1)  # what is there already
        pids = set()
        for _ in range(60):
            status, pid = get(port, "/pid")
            assert status == 200
            pids.add(pid)
        assert len(pids) > 4, "workers were recycled"
        os.kill(int(pid), signal.SIGKILL)
        program.wait_said("SIGKILL")
        program.signal(signal.SIGHUP)
        program.wait_said("Hang up")
        wait_until(lambda: answers(port, "/pid") == 200 and get(port, "/pid")[1] not in pids)
        assert len(seen.items) == 1
        program.signal(signal.SIGTERM)
        wait_view(payments, lambda snapshot: len(snapshot) == 0)
        assert program.wait() == 0
    assert "Traceback" not in program.said


def test_a_unix_socket_needs_the_proxys_port(tmp_path: Path, port: int, make_client: MakeClient) -> None:
    payments = make_client().discover("payments")
    configuration = tmp_path / "gunicorn.conf.py"
    text = configuration.read_text().replace(f"0.0.0.0:{port}", "unix:socket")
    configuration.write_text(text)
    with running(tmp_path, *gunicorn("shop:app")) as program:
        assert program.wait() != 0
    assert "which is no TCP port: give that of the proxy before it" in program.said
    configuration.write_text(text.replace('"payments")', f'"payments", port={port})'))
    with running(tmp_path, *gunicorn("shop:app")):
        [instance] = payments.wait_ready(LIMIT).snapshot
        assert instance.port == port


def test_the_port_where_each_worker_binds_for_itself() -> None:
    """With reuse_port the arbiter has no listener."""
    client = static_client()
    server = arbiter()
    server.cfg.address = ["/run/socket", ("0.0.0.0", 8080)]
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    try:
        integration.register(client, "web", host="127.0.0.1", ready="now")(server)
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
            signal.signal(number, handler)
    assert [each.instance.port for each in client.registrations] == [8080]
    server.cfg.address = [3]
    with pytest.raises(InvalidInstance, match="gunicorn listens on 3, which is no TCP port"):
        integration.register(client, "web")(server)
