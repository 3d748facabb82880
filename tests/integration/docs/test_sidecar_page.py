"""The sample of "Run a service in any language", run as a reader would."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import MakeClient
from tests.integration.docs.samples import ROOT, free_port
from tests.support import LIMIT, Truth
from zkdiscovery.testing import ZookeeperServer

_PAGE = (ROOT / "docs/how-to/sidecar.md").read_text()
_COMMANDS = re.findall(r"^```sh\n(.*?)\n```$", _PAGE, re.MULTILINE | re.DOTALL)
_PROGRAMS = re.findall(r'^```js title="payments.js"\n(.*?)^```$', _PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node here")
def test_the_program_is_registered_while_it_runs(
    tmp_path: Path, zkdiscovery_server: ZookeeperServer, namespace: str, make_client: MakeClient, truth: Truth
) -> None:
    (command,), (program,) = _COMMANDS, _PROGRAMS
    port = str(free_port())
    (tmp_path / "payments.js").write_text(program.replace("8080", port))
    environment = {"PYTHONPATH": str(ROOT), "ZKDISCOVERY_HOSTS": zkdiscovery_server.hosts,
                   "ZKDISCOVERY_NAMESPACE": namespace}  # fmt: skip
    _, *arguments = command.replace("8080", port).split()
    with subprocess.Popen(
        [sys.executable, "-m", "zkdiscovery", *arguments], cwd=tmp_path, env=os.environ | environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            instance = make_client().discover("payments").wait_ready(LIMIT).pick()
            with urllib.request.urlopen(f"http://{instance.netloc}/", timeout=LIMIT) as response:
                assert response.read().decode() == f"paid by {instance.id}\n"
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=LIMIT)
        finally:
            process.kill()
    assert process.returncode == 143
    assert "REGISTERED, UP" in said
    assert truth.children(f"{namespace}/services/payments") == []
