"""`bridges`: the sources that bridges follow, and who leads."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from zkdiscovery.cli.context import Cli, paths_of
from zkdiscovery.cli.output import harmless, local_time, write_json, write_table

if TYPE_CHECKING:
    from zkdiscovery.bridges.sources import SourceStatus


def list_bridges(ctx: typer.Context) -> None:
    """List the sources with their bridges: which one leads, and whether the source can be reached."""
    from zkdiscovery.bridges.sources import read_sources  # noqa: PLC0415 - loads all of the SDK

    cli: Cli = ctx.obj
    with cli.connected() as client:
        with cli.working("reading the bridges"):
            found = read_sources(client, cli.timeout)
        if cli.json:
            write_json([asdict(status) for status in found])
        elif not found:
            cli.say(f"no bridge runs, nor has one left anything in {paths_of(client).bridges()}")
        else:
            write_table(("SOURCE", "STATE", "BRIDGE", "WHERE", "SINCE"), [row for each in found for row in _rows(each)])
            for status in found:
                for bridge in status.bridges:
                    for name, reason in bridge.problems.items():
                        cli.warn(f"{harmless(status.name)} does not import {harmless(name)}: {harmless(reason)}")


def _rows(status: SourceStatus) -> list[tuple[str, ...]]:
    state = _state(status)
    if not status.bridges:
        return [(status.name, state, "-", "-", "-")]
    rows: list[tuple[str, ...]] = []
    for number, bridge in enumerate(status.bridges):
        leads = " (leads)" if status.leader is not None and bridge.id == status.leader else ""
        since = "-" if bridge.since is None else local_time(bridge.since)
        shown = (status.name, state) if number == 0 else ("", "")
        rows.append((*shown, f"{bridge.id}{leads}", bridge.where or "-", since))
    return rows


def _state(status: SourceStatus) -> str:
    if not status.bridges:
        return "without a bridge"
    if status.away_since is None:
        return "followed"
    return f"away for {max(0.0, time.time() - status.away_since):.0f} s: {status.why}"
