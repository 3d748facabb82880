"""The code samples of a page, as files that can be run."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

_SAMPLE = re.compile(r'^```python title="(?P<name>[\w.]+)"\n(?P<code>.*?)^```$', re.MULTILINE | re.DOTALL)
_HOSTS = "zk1:2181,zk2:2181,zk3:2181"


def run(folder: Path, *command: str, env: dict[str, str] | None = None) -> str:
    """Run Python in `folder`; answers what it prints, and fails the test if it fails."""
    result = subprocess.run(
        [sys.executable, *command], cwd=folder, env=env, capture_output=True, text=True, timeout=50, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def free_port() -> int:
    """A TCP port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def write_samples(
    page: str, folder: Path, *, hosts: str = _HOSTS, namespace: str = "/shop", port: int = 8080
) -> list[str]:
    """Write the samples of `page` into `folder`, at the server given; answers their names.

    The samples name the servers `zk1:2181,zk2:2181,zk3:2181`, the namespace `/shop` and the port 8080.
    """
    names = []
    for match in _SAMPLE.finditer((ROOT / page).read_text()):
        code = match["code"].replace(_HOSTS, hosts).replace('"/shop"', f'"{namespace}"').replace("8080", str(port))
        (folder / match["name"]).write_text(code)
        names.append(match["name"])
    return names
