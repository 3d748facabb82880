"""`zookeeper_server` from each source that this machine has."""

from __future__ import annotations

import functools
import itertools
import logging
import os
import select
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from zkdiscovery.errors import NoServerForTests
from zkdiscovery.testing import ZookeeperServer, zookeeper_server
from zkdiscovery.testing.ports import free_port
from zkdiscovery.testing.servers import container, engine, installation, local
from zkdiscovery.testing.wire import RawSession, four_letter_word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zkdiscovery.testing.servers.start import SourceName

pytestmark = [pytest.mark.server, pytest.mark.container]

LIMIT = 10.0  # seconds
only = functools.partial(pytest.mark.parametrize, "source", indirect=True)


@pytest.fixture(scope="module")
def shared_server(source: SourceName) -> Iterator[ZookeeperServer]:
    with zookeeper_server(source=source) as started:
        yield started


@pytest.fixture
def running(shared_server: ZookeeperServer) -> ZookeeperServer:
    """The module's server, running whatever the test before did."""
    if "running" not in repr(shared_server):
        shared_server.restart()
    return shared_server


def test_it_answers_and_says_what_it_is(running: ZookeeperServer) -> None:
    answer = four_letter_word(running.hosts, "srvr")
    assert "Mode: standalone" in answer
    assert f"version: {running.version}-" in answer
    assert f"ZooKeeper {running.version}" in running.source
    assert running.source.startswith(("local process (", "container ("))
    assert running.hosts in repr(running)


def test_another_version_than_the_wanted_one_is_refused(
    monkeypatch: pytest.MonkeyPatch, running: ZookeeperServer
) -> None:
    monkeypatch.setenv("ZKDISCOVERY_TEST_HOSTS", running.hosts)
    line = running.version.rpartition(".")[0]
    with zookeeper_server(source="hosts", version=line) as shared:
        assert shared.version == running.version
    with (
        pytest.raises(NoServerForTests, match=rf"3\.1\.0 is wanted, .*ZooKeeper {running.version}"),
        zookeeper_server(source="hosts", version="3.1.0"),
    ):
        pass


def test_it_grants_short_sessions_and_many_connections(running: ZookeeperServer) -> None:
    with RawSession(running.hosts, session_timeout=0.1) as short, RawSession(running.hosts, session_timeout=60) as long:
        assert short.session_timeout == 1.0
        assert long.session_timeout == 10.0
    assert "maxClientCnxns=0" in four_letter_word(running.hosts, "conf")


def test_restart_keeps_data_port_and_sessions(running: ZookeeperServer) -> None:
    hosts = running.hosts
    session = RawSession(hosts)
    session.create("/kept", b"data")
    session.create("/kept-ephemeral", ephemeral=True)
    running.restart()
    assert running.hosts == hosts
    session.disconnect()
    with RawSession(hosts, session_id=session.session_id, password=session.password) as continued:
        assert continued.exists("/kept")
        assert continued.exists("/kept-ephemeral")
        continued.delete("/kept")


def test_restart_with_wipe_starts_empty(running: ZookeeperServer) -> None:
    hosts = running.hosts
    with RawSession(hosts) as session:
        session.create("/wiped")
    running.restart(wipe=True)
    assert running.hosts == hosts
    with RawSession(hosts) as session:
        assert session.children("/") == ["zookeeper"]


def test_stop_refuses_connections_until_restart(running: ZookeeperServer) -> None:
    running.stop()
    running.stop()
    with pytest.raises(OSError):
        four_letter_word(running.hosts, "srvr")
    with pytest.raises(RuntimeError, match="is stopped"):
        running.pause()
    with pytest.raises(RuntimeError, match="is stopped"):
        running.resume()
    running.restart()
    assert "Mode:" in four_letter_word(running.hosts, "srvr")


def test_kill_loses_no_data(running: ZookeeperServer) -> None:
    with RawSession(running.hosts) as session:
        session.create("/survivor")
        running.kill()
        running.kill()
        with pytest.raises(OSError):
            session.exists("/survivor")
    running.restart()
    with RawSession(running.hosts) as session:
        assert session.exists("/survivor")
        session.delete("/survivor")


def test_pause_keeps_connections_and_answers_nothing(running: ZookeeperServer) -> None:
    with RawSession(running.hosts, timeout=LIMIT) as session:
        running.pause()
        running.pause()
        with pytest.raises(TimeoutError):
            four_letter_word(running.hosts, "srvr", timeout=0.2)
        running.resume()
        running.resume()
        assert not session.exists("/nothing")


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_paused_server_can_be_ended(running: ZookeeperServer, end: str) -> None:
    running.pause()
    getattr(running, end)()
    running.restart()
    assert "Mode:" in four_letter_word(running.hosts, "srvr")


