"""The samples of "Logging", under uvicorn and gunicorn."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.integration.docs.samples import free_port, write_samples
from tests.integration.servers.programs import gunicorn, running, uvicorn
from tests.support import wait_until
from zkdiscovery.testing import ZookeeperServer

PAGE = "docs/how-to/logging.md"
PLAIN = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return []\n"


@pytest.mark.parametrize("server", ["uvicorn", "gunicorn"])
def test_info_is_seen(server: str, tmp_path: Path, zkdiscovery_server: ZookeeperServer, namespace: str) -> None:
    port = free_port()
    names = write_samples(PAGE, tmp_path, hosts=zkdiscovery_server.hosts, namespace=namespace, port=port)
    assert names == ["app.py", "gunicorn.conf.py"]
    (tmp_path / "plain.py").write_text(PLAIN)
    command = {"uvicorn": uvicorn("app:app", port), "gunicorn": gunicorn("plain:app")}[server]
    seen = ["session: connected to ", "registration: registered "]
    if server == "uvicorn":  # gunicorn says itself when it serves
        seen.append(f"registration: port {port} accepts connections")
    with running(tmp_path, *command) as program:
        wait_until(lambda: all(f" INFO zkdiscovery.{text}" in program.said for text in seen))
        program.signal(signal.SIGTERM)
        program.wait()
