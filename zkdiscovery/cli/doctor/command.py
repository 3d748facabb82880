"""The command: look, print, choose an exit code."""

from __future__ import annotations

import typer
from rich.text import Text

from zkdiscovery.cli.context import Cli
from zkdiscovery.cli.doctor.report import Finding, Level
from zkdiscovery.cli.exits import ExitCode
from zkdiscovery.cli.output import harmless, write_json, write_rendered, write_table

_STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "bold red"}


def doctor(ctx: typer.Context) -> None:
    """Look at everything between here and ZooKeeper: what works, what is wrong, and what to do.

    Exit code 0: nothing is wrong; 1: something is; 3: no session can be had; 5: rights are missing.
    """
    # kazoo and settings are loaded on use
    from zkdiscovery.cli.doctor.bridges import examine_bridges  # noqa: PLC0415
    from zkdiscovery.cli.doctor.hosts import examine_hosts  # noqa: PLC0415
    from zkdiscovery.cli.doctor.local import examine_address, examine_environment, settings_in_force  # noqa: PLC0415
    from zkdiscovery.cli.doctor.session import examine_session  # noqa: PLC0415

    cli: Cli = ctx.obj
    with cli.client() as client:
        core = client.slot.current()
        with cli.working("looking at everything"):
            session = list(examine_session(client, cli.timeout))  # first, because it has begun to connect
            session += examine_bridges(client, cli.timeout)
            hosts = examine_hosts(
                core.settings.servers, timeout=core.settings.connect_timeout, context=core.session.options.context
            )
            findings = [*hosts, *session, examine_address(core.session.known_addresses()), *examine_environment()]
        settings = settings_in_force(
            core.settings, {"hosts": cli.hosts, "namespace": cli.namespace, "base_path": cli.base_path}
        )
    code = max(finding.code for finding in findings)
    if cli.json:
        document = {
            "ok": code is ExitCode.OK,
            "findings": [_plain(finding) for finding in findings],
            "settings": [setting._asdict() for setting in settings],
        }
        write_json(document)
    else:
        for finding in findings:
            write_rendered(_lines(finding))
        write_rendered(Text())
        write_table(
            ("SETTING", "VALUE", "FROM"),
            [(s.name, "-" if s.value is None else str(s.value), s.source) for s in settings],
        )
    raise typer.Exit(code)


def _plain(finding: Finding) -> dict[str, object]:
    return {
        "check": finding.check,
        "level": finding.level,
        "found": finding.found,
        "advice": finding.advice or None,
        "data": {key: round(value, 6) if isinstance(value, float) else value for key, value in finding.data.items()},
    }


def _lines(finding: Finding) -> Text:
    line = Text.assemble(
        (f"{finding.level:8}", _STYLES[finding.level]), f"{harmless(finding.check)}: {harmless(finding.found)}"
    )
    return line.append(f"\n{'':8}→ {harmless(finding.advice)}") if finding.advice else line
