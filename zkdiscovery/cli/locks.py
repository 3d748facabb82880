"""`locks`: who holds a lock or a semaphore, who waits, and a request for its release.

A lock is nothing but those who stand at it, so a free one is not listed. A semaphore has a stored limit, too.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from zkdiscovery.cli.context import Cli, paths_of
from zkdiscovery.cli.output import local_time, write_json, write_table
from zkdiscovery.errors import AccessDenied, InvalidName, NodeMissing, UndecodableNode

if TYPE_CHECKING:
    from zkdiscovery import Client, Contender
    from zkdiscovery.locks import Standing


class _Found(NamedTuple):
    """A lock or a semaphore that is in use."""

    name: str
    kind: str
    standing: Standing


def list_locks(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="Name of a lock or a semaphore, to list everybody who stands at it; all locks if not given.",
            show_default=False,
        ),
    ] = None,
    *,
    request_release: Annotated[
        bool,
        typer.Option("--request-release", help="Ask those who hold NAME to release it. They decide; no hold is ended."),
    ] = False,
) -> None:
    """List the locks and the semaphores in use: who holds them, and who waits."""
    cli: Cli = ctx.obj
    if request_release and name is None:
        raise typer.BadParameter("needs the NAME of a lock", param_hint="--request-release")
    with cli.connected() as client:
        with cli.working("reading the locks"):
            found = _read(cli, client, name)
        if name is not None and request_release:
            _request_release(cli, client, name, found)
        elif name is not None:
            _write_one(cli, client, name, found)
        else:
            _write_all(cli, client, found)


def _read(cli: Cli, client: Client, only: str | None) -> list[_Found]:
    """Read the lock and the semaphore of a name, or all that are in use."""
    from zkdiscovery.locks import Locks  # noqa: PLC0415 - loaded by the client

    locks, paths, end = client.feature(Locks), paths_of(client), time.monotonic() + cli.timeout
    found: list[_Found] = []
    for kind, names_of, path_of, look in (
        ("lock", locks.names, paths.lock, locks.contenders),
        ("semaphore", locks.semaphore_names, paths.semaphore, locks.semaphore_contenders),
    ):
        for name in names_of(max(0.0, end - time.monotonic())) if only is None else [only]:
            try:
                standing = look(path_of(name), max(0.0, end - time.monotonic()))
            except (AccessDenied, InvalidName, UndecodableNode) as error:
                if only is not None:
                    raise
                cli.warn(str(error))  # of this one: the others are of use all the same
                continue
            if standing.holders or standing.waiters or standing.limit is not None:
                found.append(_Found(name, kind, standing))
    return sorted(found)


def _write_all(cli: Cli, client: Client, found: list[_Found]) -> None:
    if cli.json:
        write_json([_json(each) for each in found])
    elif found:
        columns = ("NAME", "KIND", "LIMIT", "HOLDER", "FENCE", "SINCE", "WAITING")
        write_table(columns, [_row(each) for each in found])
    else:
        cli.say(f"no lock and no semaphore is in use in {paths_of(client).locks()} and {paths_of(client).semaphores()}")


def _row(found: _Found) -> tuple[str, ...]:
    holders, waiters, limit = found.standing
    return (
        found.name,
        found.kind,
        "-" if limit is None else str(limit),
        ", ".join(holder.id or "?" for holder in holders) or "-",
        ", ".join(str(holder.fence) for holder in holders) or "-",
        _since(holders[0]) if holders else "-",
        str(len(waiters)),
    )


def _write_one(cli: Cli, client: Client, name: str, found: list[_Found]) -> None:
    if cli.json:
        write_json([_json(each) for each in found])
    if not found:
        raise _not_in_use(client, name)
    if cli.json:
        return
    for each in found:
        holders, waiters, limit = each.standing
        most = "" if limit is None else f" of {limit}"
        cli.say(f"{each.kind} {name}: held by {len(holders)}{most}, {len(waiters)} waiting")
        rows = [("holds", who) for who in holders] + [("waits", who) for who in waiters]
        if rows:
            columns = ("STATE", "MODE", "ID", "SESSION", "FENCE", "NUMBER", "SINCE")
            write_table(columns, [(state, *_standing(each.kind, who)) for state, who in rows])


def _standing(kind: str, who: Contender) -> tuple[str, ...]:
    told = _told(kind, who)
    return told["mode"], who.id or "?", told["session"] or "-", str(who.fence), str(told["number"]), _since(who)


def _since(who: Contender) -> str:
    return local_time(who.since) if who.since else "-"


def _json(found: _Found) -> dict[str, Any]:
    holders, waiters, limit = found.standing
    return {
        "name": found.name,
        "kind": found.kind,
        "limit": limit,
        "holders": [_told(found.kind, who) for who in holders],
        "waiters": [_told(found.kind, who) for who in waiters],
    }


def _told(kind: str, who: Contender) -> dict[str, Any]:
    from zkdiscovery.locks import is_reader, number_of  # noqa: PLC0415 - loaded by the client

    mode = "lease" if kind == "semaphore" else "shared" if is_reader(who.path) else "exclusive"
    return {
        "id": who.id,
        "session": f"0x{who.session:x}" if who.session else None,
        "fence": who.fence,
        "number": number_of(who.path),
        "mode": mode,
        "since": who.since or None,
    }


def _request_release(cli: Cli, client: Client, name: str, found: list[_Found]) -> None:
    from zkdiscovery.locks import Locks  # noqa: PLC0415 - loaded by the client

    locks = client.feature(Locks)
    asked = [(each, locks.request_release(each.standing.holders, cli.timeout)) for each in found]
    if cli.json:
        write_json(
            [
                {"name": name, "kind": each.kind, "asked": [_told(each.kind, who) for who in holders]}
                for each, holders in asked
            ]
        )
    if not any(holders for _, holders in asked):
        raise _not_in_use(client, name)
    if not cli.json:
        for each, holders in asked:
            for who in holders:
                cli.say(f"asked {who.id or '?'} to release the {each.kind} {name}")


def _not_in_use(client: Client, name: str) -> NodeMissing:
    paths = paths_of(client)
    where = " or ".join(dict.fromkeys([paths.lock(name), paths.semaphore(name)]))
    return NodeMissing(
        f"nobody holds {name!r} in {where}; `zkdiscovery locks` lists what is in use", path=paths.lock(name)
    )
