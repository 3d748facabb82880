"""The ZooKeeper installed on this machine, and a Java to run it.

ZooKeeper is looked for in this order: `ZOOKEEPER_HOME`; then the newest among those in the user's cache, where
`scripts/get_zookeeper.sh` of a clone puts them (`~/.cache/zkdiscovery/zookeeper/VERSION/`), Debian's libzookeeper-java
and Homebrew's zookeeper. Java is looked for in `JAVA_HOME`, on the `PATH`, and in Homebrew's directory, which is on no
`PATH`; the first one that runs is taken.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from zkdiscovery.errors import NoServerForTests
from zkdiscovery.testing.servers.version import fits

_DEBIAN = Path("/usr/share/java")
_HOMEBREW = (Path("/opt/homebrew/opt"), Path("/usr/local/opt"))
_INSTALL = (
    "Debian, Ubuntu: apt-get install --no-install-recommends libzookeeper-java default-jre-headless libslf4j-java;"
    " macOS: brew install zookeeper; elsewhere set ZOOKEEPER_HOME to an unpacked ZooKeeper and JAVA_HOME to a Java"
)


@dataclass(frozen=True)
class Installation:
    """A ZooKeeper that can be started here."""

    java: str
    class_path: str
    place: Path


class _Found(NamedTuple):
    """A ZooKeeper on this machine; `version` is that of its jar, or empty if the jar's name has none."""

    place: Path
    class_path: str
    version: str


def find_installation(version: str | None = None, environment: Mapping[str, str] = os.environ) -> Installation:
    """The ZooKeeper installed here that has the wanted version (None: any), with a Java that runs.

    Raises:
        NoServerForTests: ZooKeeper or Java is missing; names the places searched and what to install.
    """
    candidates = [*_named(environment), *sorted(_installed(environment), key=_number, reverse=True)]
    found = next((candidate for candidate in candidates if fits(version, candidate.version)), None)
    if found is None:
        raise NoServerForTests(_nothing(version, candidates, environment))
    tried = []
    for java in _javas(environment):
        problem = _java_problem(java)
        if problem is None:
            return Installation(java, found.class_path, found.place)
        tried.append(f"{java}: {problem}")
    raise NoServerForTests(
        f"ZooKeeper is installed in {found.place}, but no Java runs ({'; '.join(tried) or 'none found'}). {_INSTALL}"
    )


def _nothing(version: str | None, candidates: Sequence[_Found], environment: Mapping[str, str]) -> str:
    """Return why there is no installation, and what to do."""
    if candidates:
        there = ", ".join(f"{found.version or 'an unknown version'} in {found.place}" for found in candidates)
        return (
            f"ZooKeeper {version} is not installed here (there is {there}). Set ZOOKEEPER_HOME to an unpacked"
            f" ZooKeeper {version}; in a clone of zkdiscovery `sh scripts/get_zookeeper.sh {version}` gets it"
        )
    home = environment.get("ZOOKEEPER_HOME")
    places = [*([home] if home else []), _cache(environment), _DEBIAN / "zookeeper.jar"]
    places += [prefix / "zookeeper" for prefix in _HOMEBREW]
    wanted = f"ZooKeeper {version}" if version else "ZooKeeper"
    return f"no {wanted} is installed (looked in {', '.join(map(str, places))}). {_INSTALL}"


def _named(environment: Mapping[str, str]) -> Iterator[_Found]:
    """Yield the installation that `ZOOKEEPER_HOME` names."""
    if home := environment.get("ZOOKEEPER_HOME"):
        yield from _unpacked(Path(home))


def _installed(environment: Mapping[str, str]) -> Iterator[_Found]:
    for place in sorted(_cache(environment).glob("*")):
        yield from _unpacked(place)
    if (jar := _DEBIAN / "zookeeper.jar").is_file():
        # The jar's manifest names what it needs, all but a back end for its logging, and two for TLS.
        more = ("slf4j-simple.jar", "netty-codec.jar", "netty-resolver.jar")
        class_path = os.pathsep.join(map(str, (jar, *(_DEBIAN / name for name in more))))
        yield _Found(_DEBIAN, class_path, _version(_DEBIAN))
    for prefix in _HOMEBREW:
        yield from _unpacked(prefix / "zookeeper")


def _cache(environment: Mapping[str, str]) -> Path:
    """Return where `scripts/get_zookeeper.sh` puts what it gets."""
    caches = environment.get("XDG_CACHE_HOME") or f"{environment.get('HOME', '')}/.cache"
    return Path(caches) / "zkdiscovery" / "zookeeper"


def _unpacked(home: Path) -> Iterator[_Found]:
    for base in (home, home / "libexec"):
        for jars in (base / "lib", base):
            if any(jars.glob("zookeeper-*.jar")):
                yield _Found(home, os.pathsep.join((str(base / "lib" / "*"), str(base / "*"))), _version(jars))
                return


def _version(directory: Path) -> str:
    """The version in the name of ZooKeeper's jar."""
    names = (re.fullmatch(r"zookeeper-(\d+\.\d+\.\d+)\.jar", jar.name) for jar in directory.glob("zookeeper-*.jar"))
    return next((name[1] for name in names if name), "")


def _number(found: _Found) -> list[int]:
    return [int(part) for part in found.version.split(".") if part]


def _javas(environment: Mapping[str, str]) -> Iterator[str]:
    if home := environment.get("JAVA_HOME"):
        yield str(Path(home) / "bin" / "java")
    if java := shutil.which("java", path=environment.get("PATH")):
        yield java
    for prefix in _HOMEBREW:
        if (brewed := prefix / "openjdk" / "bin" / "java").exists():
            yield str(brewed)


def _java_problem(java: str) -> str | None:
    """Return why this Java does not run, or None. On macOS `java` may be a stub that prints where to get one."""
    try:
        run = subprocess.run(
            [java, "-XX:-UsePerfData", "-version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=20.0,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if run.returncode == 0 else f"-version ends with status {run.returncode}"
