"""This machine's side: the settings in force and where each comes from, and the address that it would advertise."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from zkdiscovery import sidecar
from zkdiscovery.cli.commands import FENCE
from zkdiscovery.cli.doctor.report import Finding, Level
from zkdiscovery.errors import InvalidInstance
from zkdiscovery.registration.address import LISTEN_PORT, VARIABLES, Servers, choose, given_host
from zkdiscovery.registration.interfaces import own_addresses
from zkdiscovery.testing.servers import environment

if TYPE_CHECKING:
    from pydantic import BaseModel

    from zkdiscovery import Settings

_PREFIX = "ZKDISCOVERY_"


class Setting(NamedTuple):
    """One value in force. Secrets are hidden."""

    name: str
    value: Any
    source: str


def settings_in_force(
    settings: Settings, options: Mapping[str, object], environ: Mapping[str, str] = os.environ
) -> list[Setting]:
    """All settings, nested ones with dots.

    Args:
        settings: the settings.
        options: values of the command line by field; None: not given.
        environ: the environment.
    """
    result: list[Setting] = []
    for name, value in settings.model_dump(mode="json").items():  # which hides what is a SecretStr
        if options.get(name) is not None:
            source = f"--{name.replace('_', '-')}"
        else:
            variables = [key for key in environ if _is_variable_of(name, key)]
            source = ", ".join(sorted(variables)) or "default"
        result.extend(Setting(key, shown, source) for key, shown in _flat(name, value))
    return result


def _is_variable_of(name: str, variable: str) -> bool:
    expected = f"{_PREFIX}{name}".upper()
    return variable.upper() == expected or variable.upper().startswith(f"{expected}__")


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}", inner)
    elif isinstance(value, list):
        yield name, [_without_secret(entry) for entry in value]
    else:
        yield name, value


def _without_secret(entry: Any) -> Any:
    """An entry of an ACL; the id of the scheme digest holds a hash of the password."""
    if isinstance(entry, dict) and entry.get("scheme") == "digest":
        return {**entry, "id": f"{entry['id'].partition(':')[0]}:**********"}
    return entry


def examine_address(servers: Servers, environ: Mapping[str, str] = os.environ) -> Finding:
    """The address that `register` would advertise, and why.

    Args:
        servers: ZooKeeper's hosts, each with the addresses known of it.
        environ: the environment.
    """
    try:
        choice = choose(given_host(None, environ), servers, own_addresses())
    except (InvalidInstance, OSError) as error:
        return Finding("advertised address", str(error), Level.WARNING, "or give `register` the option --host")
    data = {"host": choice.host, "reason": choice.why, "competing": list(choice.competing)}
    found = f"{choice.host}: {choice.why}"
    if not choice.competing:
        return Finding("advertised address", found, data=data)
    return Finding(
        "advertised address",
        f"{found}; this machine also has {', '.join(choice.competing)}",
        Level.WARNING,
        f"if clients need another one, set {VARIABLES[0]} to an address, an interface ('if:eth1') or a network",
        data,
    )


def examine_environment(environ: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """Variables that look like settings and are none: misspelt, most likely."""
    from zkdiscovery import settings  # noqa: PLC0415 - loaded on use

    known = {*VARIABLES, LISTEN_PORT, FENCE, *sidecar.VARIABLES, *environment.VARIABLES}
    nested: dict[str, type[BaseModel]] = {"tls": settings.Tls, "auth": settings.Auth, "guard": settings.Guard}
    for name in settings.Settings.model_fields:
        known.add(f"{_PREFIX}{name}".upper())
        if name in nested:
            known.update(f"{_PREFIX}{name}__{inner}".upper() for inner in nested[name].model_fields)
    for variable in sorted(environ):
        if variable.upper().startswith(_PREFIX) and variable.upper() not in known:
            meant = difflib.get_close_matches(variable.upper(), known, n=1)
            yield Finding(
                "environment",
                f"{variable} is no setting; it has no effect",
                Level.WARNING,
                f"is {meant[0]} meant?" if meant else "see the settings below",
                {"variable": variable, "meant": meant[0] if meant else None},
            )
