"""The set-up scripts behind `make`: when the environment is kept, when it is not, and what people are told."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[3] / "scripts"


def run(script: Path, *arguments: str, path: Path, environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run a script with the programs in `path` alone: its exit status, and what it said."""
    done = subprocess.run(
        ["/bin/sh", str(script), *arguments],
        env={"PATH": str(path), **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A directory for the PATH: what the scripts need, and no Python."""
    directory = tmp_path / "programs"
    directory.mkdir()
    for name in ("cat", "cmp", "dirname", "grep", "mkdir", "mktemp", "mv", "rm", "sh"):
        found = shutil.which(name)
        assert found
        (directory / name).symlink_to(found)
    return directory


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone whose environment is as the set-up leaves it."""
    clone = tmp_path / "clone"
    shutil.copytree(SCRIPTS, clone / "scripts")
    (clone / "pyproject.toml").write_text("[project]\n")
    program(clone / ".venv" / "bin" / "python", f'exec {sys.executable} "$@"')
    (clone / ".venv" / "origin").write_text(
        f"{os.path.realpath(sys.executable)} {sys.version}\n{clone.resolve()}\n[project]\n"
    )
    return clone


def setup(clone: Path, programs: Path, **environment: str) -> tuple[int, str]:
    return run(clone / "scripts" / "setup_python.sh", path=programs, environment=environment)


def test_an_environment_that_fits_is_kept_without_a_word(clone: Path, programs: Path) -> None:
    assert setup(clone, programs) == (0, "")
    program(programs / "my-python", f'exec {sys.executable} "$@"')
    assert setup(clone, programs, PYTHON=str(programs / "my-python")) == (0, "")


def edit(clone: Path) -> Path:
    (clone / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    return clone


def move(clone: Path) -> Path:
    return clone.rename(clone.with_name("moved"))


def break_interpreter(clone: Path) -> Path:
    (clone / ".venv" / "bin" / "python").unlink()
    return clone


def lose_a_package(clone: Path) -> Path:
    program(clone / ".venv" / "bin" / "python", f'case "$*" in *kazoo*) exit 1 ;; esac\nexec {sys.executable} "$@"')
    return clone


def interrupt_the_installation(clone: Path) -> Path:
    (clone / ".venv" / "origin").unlink()
    return clone


@pytest.mark.parametrize("change", [edit, move, break_interpreter, lose_a_package, interrupt_the_installation])
def test_an_environment_that_no_longer_fits_is_made_anew(
    change: Callable[[Path], Path], clone: Path, programs: Path
) -> None:
    clone = change(clone)
    status, said = setup(clone, programs)  # there is no Python to make it with
    assert status == 1
    assert "no Python 3.11 or later among: python3.14 python3.13 python3.12 python3.11 python3" in said


def test_a_python_that_is_too_old_is_refused_and_nothing_is_changed(clone: Path, programs: Path) -> None:
    program(programs / "python3.11", f'exec {sys.executable} "$@"')
    program(programs / "old", 'case "$*" in *version_info*) exit 1 ;; esac')
    status, said = setup(clone, programs, PYTHON=str(programs / "old"))
    assert status == 1
    assert said.startswith(f"error: no Python 3.11 or later among: {programs / 'old'}.")
    assert setup(clone, programs) == (0, "")


def test_who_may_not_install_packages_is_told_the_command(programs: Path) -> None:
    program(programs / "apt-get", "echo it was called")
    program(programs / "id", "echo 1000")
    status, said = run(SCRIPTS / "apt_install.sh", "this (>= 3.6)", "that | other", path=programs)
    assert status == 1
    assert "sudo apt-get update && sudo apt-get satisfy --no-install-recommends 'this (>= 3.6), that | other'" in said
    assert "it was called" not in said


def test_without_debians_package_manager_one_is_told_what_is_missing(programs: Path) -> None:
    status, said = run(SCRIPTS / "apt_install.sh", "this", path=programs)
    assert status == 1
    assert said == "error: this needs what Debian calls this. Install it and try again\n"


def test_root_installs(programs: Path, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    program(programs / "apt-get", f'echo "$DEBIAN_FRONTEND $*" >>{calls}')
    program(programs / "id", "echo 0")
    status, said = run(SCRIPTS / "apt_install.sh", "this", "that | other", path=programs)
    assert (status, said) == (0, "==> Installing packages: this, that | other\n")
    update, satisfy = calls.read_text().splitlines()
    assert update.startswith("noninteractive update ")
    assert satisfy.startswith("noninteractive satisfy ")
    assert " --no-install-recommends " in satisfy
    assert satisfy.endswith(" this, that | other")


MAVEN = """\
for argument; do
    case $argument in
        */pom.xml) cat "$argument" >>"$0.calls" ;;
        -DoutputDirectory=*) mkdir "${argument#*=}" && echo >"${argument#*=}/a.jar" ;;
    esac
done
"""


def get_zookeeper(version: str, programs: Path, tmp_path: Path) -> tuple[int, str]:
    environment = {"XDG_CACHE_HOME": str(tmp_path / "caches")}
    return run(SCRIPTS / "get_zookeeper.sh", version, path=programs, environment=environment)


def test_a_zookeeper_comes_from_maven_once(programs: Path, tmp_path: Path) -> None:
    program(programs / "mvn", MAVEN)
    place = tmp_path / "caches" / "zkdiscovery" / "zookeeper" / "3.9.5"
    status, said = get_zookeeper("3.9.5", programs, tmp_path)
    assert (status, said) == (0, f"{place}\n==> Getting ZooKeeper 3.9.5 from Maven Central\n")
    assert [jar.name for jar in place.iterdir()] == ["a.jar"]
    asked = (programs / "mvn.calls").read_text()
    assert "<artifactId>zookeeper</artifactId><version>3.9.5</version>" in asked
    assert "<artifactId>logback-classic</artifactId><version>1.3.15</version>" in asked
    (programs / "mvn").unlink()
    assert get_zookeeper("3.9.5", programs, tmp_path) == (0, f"{place}\n")
    assert list(place.parent.iterdir()) == [place]


def test_a_zookeeper_that_maven_has_not_leaves_nothing(programs: Path, tmp_path: Path) -> None:
    program(programs / "mvn", "echo '[ERROR] no such thing'; exit 1")
    status, said = get_zookeeper("3.9.99", programs, tmp_path)
    assert status == 1
    assert "[ERROR] no such thing\nerror: Maven does not get ZooKeeper 3.9.99, see above" in said
    assert list((tmp_path / "caches" / "zkdiscovery" / "zookeeper").iterdir()) == []


@pytest.mark.parametrize("version", ["3.5.10", "3.9", "latest", "../3.9.5"])
def test_a_version_that_is_none_is_refused(programs: Path, tmp_path: Path, version: str) -> None:
    status, said = get_zookeeper(version, programs, tmp_path)
    assert (status, said) == (1, f"error: {version} is no version of ZooKeeper from 3.6 on; write it as 3.9.5\n")


@pytest.mark.parametrize(
    ("source", "environment", "maven", "wanted"),
    [
        ("local", {}, False, "libzookeeper-java (>= 3.6)"),
        ("auto", {}, False, "libzookeeper-java (>= 3.6)"),
        ("auto", {}, True, "libzookeeper-java (>= 3.6)"),
        ("local", {"ZKDISCOVERY_ZOOKEEPER_VERSION": "3.9.5"}, False, "maven"),
        ("container", {}, False, None),
        ("auto", {"ZKDISCOVERY_TEST_HOSTS": "127.0.0.1:1"}, False, None),
    ],
)
def test_what_is_installed_where_no_server_can_be_had(
    clone: Path, programs: Path, source: str, environment: dict[str, str], maven: bool, wanted: str | None
) -> None:
    """Servers that are named, and containers, are not replaced by anything. Debian's is what is left without Maven."""
    program(clone / ".venv" / "bin" / "python", "exit 3")
    program(programs / "id", "echo 0")
    program(programs / "apt-get", f'case $1 in satisfy) for last; do :; done; echo "$last" >>{clone}/installed ;; esac')
    if maven:
        program(programs / "mvn", "echo '[ERROR] unreachable'; exit 1")
    environment = {"HOME": str(clone), **environment}
    status, said = run(clone / "scripts" / "setup_zookeeper.sh", source, path=programs, environment=environment)
    assert status != 0, said
    installed = (clone / "installed").read_text() if (clone / "installed").exists() else ""
    assert installed.startswith(wanted) if wanted else installed == ""


def test_where_no_server_can_be_had_a_current_one_comes_from_maven(clone: Path, programs: Path) -> None:
    program(clone / ".venv" / "bin" / "python", f"[ -d {clone}/.cache/zkdiscovery/zookeeper/3.9.5 ] || exit 3")
    program(programs / "mvn", MAVEN)
    environment = {"HOME": str(clone)}
    status, said = run(clone / "scripts" / "setup_zookeeper.sh", "auto", path=programs, environment=environment)
    assert (status, said) == (0, "==> Getting ZooKeeper 3.9.5 from Maven Central\n")
