"""The image of `examples/containers/`: what it starts is registered, ready and gone as its files promise.

The commands of the image run here without one; the files themselves are for engines.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.conftest import MakeClient
from tests.integration.docs.samples import ROOT, free_port
from tests.support import LIMIT, Truth, wait_until
from zkdiscovery.testing import ZookeeperServer

FOLDER = ROOT / "examples" / "containers"
READY = "/tmp/ready"


def started_by_image() -> list[str]:
    """The command line of the image, without the program's name."""
    text = (FOLDER / "Dockerfile").read_text()
    entry, command = (re.findall(rf"^{what} (\[.*\])$", text, re.MULTILINE) for what in ("ENTRYPOINT", "CMD"))
    first, *arguments = [*json.loads(entry[-1]), *json.loads(command[-1])]
    assert first == "zkdiscovery"
    return arguments


def test_the_program_of_the_image(
    tmp_path: Path, zkdiscovery_server: ZookeeperServer, namespace: str, make_client: MakeClient, truth: Truth
) -> None:
    port, ready = str(free_port()), tmp_path / "ready"
    (tmp_path / "payments.py").write_text((FOLDER / "payments.py").read_text().replace("8080", port))
    changed = {"8080": port, READY: str(ready), "python": sys.executable}
    arguments = [changed.get(argument, argument) for argument in started_by_image()]
    environment = {"PYTHONPATH": str(ROOT), "ZKDISCOVERY_HOSTS": zkdiscovery_server.hosts,
                   "ZKDISCOVERY_NAMESPACE": namespace}  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-m", "zkdiscovery", *arguments], cwd=tmp_path, env=os.environ | environment,
        stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            instance = make_client().discover("payments").wait_ready(LIMIT).pick()
            for path, answer in (("/", b"paid by "), ("/ready", b"ready ")):
                with urllib.request.urlopen(f"http://{instance.netloc}{path}", timeout=LIMIT) as response:
                    assert response.read().startswith(answer)
            wait_until(ready.exists)
            process.send_signal(signal.SIGTERM)
            assert process.wait(LIMIT) == 143
        finally:
            process.kill()
    assert not ready.exists()
    assert truth.children(f"{namespace}/services/payments") == []


def test_the_files_agree() -> None:
    """The probes look for the file that the image keeps, and callers for the ports that it has."""
    assert READY in started_by_image()
    for name in ("stack.yaml", "kubernetes/payments.yaml"):
        assert READY in (FOLDER / name).read_text()
    ensemble = (FOLDER / "kubernetes/zookeeper.yaml").read_text()
    members = re.findall(r"server\.(\d)=(zookeeper-\d\.zookeeper):2888:3888;2181", ensemble)
    hosts = ",".join(f"{host}:2181" for _, host in members)
    assert [int(number) for number, _ in members] == [1, 2, 3]
    assert hosts in (FOLDER / "kubernetes/payments.yaml").read_text()


def test_every_file_is_in_the_readme() -> None:
    text = (FOLDER / "README.md").read_text()
    files = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file()} - {"README.md"}
    assert set(re.findall(r"\]\(([\w/.]+)\)", text)) - {"../../docs/how-to/containers.md"} == files
