"""The samples of "Configure a program in any language", run as a reader would."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.integration.docs.samples import ROOT
from tests.support import LIMIT
from zkdiscovery.testing import ZookeeperServer

_PAGE = (ROOT / "docs/how-to/exec.md").read_text()


def test_the_program_is_restarted(tmp_path: Path, zkdiscovery_server: ZookeeperServer, namespace: str) -> None:
    (script,) = re.findall(r'^```sh title="charge.sh"\n(.*?)^```$', _PAGE, re.MULTILINE | re.DOTALL)
    begin, change = re.findall(r"^```sh\n(.*?)\n```$", _PAGE, re.MULTILINE | re.DOTALL)
    (said,) = re.findall(r"^    (shop 2: .*)$", _PAGE, re.MULTILINE)
    path = tmp_path / "charge.sh"
    path.write_text(script)
    path.chmod(0o755)
    variables = {"PYTHONPATH": str(ROOT), "ZKDISCOVERY_HOSTS": zkdiscovery_server.hosts,
                 "ZKDISCOVERY_NAMESPACE": namespace}  # fmt: skip
    program = f"{shlex.quote(sys.executable)} -m zkdiscovery"

    def start(commands: str) -> subprocess.Popen[str]:
        *before, last = commands.splitlines()
        command = "\n".join(["set -e", *before, f"exec {last}"]).replace("zkdiscovery", program)
        return subprocess.Popen(
            ["sh", "-c", command], cwd=tmp_path, env=os.environ | variables,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    with start(begin) as charging:
        try:
            assert charging.stdout is not None
            lines = iter(charging.stdout.readline, "")
            assert "charging at https://bank.example, waiting for 2 s\n" in lines
            with start(change) as changing:
                assert changing.wait(LIMIT) == 0
                changing.communicate()
            assert next(lines) == "no more charges\n"
            assert next(lines) == "charging at https://bank.example, waiting for 3 s\n"
            charging.terminate()
            _, told = charging.communicate(timeout=LIMIT)
        finally:
            charging.kill()
    assert charging.returncode == 0
    assert said in told.splitlines()