def test_remove_tree_removes_all_below(running: ZookeeperServer) -> None:
    with RawSession(running.hosts) as session:
        for path in ("", "/a", "/a/b", "/c"):
            session.create(running.namespace + path)
        running.remove_tree(running.namespace)
        running.remove_tree(running.namespace)
        assert not session.exists(running.namespace)


def test_close_is_final_and_may_be_repeated(source: SourceName) -> None:
    with zookeeper_server(source=source) as started, zookeeper_server(source=source) as other:
        assert started.hosts != other.hosts
        assert started.namespace != other.namespace
        started.close()
        started.close()
        started.stop()
        with pytest.raises(RuntimeError, match="is closed"):
            started.restart()
        assert "closed" in repr(started)
        with pytest.raises(OSError):
            four_letter_word(started.hosts, "srvr")
        assert "Mode:" in four_letter_word(other.hosts, "srvr")


def test_a_forked_child_does_not_end_the_server(running: ZookeeperServer) -> None:
    child = os.fork()
    if child == 0:
        running.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    running.restart()
    assert "Mode:" in four_letter_word(running.hosts, "srvr")


def test_a_port_that_is_taken_meanwhile_is_left_to_the_other(
    source: SourceName, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        ports = itertools.chain([taken.getsockname()[1]], iter(free_port, None))
        for module in (local, container):
            monkeypatch.setattr(module, "free_port", lambda: next(ports))
        with zookeeper_server(source=source) as started:
            assert not started.hosts.endswith(f":{taken.getsockname()[1]}")


@only(["local"])
@pytest.mark.usefixtures("source")
def test_another_zookeeper_on_the_port_is_not_taken_for_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    with zookeeper_server(source="local") as other:
        ports = itertools.chain([int(other.hosts.split(":")[1])], iter(free_port, None))
        monkeypatch.setattr(local, "free_port", lambda: next(ports))
        with zookeeper_server(source="local") as started:
            assert started.hosts != other.hosts


def test_further_settings_are_in_force(source: SourceName) -> None:
    with (
        zookeeper_server(
            source=source, tick_time_ms=200, config={"maxSessionTimeout": "3000", "extendedTypesEnabled": "true"}
        ) as s,
        RawSession(s.hosts, session_timeout=0.1) as short,
        RawSession(s.hosts, session_timeout=60) as long,
    ):
        assert short.session_timeout == 0.4
        assert long.session_timeout == 3.0


@only(["local"])
@pytest.mark.usefixtures("source")
def test_a_server_that_does_not_start_shows_its_log() -> None:
    with (
        pytest.raises(
            NoServerForTests, match=r"(?s)does not serve: it ended.*The end of its log.*For input string: .soon."
        ),
        zookeeper_server(source="local", config={"tickTime": "soon"}),
    ):
        pass


@only(["local"])
@pytest.mark.usefixtures("source")
def test_a_restart_that_fails_can_be_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    with zookeeper_server(source="local") as started:
        monkeypatch.setattr(started._source, "ready_limit", 0.0)
        with pytest.raises(NoServerForTests, match="does not serve"):
            started.restart()
        monkeypatch.undo()
        started.restart()
        assert "Mode:" in four_letter_word(started.hosts, "srvr")


def test_shared_hosts_come_first_and_stay_clean(monkeypatch: pytest.MonkeyPatch, running: ZookeeperServer) -> None:
    hosts = f"127.0.0.1:{free_port()},{running.hosts}"  # the first does not answer
    monkeypatch.setenv("ZKDISCOVERY_TEST_HOSTS", hosts)
    with RawSession(running.hosts) as session:
        session.create("/theirs")
        with zookeeper_server() as shared:
            assert shared.hosts == hosts
            assert shared.source.startswith("ZKDISCOVERY_TEST_HOSTS (ZooKeeper 3.")
            session.create(shared.namespace)
            session.create(f"{shared.namespace}/ours")
            for forbidden in (shared.stop, shared.kill, shared.pause, shared.restart):
                with pytest.raises(RuntimeError, match="is not ours"):
                    forbidden()
        assert not session.exists(shared.namespace)
        assert session.exists("/theirs")
        session.delete("/theirs")


@only(["local"])
@pytest.mark.usefixtures("source")
def test_a_namespace_that_cant_be_removed_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with zookeeper_server(source="local") as private:
        monkeypatch.setenv("ZKDISCOVERY_TEST_HOSTS", private.hosts)
        with zookeeper_server() as shared:
            private.stop()
    assert f"{shared.namespace} stays on {shared.hosts}" in caplog.text


def test_shared_hosts_that_do_not_answer_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    dead = f"127.0.0.1:{free_port()},127.0.0.1:{free_port()}"
    monkeypatch.setenv("ZKDISCOVERY_TEST_HOSTS", dead)
    begin = time.monotonic()
    with pytest.raises(NoServerForTests) as caught, zookeeper_server():
        pass
    assert time.monotonic() - begin < 10
    message = str(caught.value)
    assert message.startswith(f"ZKDISCOVERY_TEST_HOSTS names {dead}, and no ZooKeeper serves there within 5 s: ")
    for host in dead.split(","):
        assert f"{host}: [Errno" in message
        assert "refused" in message
    assert "Start it or correct the variable; without it, tests use" in message


@only(["local"])
@pytest.mark.usefixtures("source")
def test_an_engine_that_cant_be_used_is_passed_over_with_a_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def forbid(endpoint: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.delenv("ZKDISCOVERY_TEST_HOSTS", raising=False)
    monkeypatch.setattr(engine, "ping", forbid)
    caplog.set_level(logging.DEBUG, "zkdiscovery.testing")
    lines: list[str] = []
    with zookeeper_server(notify=lines.append) as started:
        assert started.source.startswith("local process")
    endpoint = engine.find_endpoint()
    assert lines == [f"no container: the Docker engine at {endpoint} can't be used; using the {started.source}"]
    (record,) = (record for record in caplog.records if "no container" in record.getMessage())
    assert record.levelno == logging.DEBUG
    assert "Permission denied" in record.getMessage()


@only(["container"])
@pytest.mark.usefixtures("source")
def test_an_image_that_cant_be_had_is_passed_over_with_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        installation.find_installation()
    except NoServerForTests as error:
        pytest.skip(f"nothing to fall back to: {error}")
    monkeypatch.delenv("ZKDISCOVERY_TEST_HOSTS", raising=False)
    monkeypatch.setenv("ZKDISCOVERY_ZOOKEEPER_IMAGE", "127.0.0.1:1/no-such-image:1")
    with zookeeper_server() as started:
        assert started.source.startswith("local process")
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if "no container" in line] == [
        f"zkdiscovery: no container: the image 127.0.0.1:1/no-such-image:1 can't be pulled; using the {started.source}"
    ]


def test_a_port_that_is_asked_for_is_had_again_at_once(source: SourceName) -> None:
    port = free_port()
    for _ in range(2):
        with zookeeper_server(source=source, port=port) as started:
            assert started.hosts.endswith(f":{port}")
            four_letter_word(started.hosts, "srvr")


@pytest.mark.parametrize("chosen", ["auto", "container", "local"])
def test_a_port_that_is_taken_is_refused(chosen: SourceName, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZKDISCOVERY_TEST_HOSTS", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(NoServerForTests, match=f"the port {port} of 127.0.0.1 can't be had"),
            zookeeper_server(source=chosen, port=port),
        ):
            pass


KILLED = """
import sys
from zkdiscovery.testing import zookeeper_server
with zookeeper_server(source=sys.argv[1]) as server:
    source = server._source
    source._supervisor.at_end(["sh", "-c", "echo ended > " + sys.argv[2]])
    print(server.hosts, getattr(source, "_directory", "-"), getattr(source, "_name", "-"), flush=True)
    sys.stdin.read()
"""


def test_the_server_does_not_outlive_a_killed_parent(source: SourceName, tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    ended = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, source, str(fifo)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as parent:
        assert parent.stdout is not None
        hosts, directory, name = parent.stdout.readline().split()
        assert "Mode:" in four_letter_word(hosts, "srvr")
        parent.kill()
        assert select.select([ended], [], [], 30.0)[0], "the supervisor did not clean up"
    os.close(ended)
    with pytest.raises(OSError):
        four_letter_word(hosts, "srvr")
    if source == "local":
        assert not Path(directory).exists()
        assert not [p for p in psutil.process_iter(["cmdline"]) if f"{directory}/zoo.cfg" in (p.info["cmdline"] or [])]
    else:
        assert not container_names(name)


def container_names(name: str) -> list[str]:
    run = subprocess.run(
        ["docker", "ps", "--all", "--format", "{{.Names}}", "--filter", f"name={name}"],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
    )
    return run.stdout.split()
