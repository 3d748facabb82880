"""An ensemble whose members are containers: each fault once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.ensemble.helpers import expect_written
from tests.support import LIMIT
from zkdiscovery.errors import NoServerForTests
from zkdiscovery.testing import ZookeeperEnsemble, zookeeper_ensemble
from zkdiscovery.testing.wire import RawSession

pytestmark = pytest.mark.container


@pytest.fixture
def containers(request: pytest.FixtureRequest) -> Iterator[ZookeeperEnsemble]:
    if request.config.getoption("--zkdiscovery-source") != "container":
        pytest.skip("only with --zkdiscovery-source=container")
    try:
        made = zookeeper_ensemble(source="container")
        ensemble = made.__enter__()
    except NoServerForTests as error:
        if "no leader after" not in str(error):
            raise
        pytest.skip("this machine's firewall does not let containers reach each other")
    yield ensemble
    made.__exit__(None, None, None)


@pytest.mark.timeout(150)
def test_members_in_containers_are_lost_and_come_back(containers: ZookeeperEnsemble) -> None:
    """Isolated, killed, paused, all restarted: what was written stays, and every member serves again."""
    path = containers.namespace
    with RawSession(containers.leader().hosts, timeout=LIMIT) as session:
        session.create(path)
    first = containers.leader()
    containers.isolate(first)
    while containers.leader() is first:  # for a moment it takes itself for the leader still
        continue
    containers.repair()
    containers.leader().kill()
    containers.repair()
    containers.followers()[0].pause()
    containers.repair()
    containers.restart()
    for member in containers.members:
        expect_written(member.hosts, path)
