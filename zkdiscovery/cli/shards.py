"""`shards`: who has which shard, and who the members are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from zkdiscovery.cli.context import Cli, paths_of
from zkdiscovery.cli.output import local_time, write_json, write_table

if TYPE_CHECKING:
    from zkdiscovery import ShardTable

_NAME = typer.Argument(help="Name of the shards; all names are listed if none is given.", show_default=False)


def list_shards(ctx: typer.Context, name: Annotated[str | None, _NAME] = None) -> None:
    """List who has which shard, and the members with their loads; without a name, the names of all shards."""
    cli: Cli = ctx.obj
    with cli.connected() as client:
        if name is None:
            with cli.working("reading the names"):
                names = client.shard_names(cli.timeout)
            if cli.json:
                write_json(names)
            elif not names:
                cli.say(f"there are no shards in {paths_of(client).all_shards()}")
            else:
                write_table(("SHARDS",), [(found,) for found in names])
            return
        with cli.working("reading the shards"):
            table = client.shards(name).table(cli.timeout)
    if cli.json:
        write_json(_document(name, table))
    else:
        _write_tables(table)


def _document(name: str, table: ShardTable) -> dict[str, Any]:
    return {
        "shards": name,
        "count": table.count,
        "owners": [
            {
                "shard": shard.number,
                "owner": shard.owner,
                "fence": shard.fence or None,
                "since": shard.since,
                "assigned": shard.assigned,
            }
            for shard in table.shards
        ],
        "members": [
            {"id": member.id, "weight": member.weight, "shards": list(member.shards), "load": member.load}
            for member in table.members
        ],
    }


def _write_tables(table: ShardTable) -> None:
    rows = []
    for shard in table.shards:
        owner = "-" if shard.owner is None else shard.owner
        fence, since = ("-", "-") if shard.since is None else (str(shard.fence), local_time(shard.since))
        moves = "" if shard.assigned == shard.owner else f"to {shard.assigned or 'nobody'}"
        rows.append((str(shard.number), owner, fence, since, moves))
    write_table(("SHARD", "OWNER", "FENCE", "SINCE", "MOVES"), rows)
    members = [
        (member.id, f"{member.weight:g}", str(len(member.shards)), f"{member.load:g}") for member in table.members
    ]
    write_table(("MEMBER", "WEIGHT", "SHARDS", "LOAD"), members)
