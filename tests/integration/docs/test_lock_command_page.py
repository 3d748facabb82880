"""The samples of "Run a command on one machine at a time", run as a reader would."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.docs.samples import ROOT
from tests.support import LIMIT
from zkdiscovery.testing import ZookeeperServer

_PAGE = (ROOT / "docs/how-to/lock-command.md").read_text()
_COMMANDS = re.findall(r"^```sh\n(.*?)\n```$", _PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder with the page's script."""
    (script,) = re.findall(r'^```sh title="report.sh"\n(.*?)^```$', _PAGE, re.MULTILINE | re.DOTALL)
    path = tmp_path / "report.sh"
    path.write_text(script)
    path.chmod(0o755)
    return tmp_path


def test_there_are_commands() -> None:
    assert len(_COMMANDS) == 2


@pytest.mark.parametrize("command", _COMMANDS)
def test_the_command_writes_the_report(
    folder: Path, zkdiscovery_server: ZookeeperServer, namespace: str, command: str
) -> None:
    program = f"{shlex.quote(sys.executable)} -m zkdiscovery"
    environment = {"PYTHONPATH": str(ROOT), "ZKDISCOVERY_HOSTS": zkdiscovery_server.hosts,
                   "ZKDISCOVERY_NAMESPACE": namespace}  # fmt: skip
    done = subprocess.run(
        ["sh", "-c", command.replace("zkdiscovery", program)], cwd=folder, env=os.environ | environment,
        capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert re.fullmatch(r"report of the holder \d+\n", (folder / "report.txt").read_text())
