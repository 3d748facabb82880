"""`zookeeper_ensemble`: several real ZooKeeper servers for as long as a `with` block runs.

Each member is a server of its own that may be stopped, killed, paused and restarted. Any two can be cut from each other
while their clients stay connected. Sources, in this order: containers on private networks, if a Docker engine answers;
processes of a ZooKeeper installed here, which talk through fault proxies.

Guarantees: as `zookeeper_server`; when the block is entered, a leader is elected and every member serves.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from zkdiscovery.errors import NoServerForTests
from zkdiscovery.testing.ensemble.container_ensemble import container_ensemble
from zkdiscovery.testing.ensemble.ensemble import Link, ZookeeperEnsemble, ZookeeperMember
from zkdiscovery.testing.ensemble.local_ensemble import local_ensemble
from zkdiscovery.testing.servers.container import NoContainer, NoEngine
from zkdiscovery.testing.servers.source import Source
from zkdiscovery.testing.servers.start import SourceName, server_settings, to_stderr
from zkdiscovery.testing.servers.version import wanted_version
from zkdiscovery.testing.wire import four_letter_word

_log = logging.getLogger("zkdiscovery.testing")

_START = 60.0  # seconds for the start of all servers; on a busy machine a Java that starts takes its time


@contextmanager
def zookeeper_ensemble(
    size: int = 3,
    *,
    source: SourceName = "auto",
    version: str | None = None,
    tick_time_ms: int = 500,
    config: Mapping[str, str] | None = None,
    notify: Callable[[str], None] = to_stderr,
) -> Iterator[ZookeeperEnsemble]:
    """Real ZooKeeper servers that form an ensemble, for the time of the `with` block.

    Args:
        size: number of servers; three survive the loss of one.
        source: as of `zookeeper_server`, but an ensemble that somebody else runs can't be used.
        version: as of `zookeeper_server`.
        tick_time_ms: ZooKeeper's tick in milliseconds; it grants session timeouts from 2 to 20 ticks.
        config: further settings of zoo.cfg, by name.
        notify: takes each line that people should read.

    Raises:
        NoServerForTests: no source has servers; says what was tried and what to install.
    """
    settings = {"initLimit": "6", "syncLimit": "4", **server_settings(tick_time_ms, config or {})}
    with _started(size, source, settings, notify, wanted_version(version)) as ensemble:
        yield ensemble


def _started(
    size: int,
    source: SourceName,
    settings: Mapping[str, str],
    notify: Callable[[str], None],
    version: str | None,
) -> ZookeeperEnsemble:
    if source == "hosts":
        raise NoServerForTests("servers that somebody else runs are no ensemble for tests; use source='local'")
    if source != "local":
        try:
            return _launched(*container_ensemble(size, settings, notify, version), version)
        except NoServerForTests as error:
            if source == "container":
                raise
            if not isinstance(error, NoEngine):
                brief = error.brief if isinstance(error, NoContainer) else "what was started does not serve"
                _log.debug("no ensemble in containers: %s", error)
                notify(f"no ensemble in containers: {brief}; using local processes")
    return _launched(*local_ensemble(size, settings, version), version)


def _launched(
    sources: Sequence[Source], links: Mapping[tuple[int, int], Sequence[Link]], version: str | None
) -> ZookeeperEnsemble:
    ensemble = ZookeeperEnsemble([ZookeeperMember(source, version) for source in sources], links)
    try:
        for member in ensemble.members:
            member.restart(wait=False)
        ensemble.wait_serving(_START)
        for member in ensemble.members:
            member.identify(four_letter_word(member.hosts, "srvr"))
    except BaseException:
        ensemble.close()
        raise
    return ensemble
