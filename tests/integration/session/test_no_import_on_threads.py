"""No thread of the SDK imports anything. A fork during an import leaves the child with the lock of that module held."""

from __future__ import annotations

from pathlib import Path

from tests.integration.child import Child
from zkdiscovery.testing import ZookeeperServer

# The finder comes first, so it sees each import that is not done yet, of whatever module.
CLIENT = """
import sys, threading

imported = []

class Recording:
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread().name.startswith("zkdiscovery-"):
            imported.append(f"{name} on {threading.current_thread().name}")

sys.meta_path.insert(0, Recording())

from zkdiscovery import Client
from zkdiscovery.testing import expire_session

hosts, namespace = sys.argv[1:3]
told = threading.Event()
client = Client(hosts, namespace=namespace, session_timeout=3.9)  # the servers are asked for their tick, too
registration = client.register("payments", 8080, id="a", host="127.0.0.1").wait_registered(20.0)
view = client.discover("payments", balancer="round_robin").wait_ready(20.0)
view.on_change(lambda _: told.set())
election = client.election("job")
election.on_change(lambda _: told.set())
print("picked", view.pick().id)

with election.campaign(timeout=20.0) as term:
    term.check()
    expire_session(client)
    assert term.wait_lost(20.0)
with election.campaign(timeout=20.0) as term:
    term.check()
registration.wait_registered(20.0)
registration.update(weight=3.0)
client.register("payments", 8081, id="b", host="127.0.0.1").wait_registered(20.0)
view.wait_ready(20.0, at_least=2)
for balancer in ("p2c_ewma", "weighted_round_robin", "least_in_flight", "ring_hash", "maglev", "sticky", "prefer_zone"):
    client.discover("payments", balancer=balancer).wait_ready(20.0).pick(key="a")
assert told.wait(20.0)

from pydantic import BaseModel, Field

class Shop(BaseModel):
    timeout: float = Field(1.0, gt=0)

config = client.config("shop", Shop, fallback=sys.argv[3]).wait_ready(20.0)
store = client.config_store("shop")
store.replace({"timeout": 3, "text": "x" * 100_000}, "good")
store.replace({"timeout": -1}, "bad")
while config.rejected is None or not any(reader.reason for reader in store.readers()):
    threading.Event().wait(0.05)
print("threads", *sorted({thread.name for thread in threading.enumerate()}))
client.close()
print("imported", ", ".join(sorted(set(imported))))
"""


def test_no_thread_imports_a_module(zkdiscovery_server: ZookeeperServer, tmp_path: Path) -> None:
    """The servers have a name, so it is looked up, too."""
    hosts = zkdiscovery_server.hosts.replace("127.0.0.1", "localhost")
    with Child(CLIENT, hosts, f"{zkdiscovery_server.namespace}/imports", str(tmp_path / "shop.json")) as child:
        assert child.wait_line("picked").split() == ["a"]
        threads = child.wait_line("threads").split()
        roles = ("connection", "maintenance", "prober", "owner", "cache", "callbacks", "config")
        assert {f"zkdiscovery-{role}" for role in roles} <= set(threads)
        assert child.wait_line("imported") == ""
