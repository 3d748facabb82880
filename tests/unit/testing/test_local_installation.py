"""Finding a ZooKeeper and a Java, among made-up places."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from zkdiscovery.errors import NoServerForTests
from zkdiscovery.testing.ports import free_port
from zkdiscovery.testing.servers import installation
from zkdiscovery.testing.servers.installation import Installation, find_installation

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "_DEBIAN", tmp_path / "debian")
    monkeypatch.setattr(installation, "_HOMEBREW", (tmp_path / "brew-arm", tmp_path / "brew-intel"))


def make_java(path: Path, status: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\nexit {status}\n")
    path.chmod(0o755)
    return path


def make_jar(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_zookeeper_home_is_the_first_choice(tmp_path: Path) -> None:
    home = tmp_path / "apache-zookeeper"
    make_jar(home / "lib" / "zookeeper-3.9.3.jar")
    make_jar(tmp_path / "debian" / "zookeeper.jar")
    java = make_java(tmp_path / "jdk" / "bin" / "java")
    found = find_installation(environment={"ZOOKEEPER_HOME": str(home), "JAVA_HOME": str(tmp_path / "jdk")})
    assert found == Installation(str(java), f"{home}/lib/*:{home}/*", home)


def test_debians_place_with_what_its_jar_forgets_to_name(tmp_path: Path) -> None:
    debian = tmp_path / "debian"
    make_jar(debian / "zookeeper.jar")
    java = make_java(tmp_path / "bin" / "java")
    found = find_installation(environment={"PATH": str(java.parent)})
    names = ("zookeeper", "slf4j-simple", "netty-codec", "netty-resolver")
    assert found == Installation(str(java), ":".join(f"{debian}/{name}.jar" for name in names), debian)


def test_homebrews_place_with_its_own_java(tmp_path: Path) -> None:
    brew = tmp_path / "brew-intel"
    make_jar(brew / "zookeeper" / "libexec" / "lib" / "zookeeper-3.9.3.jar")
    java = make_java(brew / "openjdk" / "bin" / "java")
    found = find_installation(environment={"PATH": str(tmp_path / "nothing")})
    assert found.java == str(java)
    assert found.place == brew / "zookeeper"
    assert found.class_path.startswith(f"{brew}/zookeeper/libexec/lib/*:")


@pytest.fixture
def several(tmp_path: Path) -> dict[str, str]:
    """An environment with versions in the user's cache, one named, and one of Debian."""
    for version in ("3.6.4", "3.9.5", "3.10.0"):
        make_jar(tmp_path / "caches" / "zkdiscovery" / "zookeeper" / version / f"zookeeper-{version}.jar")
        make_jar(tmp_path / "caches" / "zkdiscovery" / "zookeeper" / version / f"zookeeper-jute-{version}.jar")
    make_jar(tmp_path / "debian" / "zookeeper.jar")
    make_jar(tmp_path / "debian" / "zookeeper-3.8.0.jar")
    make_jar(tmp_path / "named" / "lib" / "zookeeper-3.9.1.jar")
    java = make_java(tmp_path / "bin" / "java")
    return {"XDG_CACHE_HOME": str(tmp_path / "caches"), "PATH": str(java.parent)}


def test_the_newest_one_is_taken(several: dict[str, str]) -> None:
    assert find_installation(environment=several).place.name == "3.10.0"


@pytest.mark.parametrize(
    ("version", "place"),
    [("3.9.5", "3.9.5"), ("3.9", "3.9.5"), ("3.8", "debian"), ("3.8.0", "debian"), ("3.6.4", "3.6.4")],
)
def test_the_version_that_is_wanted_is_taken(several: dict[str, str], version: str, place: str) -> None:
    assert find_installation(version, several).place.name == place


def test_zookeeper_home_is_passed_over_where_another_version_is_wanted(tmp_path: Path, several: dict[str, str]) -> None:
    several["ZOOKEEPER_HOME"] = str(tmp_path / "named")
    assert find_installation(None, several).place.name == "named"
    assert find_installation("3.9", several).place.name == "named"
    assert find_installation("3.9.5", several).place.name == "3.9.5"


def test_the_cache_is_in_the_home_directory_if_nothing_else_is_said(tmp_path: Path, several: dict[str, str]) -> None:
    (tmp_path / "caches").rename(tmp_path / ".cache")
    found = find_installation("3.9.5", {"HOME": str(tmp_path), "PATH": several["PATH"]})
    assert found.place == tmp_path / ".cache" / "zkdiscovery" / "zookeeper" / "3.9.5"


def test_a_version_that_is_not_here_is_an_error_that_says_which_are(several: dict[str, str]) -> None:
    with pytest.raises(NoServerForTests) as caught:
        find_installation("3.1.0", several)
    message = str(caught.value)
    assert "ZooKeeper 3.1.0 is not installed here" in message
    assert "3.8.0 in" in message
    assert "3.10.0 in" in message
    assert "ZOOKEEPER_HOME" in message
    assert "scripts/get_zookeeper.sh 3.1.0" in message


def test_a_java_that_does_not_run_is_passed_over(tmp_path: Path) -> None:
    make_jar(tmp_path / "debian" / "zookeeper.jar")
    make_java(tmp_path / "jdk" / "bin" / "java", status=1)
    runs = make_java(tmp_path / "bin" / "java")
    found = find_installation(environment={"JAVA_HOME": str(tmp_path / "jdk"), "PATH": str(runs.parent)})
    assert found.java == str(runs)


def test_without_zookeeper_the_error_says_where_it_was_looked_for_and_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(NoServerForTests) as caught:
        find_installation(environment={"ZOOKEEPER_HOME": "/opt/none"})
    message = str(caught.value)
    assert "/opt/none" in message
    assert str(tmp_path / "debian" / "zookeeper.jar") in message
    assert "apt-get install --no-install-recommends libzookeeper-java default-jre-headless libslf4j-java" in message
    assert "brew install zookeeper" in message


def test_without_a_java_that_runs_the_error_says_which_were_tried(tmp_path: Path) -> None:
    make_jar(tmp_path / "debian" / "zookeeper.jar")
    stub = make_java(tmp_path / "bin" / "java", status=1)
    with pytest.raises(NoServerForTests, match=r"no Java runs .*jdk.*No such file.*status 1"):
        find_installation(environment={"JAVA_HOME": str(tmp_path / "jdk"), "PATH": str(stub.parent)})
    with pytest.raises(NoServerForTests, match=r"no Java runs \(none found\)"):
        find_installation(environment={"PATH": str(tmp_path / "nothing")})


def test_a_free_port_is_below_the_ephemeral_ranges_and_can_be_bound() -> None:
    port = free_port()
    assert 15000 <= port < 32000
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", port))


def test_no_free_port_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr("random.randrange", lambda *_: taken.getsockname()[1])
        with pytest.raises(NoServerForTests, match="no free TCP port"):
            free_port()
