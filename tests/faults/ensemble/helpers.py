"""What the tests of the ensemble share."""

from __future__ import annotations

import pytest

from tests.support import LIMIT
from zkdiscovery.errors import NodeExists
from zkdiscovery.testing import ZookeeperMember
from zkdiscovery.testing.servers.local import LocalProcess
from zkdiscovery.testing.wire import RawSession


def expect_written(hosts: str, path: str) -> None:
    """The node is there by the leader's word, whatever the member itself has seen so far."""
    with RawSession(hosts, timeout=LIMIT) as session, pytest.raises(NodeExists):
        session.create(path)


def local_process(member: ZookeeperMember) -> LocalProcess:
    """What the member is; a test that is about processes of this machine is skipped if it is none."""
    if not isinstance(member._source, LocalProcess):
        pytest.skip("the members are containers, which share no way but their networks")
    return member._source


def top(namespace: str) -> str:
    """A path of one level that is as new as the namespace: its parent is there."""
    return f"/{namespace.rpartition('/')[2]}"
