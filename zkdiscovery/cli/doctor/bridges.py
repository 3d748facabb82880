"""Bridges: does every source have one, and can it be reached?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from zkdiscovery.bridges.sources import read_sources
from zkdiscovery.cli.doctor.report import Finding, Level, failed
from zkdiscovery.errors import ZkDiscoveryError
from zkdiscovery.session import State

if TYPE_CHECKING:
    from zkdiscovery import Client


def examine_bridges(client: Client, timeout: float) -> Iterator[Finding]:
    """Examine the sources of bridges; nothing if there are none, or ZooKeeper can't be reached."""
    if client.state is not State.CONNECTED:
        return
    try:
        found = read_sources(client, timeout)
    except ZkDiscoveryError as error:
        yield failed("bridges", error)
        return
    for status in found:
        check, data = f"bridge of {status.name}", {"source": status.name, "bridges": len(status.bridges)}
        if not status.bridges:
            yield Finding(
                check,
                "none runs: its instances stay as they were, and are suspects after a while",
                Level.WARNING,
                f"start one, or take them away with `zkdiscovery bridge remove {status.name}`",
                data,
            )
        elif status.away_since is not None:
            away = max(0.0, time.time() - status.away_since)
            yield Finding(
                check, f"can't reach the source for {away:.0f} s: {status.why}", Level.WARNING,
                "see the log of the bridge; its instances stay as they were, and are suspects after a while",
                {**data, "away": away},
            )  # fmt: skip
        else:
            yield Finding(check, f"{len(status.bridges)} running", data=data)
