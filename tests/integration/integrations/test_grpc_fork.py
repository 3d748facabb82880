"""A channel that was made before a fork, as with gunicorn's `preload_app`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import MakeClient
from tests.integration.child import Child
from tests.integration.integrations.grpc_servers import Server, servers
from zkdiscovery.testing import ZookeeperServer

PARENT = """
import faulthandler, os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on: a fork beside threads
hosts, namespace, early = sys.argv[1:]
if early:
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "1"
from tests.integration.integrations.grpc_servers import say, stub
from zkdiscovery import Client
from zkdiscovery.integrations.grpc import channel

client = Client(hosts, namespace=namespace, session_timeout=4.0)
echo = channel(client, "echo")
echo.view.wait_ready(20.0)
service = stub(echo)

def call():
    return service.One(say(), timeout=10.0).server, list(service.Many(say(times=1), timeout=10.0))[0].server

if early:
    print("early", *call())
for number in range(2):
    pid = os.fork()
    if pid == 0:
        faulthandler.dump_traceback_later(25.0, exit=True)  # whatever blocks for good
        print("child", *call())
        os._exit(0)
    print("exit", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print("parent", *call())
"""


@pytest.fixture
def server(make_client: MakeClient) -> Iterator[Server]:
    with servers("a") as (server,):
        server.register(make_client())
        yield server


@pytest.mark.parametrize("early", ["", "early"])
def test_children_make_connections_of_their_own(
    early: str, server: Server, zkdiscovery_server: ZookeeperServer, namespace: str
) -> None:
    """With RPCs before the fork, gRPC wants `GRPC_ENABLE_FORK_SUPPORT=1`."""
    with Child(PARENT, zkdiscovery_server.hosts, namespace, early) as child:
        if early:
            assert child.wait_line("early") == "a a"
        for number in (1, 2):
            assert child.wait_line("exit", number) == "0"
            assert child.wait_line("child", number) == "a a"
        assert child.wait_line("parent") == "a a"
