"""Elections among processes of the operating system: killed, stopped, and many at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import pytest

from tests.conftest import MakeClient
from tests.integration.election.helpers import NAME, Campaigner, wait_place
from tests.support import LIMIT, Recorder, Truth
from zkdiscovery.session.clock import lease_now  # the same clock in all processes of a machine
from zkdiscovery.testing import ZookeeperServer

T = 2.0  # seconds, the session timeout that is asked for


class Process:
    """One that campaigns; see leader_process.py."""

    def __init__(self, server: ZookeeperServer, namespace: str, *mode: str) -> None:
        program = Path(__file__).with_name("leader_process.py")
        self._process = subprocess.Popen(
            [sys.executable, str(program), server.hosts, namespace, NAME, str(T), *mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
            text=True,
        )
        self.said: Recorder[dict[str, Any]] = Recorder()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said(json.loads(line))

    def wait(self, number: int) -> dict[str, Any]:
        """The line number `number`, from 1 on."""
        return self.said.wait(lambda said: len(said) >= number)[number - 1]

    def tell(self) -> None:
        """Send it a line."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def finish(self) -> None:
        """Wait until it has ended by itself."""
        assert self._process.wait(LIMIT) == 0
        self._reader.join(LIMIT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.wait(LIMIT)
        self._reader.join(LIMIT)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()


class FencedStore:
    """What a leader writes to: refuses a fence smaller than the largest that it has seen."""

    def __init__(self) -> None:
        self.fence = 0
        self.value = ""

    def write(self, fence: int, value: str) -> bool:
        """Whether it was taken."""
        if fence < self.fence:
            return False
        self.fence, self.value = fence, value
        return True


@pytest.fixture
def leader(zkdiscovery_server: ZookeeperServer, namespace: str) -> Iterator[Process]:
    """A process that leads."""
    with Process(zkdiscovery_server, namespace, "hold") as process:
        process.wait(1)
        yield process


@pytest.fixture
def follower(leader: Process, make_client: MakeClient, truth: Truth, namespace: str) -> Iterator[Campaigner]:
    """Who comes next, in this process."""
    campaigner = Campaigner(make_client(session_timeout=T)).start()
    truth.wait(f"{namespace}/elections/{NAME}", lambda node: node is not None and node.stat.num_children == 2)
    wait_place(campaigner)
    yield campaigner
    campaigner.election.close(LIMIT)
    campaigner.join()


def test_a_killed_leader_is_followed_after_its_session(leader: Process, follower: Campaigner) -> None:
    assert not follower.terms.items
    leader.signal(signal.SIGKILL)
    killed = lease_now()
    assert follower.wait_term().fence > leader.wait(1)["fence"]
    # The server has heard of it last when it renewed its lease, a tenth of the timeout before. A tick is half of the
    # timeout at most.
    timeout = follower.client._use().session.timeout
    assert 0.85 * timeout < follower.began[0] - killed < 1.75 * timeout + 1.0


def test_a_stopped_leader_finds_its_term_over_at_the_first_look(leader: Process, follower: Campaigner) -> None:
    store = FencedStore()
    fence = leader.wait(1)["fence"]
    leader.tell()
    assert leader.wait(2)["lost"] is False
    assert store.write(fence, "old")

    leader.signal(signal.SIGSTOP)
    term = follower.wait_term()
    assert store.write(term.fence, "new")
    leader.tell()
    leader.signal(signal.SIGCONT)
    first_look = leader.wait(3)
    assert first_look["lost"] is True
    assert first_look["remaining"] == 0.0
    # One that had looked just before it was stopped, and writes now:
    assert not store.write(fence, "late")
    assert store.value == "new"
    assert not term.lost


def test_ten_candidates_in_five_processes_lead_one_after_another(
    zkdiscovery_server: ZookeeperServer, namespace: str
) -> None:
    with ExitStack() as stack:
        processes = [stack.enter_context(Process(zkdiscovery_server, namespace, "turns", "2")) for _ in range(5)]
        for process in processes:
            process.wait(1)
        for process in processes:
            process.tell()
        for process in processes:
            process.finish()
        terms = [said for process in processes for said in process.said.items if "fence" in said]
    assert len(terms) == 10
    terms.sort(key=lambda term: term["begin"])
    assert not any(term["lost"] for term in terms)
    for earlier, later in pairwise(terms):
        assert earlier["end"] < later["begin"]
        assert earlier["fence"] < later["fence"]
