"""Clocks that stand still for a process, and clocks that are set: real processes, and a store that checks fences."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import MakeClient
from tests.integration.election.helpers import Campaigner, Line, wait_place
from tests.integration.election.processes import FencedStore, Process, T
from tests.support import core_of
from zkdiscovery.session.clock import lease_now
from zkdiscovery.testing import FaultProxy, ZookeeperServer


def follow(process: Process, line: Line, make_client: MakeClient) -> Campaigner:
    """Who comes next behind a process, in this one."""
    line.campaigners.append(campaigner := Campaigner(make_client(session_timeout=T)).start())
    line.wait_length(2)
    wait_place(campaigner)
    return campaigner


def test_a_leader_stopped_between_its_look_and_its_write(
    zkdiscovery_server: ZookeeperServer, namespace: str, line: Line, make_client: MakeClient
) -> None:
    """SIGSTOP past its session, where no lease helps: the store refuses the write, and the next look says lost."""
    store = FencedStore()
    with Process(zkdiscovery_server.hosts, namespace, "late") as process:
        first = process.wait(1)
        assert store.write(first["fence"], first["write"])
        term = follow(process, line, make_client).wait_term()
        assert store.write(term.fence, "the next one's")
        process.signal(signal.SIGCONT)
        late = process.wait(2)
        assert late["fence"] < term.fence
        assert not store.write(late["fence"], late["write"])
        look = process.wait(3)
        assert (look["lost"], look["remaining"]) == (True, 0.0)
        process.finish()
    assert store.values == ["in time", "the next one's"]
    assert not term.lost


# Stands before the C library in a process: its wall clock is set forward or back by a day, ten times a second.
JUMPING_CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>

static int (*real)(clockid_t, struct timespec *);

int clock_gettime(clockid_t clock, struct timespec *now) {
    if (!real) real = (int (*)(clockid_t, struct timespec *)) dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (clock == CLOCK_REALTIME) {
        struct timespec steady;
        real(CLOCK_MONOTONIC, &steady);
        now->tv_sec += steady.tv_nsec / 100000000 % 2 ? 86400 : -86400;
    }
    return result;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *result) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (result) *result = now.tv_sec;
    return now.tv_sec;
}
"""


@pytest.fixture
def jumping_clock(tmp_path: Path) -> str:
    """A library that sets the clock of the process that loads it first."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("a process's clock is set with a C compiler, on Linux")
    source, library = tmp_path / "clock.c", tmp_path / "clock.so"
    source.write_text(JUMPING_CLOCK)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, timeout=60.0)
    return str(library)


def test_a_clock_that_is_set_back_and_forth_ends_no_term_and_keeps_none(
    zkdiscovery_server: ZookeeperServer,
    namespace: str,
    line: Line,
    make_client: MakeClient,
    zkdiscovery_proxy: FaultProxy,
    jumping_clock: str,
) -> None:
    """The wall clock does not matter: the term lasts while there is contact, and ends in time when there is none."""
    environment = {"LD_PRELOAD": jumping_clock}
    with Process(zkdiscovery_proxy.address, namespace, "clock", environment=environment) as process:
        line.wait_length(1)
        second = follow(process, line, make_client)
        timeout = core_of(second.client).session.timeout
        lasted = process.wait(1)
        assert lasted["jump"] > 86400
        assert lasted["lost"] is False
        zkdiscovery_proxy.blackhole()
        cut = lease_now()
        lost = process.wait(2)
        assert lost["reason"] == "the session was not renewed in time"
        assert 0.3 * timeout < lost["at"] - cut < 0.7 * timeout
        assert second.wait_term().fence > lasted["fence"]
        assert lost["at"] < second.began[0]


def test_the_wall_clock_is_read_for_people_and_for_what_a_bridge_says_alone() -> None:
    """What is said of clocks above holds for all packages below the command and the demo.

    The time of a registration and those of a health report are for people. A bridge says since when its source is away.
    """
    package = Path(__file__).parents[3] / "zkdiscovery"
    rooms = ("session", "znodes", "codecs", "balancing", "election", "registration", "discovery", "lifecycle")
    words = ("time.time(", "time_ns(", "datetime", "CLOCK_REALTIME", "localtime", "gmtime")
    found = [
        (path.name, line.strip()[:60])
        for room in rooms
        for path in sorted((package / room).glob("*.py"))
        for line in path.read_text().splitlines()
        if any(word in line for word in words)
    ]
    assert found == [
        ("instance_health.py", 'self._health = Health(checks, waits=ready != "now", now=time'),
        ("instance_health.py", "tally.note(outcome, time.time(), self.running)"),
        ("registrar.py", "return round(time.time(), 3)"),
        ("sources.py", 'since, why = now - max(0.0, time.time() - away.since), f"it '),
        ("sources.py", 'since, why = time.time(), "the bridge does not say why"'),
    ]
