"""The samples of "Call services by name", and of the docstrings, against real servers."""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeClient
from tests.integration.docs.samples import free_port, run, write_samples
from tests.integration.integrations.conftest import register
from tests.integration.integrations.web import Web
from tests.support import LIMIT
from zkdiscovery import Client
from zkdiscovery.testing import ZookeeperServer

PAGE = "docs/how-to/calling.md"
NAMES = ["with_httpx.py", "with_async_httpx.py", "with_requests.py", "with_aiohttp.py", "shop.py"]


@pytest.fixture
def payments(make_client: MakeClient) -> Iterator[Client]:
    """A client that has registered the service of the samples."""
    client = make_client()
    with Web() as web:
        register(client, "payments", web.port)
        yield client


@pytest.fixture
def environment() -> dict[str, str]:
    """Without the machine's proxies."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return {**kept, "ZKDISCOVERY_ADVERTISE_HOST": "127.0.0.1"}


@pytest.mark.parametrize("name", NAMES[:-1])
def test_samples(
    name: str, payments: Client, tmp_path: Path, zkdiscovery_server: ZookeeperServer, namespace: str,
    environment: dict[str, str],
) -> None:  # fmt: skip
    assert write_samples(PAGE, tmp_path, hosts=zkdiscovery_server.hosts, namespace=namespace) == NAMES
    said = run(tmp_path, name, env=environment).split()
    assert said == ["http://payments.zk/orders?page=2", "True" if name == "with_async_httpx.py" else "page=2"]


def test_a_handler_that_calls_another_service(
    payments: Client, tmp_path: Path, zkdiscovery_server: ZookeeperServer, namespace: str, environment: dict[str, str]
) -> None:
    port = free_port()
    write_samples(PAGE, tmp_path, hosts=zkdiscovery_server.hosts, namespace=namespace, port=port)
    command = [sys.executable, "-m", "uvicorn", "shop:app", "--port", str(port), "--log-level", "warning"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            instance = payments.discover("shop").wait_ready(LIMIT).pick()
            with urllib.request.urlopen(f"{instance.url}/orders/7", timeout=LIMIT) as response:
                assert json.load(response) == {"from payments": "page=7"}
            with urllib.request.urlopen(f"{instance.url}/readyz", timeout=LIMIT) as response:
                assert response.read() == b"ready\n"
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=LIMIT)
            assert (said, process.returncode) == ("", -signal.SIGTERM)
        finally:
            process.kill()


@pytest.mark.parametrize("name", ["httpx", "requests", "aiohttp"])
def test_docstrings(name: str, payments: Client, zkdiscovery_server: ZookeeperServer, namespace: str) -> None:
    text = importlib.import_module(f"zkdiscovery.integrations.{name}").__doc__ or ""
    names: dict[str, Any] = {}
    for sample in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        code = sample.replace("zk1:2181,zk2:2181,zk3:2181", zkdiscovery_server.hosts).replace("/shop", namespace)
        asyncio.run(run_sample(code, names))
        assert str(names["response"].url).startswith("http://payments.zk/orders")
        if isinstance(client := names["client"], Client):
            client.close()


async def run_sample(code: str, names: dict[str, Any]) -> None:
    """Run code that may await."""
    # exec() would drop what is to be awaited.
    waiting = eval(compile(code, "<sample>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
    if inspect.isawaitable(waiting):
        await waiting
