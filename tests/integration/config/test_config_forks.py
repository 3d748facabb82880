"""A configuration that was made before a fork is live in the child, too, with its subscriptions."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import MakeClient
from tests.talking import TalkingProcess
from zkdiscovery.testing import ZookeeperServer


def test_a_fork(make_client: MakeClient, zkdiscovery_server: ZookeeperServer, namespace: str) -> None:
    store = make_client().config_store("shop")
    store.replace({"number": 1}, "first")
    program = Path(__file__).with_name("forking.py")
    with TalkingProcess(str(program), zkdiscovery_server.hosts, namespace) as process:
        process.said.wait(lambda said: {"who": "child", "value": 1} in said)
        store.replace({"number": 2}, "second")
        said = process.said.wait(lambda said: any("code" in line for line in said))
        both = [line for line in said if "seen" in line]
        assert sorted(line.pop("who") for line in both) == ["child", "parent"]
        assert both == [{"value": 2, "seen": [1, 2], "stale": False, "revisions": {"shop": 2}}] * 2
        assert said[-1]["code"] == 0
        process.finish()
