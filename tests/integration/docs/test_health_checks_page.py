"""The samples of "Health checks", run as a reader would."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.docs.samples import free_port, run, write_samples
from zkdiscovery.testing import ZookeeperServer

PAGE = "docs/how-to/health-checks.md"


@pytest.fixture
def checked(tmp_path: Path, zkdiscovery_server: ZookeeperServer, namespace: str) -> Path:
    """The samples, at a port that is free."""
    names = write_samples(PAGE, tmp_path, hosts=zkdiscovery_server.hosts, namespace=namespace, port=free_port())
    assert names == ["checked.py", "options.py", "beating.py"]
    return tmp_path


def test_a_server_that_is_checked(checked: Path) -> None:
    assert "UP GET http/ready PASSING 200 OK" in run(checked, "checked.py").splitlines()


def test_the_options(checked: Path) -> None:
    assert run(checked, "options.py").splitlines() == [
        "GET http:9090/ready", "HEAD https/ready", "database proxy", "gRPC payments",
        "sh -c test $(df --output=pcent / | tail -1 | tr -d ' %') -lt 95", "TTL of 15 s",
    ]  # fmt: skip


def test_a_sign_of_life(checked: Path) -> None:
    assert run(checked, "beating.py") == "UP True True\n"
