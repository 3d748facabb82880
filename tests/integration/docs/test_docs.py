"""The samples of the tutorial and of the testing guide, run as a reader would."""

from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeClient
from tests.integration.docs.samples import ROOT, free_port, run, write_samples
from tests.support import LIMIT, Truth
from zkdiscovery import (
    ClientClosed,
    HoldLost,
    Instance,
    NoInstanceAvailable,
    OperationTimeout,
    Override,
    Status,
    UndecodableNode,
)
from zkdiscovery.codecs.named import resolve_codec
from zkdiscovery.testing import ZookeeperServer


@pytest.fixture
def environment(zkdiscovery_server: ZookeeperServer, namespace: str) -> dict[str, str]:
    return {**os.environ, "ZKDISCOVERY_HOSTS": zkdiscovery_server.hosts, "ZKDISCOVERY_NAMESPACE": namespace}


def test_tutorial(tmp_path: Path, environment: dict[str, str], truth: Truth, namespace: str) -> None:
    names = write_samples("docs/tutorial.md", tmp_path)
    assert names == ["stock.py", "buy.py", "follow.py", "sweep.py", "test_stock.py"]
    ports = [free_port(), free_port()]
    copies = [
        subprocess.Popen(
            [sys.executable, "stock.py", str(port)],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for port in ports
    ]
    try:
        answers = run(tmp_path, "buy.py", "--calls", "4", "--pause", "0", env=environment).splitlines()
        assert len(answers) == 4
        assert {answer.split()[-1] for answer in answers} <= {str(port) for port in ports}
        with subprocess.Popen(
            [sys.executable, "follow.py"],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as follow:
            try:
                assert follow.stdout is not None
                assert follow.stdout.readline().startswith("here: [")
                follow.send_signal(signal.SIGINT)
                assert (follow.communicate(timeout=LIMIT)[1], follow.returncode) == ("", 0)
            finally:
                follow.kill()
        swept = run(tmp_path, "sweep.py", "0", env=environment).splitlines()
        assert re.fullmatch(r"leading with fence \d+", swept[0])
        assert swept[1:] == [f"swept shelf {number}" for number in range(10)]
        copies[0].send_signal(signal.SIGINT)
        assert copies[0].wait(LIMIT) == 0
        assert len(truth.children(f"{namespace}/services/stock")) == 1
    finally:
        for copy in copies:
            copy.kill()
            copy.wait(LIMIT)


@pytest.mark.parametrize(
    ("page", "sample"),
    [
        ("docs/tutorial.md", "test_stock.py"),
        ("docs/how-to/testing.md", "test_expiry.py"),
        ("docs/how-to/testing.md", "test_unit.py"),
        ("docs/how-to/testing.md", "test_unit_async.py"),
        ("docs/how-to/testing.md", "test_lost_reply.py"),
        ("docs/how-to/testing.md", "test_leader_lost.py"),
    ],
)
def test_samples_of_tests(page: str, sample: str, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    assert sample in write_samples(page, tmp_path)
    source = pytestconfig.getoption("--zkdiscovery-source")
    if sample == "test_leader_lost.py" and source == "container":
        source = "auto"  # not every machine's firewall lets containers reach each other
    output = run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--zkdiscovery-source={source}", sample)
    assert "1 passed" in output


@pytest.mark.parametrize("page", ["README.md", *(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))])
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)#]+)(?:#[\w-]+)?\)", text):
        if not target.startswith("http"):
            assert ((ROOT / page).parent / target).exists(), f"{page} points to {target}"


def test_a_codec_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert write_samples("docs/how-to/codecs.md", tmp_path) == ["flat.py"]
    monkeypatch.syspath_prepend(str(tmp_path))
    flat: Any = importlib.import_module("flat")
    codec = resolve_codec(flat.FlatJson())
    plain = Instance("payments", "10.0.0.7", 8080, id="one")
    full = Instance(
        "payments", "::1", 8080, id="two", ports={"metrics": 9100}, tls_port=8443, status=Status.OUT_OF_SERVICE,
        weight=2, zone="a", version="1.4", tags=("blue",), metadata={"owner": "é"}, registered_at=1.7e9, machine="boot",
        override=Override(Status.OUT_OF_SERVICE),
    )  # fmt: skip
    for instance in (plain, full):
        data = codec.encode(instance)
        assert codec.decode("payments", instance.id, data) == instance
        assert codec.encode(codec.decode("payments", instance.id, data), data) == data
    for hostile in (b"", b"\xff", b"[]", b"7", b"{}", b'{"override": 7}', b"[" * 50_000, b"garbage"):
        with pytest.raises(UndecodableNode, match="'one' is no flat JSON"):
            codec.decode("payments", "one", hostile)


def test_a_strategy_of_ones_own(tmp_path: Path, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert write_samples("docs/how-to/balancing.md", tmp_path) == ["cheapest.py"]
    monkeypatch.syspath_prepend(str(tmp_path))
    cheapest: Any = importlib.import_module("cheapest")
    client = make_client()
    for name, price, weight in [("dear", "9", 1.0), ("cheap", "1", 1.0), ("free", "0", 0.0)]:
        client.register("payments", 8080, host="127.0.0.1", id=name, weight=weight, metadata={"price": price})
    view = client.discover("payments", balancer=cheapest.Cheapest()).wait_ready(LIMIT, at_least=3)
    assert view.pick().id == "cheap"
    assert view.pick(exclude=["cheap"]).id == "dear"
    with pytest.raises(NoInstanceAvailable):
        view.pick(exclude=["cheap", "dear"])
    for _ in range(5):
        with view.attempt() as attempt:
            attempt.fail("too cheap")
    assert view.pick().id == "dear", "the cheap one is ejected"


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_recipe_of_ones_own(tmp_path: Path, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits its turn, is closed with its client in its phase, and a forked child has one of its own."""
    assert write_samples("docs/how-to/recipes.md", tmp_path) == ["baton.py"]
    monkeypatch.syspath_prepend(str(tmp_path))
    baton: Any = importlib.import_module("baton")
    first, second = make_client(), make_client()
    assert first.feature(baton.Batons) is first.feature(baton.Batons)
    held = first.feature(baton.Batons).carry("invoices", 20.0)
    with pytest.raises(OperationTimeout, match="no baton 'invoices'"):
        second.feature(baton.Batons).carry("invoices", 0.3)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(second.feature(baton.Batons).carry, "invoices", 20.0)
        child = os.fork()
        if child == 0:  # its hold is the parent's, and its place in the queue another one
            signal.alarm(30)
            recipe = first.feature(baton.Batons)
            code = 0 if held.lost and recipe.core is not held and not recipe.carry("other", 20.0).lost else 1
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert not held.lost
        assert not waiting.done()
        first.drain(10.0)
        after = waiting.result(20.0)
    assert held.lost
    assert held.reason == "the client was closed"
    assert after.fence > held.fence
    after.check()
    with pytest.raises(ClientClosed):
        first.feature(baton.Batons).carry("invoices", 1.0)
    second.close()
    with pytest.raises(HoldLost, match="invoices"):
        after.check()
