"""Which source is taken, and what is said when there is none; without a server."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from zkdiscovery import testing
from zkdiscovery.errors import NoServerForTests
from zkdiscovery.testing import zookeeper_server
from zkdiscovery.testing.servers import engine, installation
from zkdiscovery.testing.servers.container import _repository_and_tag
from zkdiscovery.testing.servers.shared import SharedServers

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from zkdiscovery.testing.servers.start import SourceName


@pytest.fixture
def nothing_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No shared server, no engine, no installation."""
    monkeypatch.delenv("ZKDISCOVERY_TEST_HOSTS", raising=False)
    monkeypatch.delenv("ZOOKEEPER_HOME", raising=False)
    monkeypatch.delenv("ZKDISCOVERY_ZOOKEEPER_VERSION", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(engine, "find_endpoint", lambda: f"unix://{tmp_path}/none.sock")
    monkeypatch.setattr(installation, "_DEBIAN", tmp_path)
    monkeypatch.setattr(installation, "_HOMEBREW", ())


@pytest.mark.usefixtures("nothing_there")
def test_no_source_at_all_says_what_was_tried_and_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZKDISCOVERY_HOSTS", "production:2181")
    with pytest.raises(NoServerForTests) as caught, zookeeper_server():
        pass
    message = str(caught.value)
    assert "ZKDISCOVERY_TEST_HOSTS is not set" in message
    assert "no Docker engine at unix:///" in message
    assert "no ZooKeeper is installed" in message
    assert "apt-get install" in message
    assert "production" not in message


@pytest.mark.usefixtures("nothing_there")
@pytest.mark.parametrize(
    ("source", "reason"),
    [("hosts", "ZKDISCOVERY_TEST_HOSTS must be"), ("container", "no Docker engine"), ("local", "no ZooKeeper is inst")],
)
def test_a_source_asked_for_is_the_only_one(source: SourceName, reason: str) -> None:
    with pytest.raises(NoServerForTests, match=reason), zookeeper_server(source=source):
        pass


@pytest.mark.usefixtures("nothing_there")
@pytest.mark.parametrize("servers", [zookeeper_server, testing.zookeeper_ensemble])
def test_a_version_that_is_none_is_refused_whoever_names_it(
    monkeypatch: pytest.MonkeyPatch, servers: Callable[..., AbstractContextManager[object]]
) -> None:
    with (
        pytest.raises(NoServerForTests, match=r"'latest' is no version of ZooKeeper.*3\.9\.5"),
        servers(version="latest"),
    ):
        pass
    monkeypatch.setenv("ZKDISCOVERY_ZOOKEEPER_VERSION", "3")
    with pytest.raises(NoServerForTests, match="'3' is no version"), servers():
        pass


@pytest.mark.usefixtures("nothing_there")
def test_the_version_asked_for_comes_before_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZKDISCOVERY_ZOOKEEPER_VERSION", "3.8.6")
    with (
        pytest.raises(NoServerForTests, match=r"no ZooKeeper 3\.9\.5 is inst"),
        zookeeper_server(source="local", version="3.9.5"),
    ):
        pass
    with pytest.raises(NoServerForTests, match=r"no ZooKeeper 3\.8\.6 is inst"), zookeeper_server(source="local"):
        pass


@pytest.mark.usefixtures("nothing_there")
@pytest.mark.parametrize("source", ["auto", "hosts", "container", "local"])
def test_a_traceback_says_why_once(monkeypatch: pytest.MonkeyPatch, source: SourceName) -> None:
    """The error tells all that its cause would repeat."""
    if source == "hosts":
        monkeypatch.setenv("ZKDISCOVERY_TEST_HOSTS", "a:b")
    with pytest.raises(NoServerForTests) as caught, zookeeper_server(source=source):
        pass
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.usefixtures("nothing_there")
def test_an_engine_that_forbids_itself_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(endpoint: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(engine, "ping", forbid)
    with pytest.raises(NoServerForTests, match=r"can't be used: .*Permission denied"), zookeeper_server():
        pass


@pytest.mark.usefixtures("nothing_there")
def test_without_testcontainers_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "ping", lambda endpoint: None)
    monkeypatch.setitem(sys.modules, "testcontainers.core.container", None)
    with (
        pytest.raises(NoServerForTests, match=r"pip install 'zkdiscovery\[testing\]'"),
        zookeeper_server(source="container"),
    ):
        pass


@pytest.mark.parametrize("hosts", ["zk1:2181/chroot", "zk1:port", "zk1,,zk2", "https://zk1:2181"])
def test_shared_hosts_that_cant_be_read(hosts: str) -> None:
    with pytest.raises(NoServerForTests, match="must be host:port"):
        SharedServers(hosts)


def test_shared_hosts_are_never_stopped() -> None:
    shared = SharedServers("zk1:2181, zk2:2181")
    assert shared.hosts == "zk1:2181,zk2:2181"
    for forbidden in (shared.stop, shared.kill, shared.pause, shared.resume, shared.wipe, shared.move):
        with pytest.raises(RuntimeError, match=r"zk1:2181,zk2:2181 is not ours .*source='local'"):
            forbidden()


@pytest.mark.parametrize("value", ["a b", "a\nb", ""])
def test_a_setting_that_would_not_survive_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="extra"), zookeeper_server(source="local", config={"extra": value}):
        pass


@pytest.mark.parametrize(
    ("image", "parts"),
    [
        ("zookeeper:3.9", ("zookeeper", "3.9")),
        ("zookeeper", ("zookeeper", "latest")),
        ("registry:5000/zookeeper", ("registry:5000/zookeeper", "latest")),
        ("registry:5000/zookeeper:3.8", ("registry:5000/zookeeper", "3.8")),
        ("zookeeper@sha256:0123", ("zookeeper@sha256:0123", None)),
    ],
)
def test_an_images_name_in_its_parts(image: str, parts: tuple[str, str | None]) -> None:
    assert _repository_and_tag(image) == parts


def test_the_plugin_loads_nothing_else() -> None:
    """Coverage is measured from a package's first import, and pytest loads plugins before that."""
    code = (
        "import sys, zkdiscovery.pytest_plugin;"
        "print(sorted(name for name in sys.modules if name.startswith('zkdiscovery')),"
        "set(sys.modules) & {'kazoo', 'pydantic', 'testcontainers', 'docker'})"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    loaded = ["zkdiscovery", "zkdiscovery.lazy", "zkdiscovery.pytest_plugin"]
    assert run.stdout == f"{loaded} set()\n"
