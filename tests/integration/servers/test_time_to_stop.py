"""With an integration, too, the SDK adds at most 8 s to the end of a process, although ZooKeeper says nothing."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.integration.servers.programs import answers, running, uvicorn, write_programs
from tests.support import wait_until
from zkdiscovery.testing import FaultProxy

PROMISED = 8.0  # seconds
OF_THE_SERVER = 1.0  # seconds that the server takes itself


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn", "block"])
def test_while_zookeeper_is_silent(server: str, tmp_path: Path, namespace: str, zkdiscovery_proxy: FaultProxy) -> None:
    port = write_programs(tmp_path, zkdiscovery_proxy.address, namespace)
    command = {"uvicorn": uvicorn("app:app", port), "hypercorn": ["hyper.py"], "block": ["block.py"]}[server]
    with running(tmp_path, *command) as program:
        wait_until(lambda: answers(port, "/readyz") == 200)
        zkdiscovery_proxy.pause()
        begun = time.monotonic()
        program.signal(signal.SIGTERM)
        program.wait()
        took = time.monotonic() - begun
    assert took < PROMISED + OF_THE_SERVER, program.said
    assert "Traceback" not in program.said
