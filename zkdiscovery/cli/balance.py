"""`balance`: who would be called, how often, and why not."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Annotated

import typer

from zkdiscovery.cli.context import Cli, no_instance
from zkdiscovery.cli.output import instance_json, status_text, write_json, write_table
from zkdiscovery.cli.values import ServiceName
from zkdiscovery.errors import NoInstanceAvailable

if TYPE_CHECKING:
    from zkdiscovery import Service


def balance(
    ctx: typer.Context,
    name: ServiceName,
    balancer: Annotated[
        str, typer.Option(help="Name of the strategy, such as round_robin or maglev.", metavar="STRATEGY")
    ] = "p2c_ewma",
    key: Annotated[
        str | None, typer.Option(help="Who gets the calls with this key?", metavar="TEXT", show_default=False)
    ] = None,
    slow_start: Annotated[
        float, typer.Option(help="Seconds of slow start.", metavar="SECONDS", min=0.0, max=86_400.0)
    ] = 0.0,
    picks: Annotated[int, typer.Option(help="Picks to take the shares from.", min=1, max=1_000_000)] = 10_000,
) -> None:
    """Show who gets which share of the picks, and why the others get none."""
    cli: Cli = ctx.obj
    with cli.connected() as client:
        with cli.working(f"reading the instances of {name}"):
            if not client.instances(name, cli.timeout):  # raises if we may not read it
                if cli.json:
                    write_json([])
                raise no_instance(client, name)
            view = client.discover(name, balancer=balancer, slow_start=slow_start)
            next(view.changes(cli.timeout), None)
            if not view.snapshot.loaded:
                view.wait_ready(0.0)  # raises the reason
            standings = view.explain()
            shares = _shares(view, key, picks)
        if cli.json:
            write_json(
                [
                    {
                        "instance": instance_json(standing.instance),
                        "picked": standing.picked,
                        "share": shares[standing.instance.id],
                        "weight": standing.weight,
                        "why": standing.why,
                    }
                    for standing in standings
                ]
            )
        else:
            rows = [
                (
                    standing.instance.id,
                    status_text(standing.instance.status),
                    standing.instance.zone or "-",
                    f"{standing.weight:g}" if standing.picked else f"({standing.instance.weight:g})",
                    f"{shares[standing.instance.id]:.1%}",
                    standing.why or "-",
                )
                for standing in standings
            ]
            write_table(("ID", "STATUS", "ZONE", "WEIGHT", "SHARE", "WHY"), rows)


def _shares(view: Service, key: str | None, picks: int) -> defaultdict[str, float]:
    """The part of the picks by id."""
    counts: Counter[str] = Counter()
    try:
        for _ in range(picks):
            counts[view.pick(key).id] += 1
    except NoInstanceAvailable:  # the table shows why
        counts.clear()
    return defaultdict(float, {name: number / picks for name, number in counts.items()})
