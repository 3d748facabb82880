"""`elections`: who leads, who waits."""

from __future__ import annotations

import time
from typing import Any

import typer

from zkdiscovery.cli.context import Cli, paths_of
from zkdiscovery.cli.output import write_json, write_table
from zkdiscovery.errors import AccessDenied, InvalidName


def list_elections(ctx: typer.Context) -> None:
    """List the elections with their leaders and the candidates that wait."""
    cli: Cli = ctx.obj
    with cli.connected() as client:
        found: list[dict[str, Any]] = []
        with cli.working("reading the elections"):
            end = time.monotonic() + cli.timeout
            for name in client.election_names(cli.timeout):
                try:
                    candidates = client.election(name).candidates(max(0.0, end - time.monotonic()))
                except (AccessDenied, InvalidName) as error:  # of this one: the others are of use all the same
                    cli.warn(str(error))
                    continue
                queue = [{"id": candidate.id, "fence": candidate.fence} for candidate in candidates]
                found.append({"election": name, "leader": queue[0] if queue else None, "waiting": queue[1:]})
        if cli.json:
            write_json(found)
        elif not found:
            cli.say(f"no election is under way in {paths_of(client).elections()}")
        else:
            write_table(("ELECTION", "LEADER", "FENCE", "WAITING"), [_row(election) for election in found])


def _row(election: dict[str, Any]) -> tuple[str, ...]:
    leader = election["leader"] or {"id": "-", "fence": "-"}
    return (
        election["election"],
        leader["id"],
        str(leader["fence"]),
        ", ".join(candidate["id"] for candidate in election["waiting"]) or "-",
    )
