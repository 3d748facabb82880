"""`zookeeper_server`: a real ZooKeeper for as long as a `with` block runs.

Sources, in this order: the servers named by `ZKDISCOVERY_TEST_HOSTS`; a container, if a Docker engine answers; a
private process of a ZooKeeper installed here. `ZKDISCOVERY_HOSTS` is never read, because it may name production.

Guarantees: the server answers when the block is entered; it ends with the block and with this process, however that
ends, and leaves no process, container or file behind. On shared servers the end of the block removes the namespace; a
process that is killed leaves it there.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

from zkdiscovery.errors import NoServerForTests
from zkdiscovery.testing.ports import check_port
from zkdiscovery.testing.servers.container import Container, NoContainer, NoEngine
from zkdiscovery.testing.servers.installation import find_installation
from zkdiscovery.testing.servers.local import LocalProcess
from zkdiscovery.testing.servers.server import ZookeeperServer
from zkdiscovery.testing.servers.shared import VARIABLE, SharedServers
from zkdiscovery.testing.servers.source import Source
from zkdiscovery.testing.servers.version import wanted_version

SourceName = Literal["auto", "hosts", "container", "local"]

_log = logging.getLogger("zkdiscovery.testing")
_log.addHandler(logging.NullHandler())


def to_stderr(line: str) -> None:
    """Print a line for people on stderr."""
    print(f"zkdiscovery: {line}", file=sys.stderr, flush=True)  # noqa: T201


@contextmanager
def zookeeper_server(
    *,
    source: SourceName = "auto",
    version: str | None = None,
    port: int | None = None,
    tick_time_ms: int = 500,
    config: Mapping[str, str] | None = None,
    notify: Callable[[str], None] = to_stderr,
) -> Iterator[ZookeeperServer]:
    """A real ZooKeeper for the time of the `with` block.

    Args:
        source: "auto" tries the others in this order: "hosts" (the servers named by `ZKDISCOVERY_TEST_HOSTS`),
            "container" (a Docker engine), "local" (a ZooKeeper installed here).
        version: ZooKeeper's, such as "3.9.5", or "3.9" for any of that line; None: that of
            `ZKDISCOVERY_ZOOKEEPER_VERSION`, else whichever the source has.
        port: TCP port to listen on; None: a free one. Shared servers keep theirs.
        tick_time_ms: ZooKeeper's tick in milliseconds; it grants session timeouts from 2 to 20 ticks.
        config: further settings of zoo.cfg, by name; not for shared servers.
        notify: takes each line that people should read, such as why there is no container; the logger
            `zkdiscovery.testing` has the details at DEBUG.

    Raises:
        NoServerForTests: no source has a server of that version, or the port is taken; says what was tried and what
            to install.
        ValueError: `port` is no port, or a value in `config` is empty or has a space.
    """
    settings = server_settings(tick_time_ms, config or {})
    server = _started(source, settings, notify, port, wanted_version(version))
    try:
        yield server
    finally:
        server.close()


def server_settings(tick_time_ms: int, config: Mapping[str, str]) -> dict[str, str]:
    """The settings of a server for tests, as in zoo.cfg.

    Raises:
        ValueError: a value in `config` is empty or has a space.
    """
    settings = {
        "tickTime": str(tick_time_ms),
        "4lw.commands.whitelist": "*",
        "maxClientCnxns": "0",
        "admin.enableServer": "false",
        "forceSync": "no",  # a crash of the machine may cost the data, a crash of the server does not
        **config,
    }
    for key, value in settings.items():
        if not re.fullmatch(r"\S+", value):
            raise ValueError(f"the setting {key} must be text without spaces: got {value!r}")
    return settings


def _started(
    source: SourceName,
    config: Mapping[str, str],
    notify: Callable[[str], None],
    port: int | None,
    version: str | None,
) -> ZookeeperServer:
    hosts = os.environ.get(VARIABLE, "")
    if port is not None and source != "hosts" and not (source == "auto" and hosts):
        check_port(port)
    makers: dict[str, Callable[[], Source]] = {
        "hosts": lambda: SharedServers(hosts),
        "container": lambda: Container(config, notify, port, version=version),
        "local": lambda: LocalProcess(find_installation(version), config, port),
    }
    if source != "auto":
        return _start_source(makers[source], version)
    if hosts:
        return _start_source(makers["hosts"], version)
    try:
        return _start_source(makers["container"], version)
    except NoServerForTests as error:
        no_container = error
    try:
        server = _start_source(makers["local"], version)
    except NoServerForTests as no_local:
        raise NoServerForTests(
            f"no ZooKeeper for tests. {VARIABLE} is not set. No container: {no_container}. Nothing local: {no_local}"
        ) from None
    if not isinstance(no_container, NoEngine):
        _log.debug("no container: %s", no_container)
        brief = no_container.brief if isinstance(no_container, NoContainer) else "what was started does not serve"
        notify(f"no container: {brief}; using the {server.source}")
    return server


def _start_source(make: Callable[[], Source], version: str | None) -> ZookeeperServer:
    server = ZookeeperServer.started(make(), version)
    _log.info("ZooKeeper for tests at %s: %s", server.hosts, server.source)
    return server
