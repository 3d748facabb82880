"""The samples of the page on gRPC: both servers are called by both callers, and drained."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from grpc_tools import protoc

from tests.conftest import MakeClient
from tests.integration.docs.samples import ROOT, free_port, run, write_samples
from tests.support import LIMIT
from zkdiscovery.testing import ZookeeperServer

PAGE = "docs/how-to/grpc.md"


@pytest.mark.parametrize("server", ["serve.py", "serve_async.py"])
def test_samples(
    server: str, tmp_path: Path, zkdiscovery_server: ZookeeperServer, namespace: str, make_client: MakeClient
) -> None:
    port = free_port()
    names = write_samples(PAGE, tmp_path, hosts=zkdiscovery_server.hosts, namespace=namespace, port=port)
    assert names == ["buy.py", "buy_async.py", "serve.py", "serve_async.py"]
    proto = re.search(r'```proto title="payments.proto"\n(.*?)```', (ROOT / PAGE).read_text(), re.DOTALL)
    assert proto is not None
    (tmp_path / "payments.proto").write_text(proto[1])
    flags = ["protoc", f"-I{tmp_path}", f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}", "payments.proto"]
    assert protoc.main(flags) == 0
    receipts = ["paid 42", "sent 42", "delivered 42"]
    with subprocess.Popen([sys.executable, server], cwd=tmp_path) as process:
        try:
            view = make_client().discover("payments").wait_ready(LIMIT)
            assert run(tmp_path, "buy_async.py").splitlines() == receipts
            assert run(tmp_path, "buy.py").splitlines() == [*receipts, f"{view.instances[0].id} 2 0"]
            process.send_signal(signal.SIGTERM)
            assert process.wait(LIMIT) == 0
            assert make_client().instances("payments") == []
        finally:
            process.kill()
