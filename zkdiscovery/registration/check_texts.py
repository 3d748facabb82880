"""Health checks as text, for commands and labels.

| text                               | check                                                   |
|------------------------------------|---------------------------------------------------------|
| `http:/ready`, `http:9090/ready`   | `HttpCheck("/ready")`, with `port=9090`                 |
| `https:/ready`, `https:9090/ready` | the same with `tls=True`                                |
| `tcp`, `tcp:9090`                  | `TcpCheck()`, with `port=9090`                          |
| `grpc`, `grpc:9090`, `grpc:pay`, `grpc:9090/pay` | `GrpcCheck()`, with `port=9090`, of `"pay"` |
| `command:pg_isready -q`            | `CommandCheck(["pg_isready", "-q"])`, split as by sh    |
"""

from __future__ import annotations

import importlib
import re
import shlex
from typing import Any

from zkdiscovery.errors import InvalidInstance
from zkdiscovery.registration.checks import ProbingCheck, TcpCheck
from zkdiscovery.registration.command_check import CommandCheck
from zkdiscovery.validation import shown

_NETWORK = re.compile(r"(?P<kind>https?|tcp|grpc)(?::(?P<port>[0-9]+)?(?P<rest>.*))?", re.DOTALL)
_HELP = "http:/ready, http:9090/ready, https:/ready, tcp, tcp:9090, grpc, grpc:SERVICE or command:PROGRAM ARGUMENTS"


def check_of(text: str, **options: Any) -> ProbingCheck:
    """Return the check that a text stands for.

    Args:
        text: see above.
        options: of the check, such as `interval`.

    Raises:
        InvalidInstance: it stands for none, or a value is out of range.
    """
    kind, _, command = text.partition(":")
    if kind == "command":
        try:
            return CommandCheck(shlex.split(command), **options)
        except ValueError as error:  # InvalidInstance is one, too
            raise InvalidInstance(f"a check must be {_HELP}: got {shown(text)}: {error}") from None
    found = _NETWORK.fullmatch(text)
    if found is not None:
        kind, port, rest = found["kind"], found["port"], found["rest"] or ""
        options = {"port": int(port) if port else None, **options}
        if kind == "tcp" and not rest:
            return TcpCheck(**options)
        if kind == "grpc" and not (port and rest and rest[0] != "/"):
            return _make("grpc_check", "GrpcCheck", rest[1:] if port else rest, **options)
        if kind in {"http", "https"} and rest.startswith("/"):
            return _make("http_check", "HttpCheck", rest, tls=kind == "https", **options)
    raise InvalidInstance(f"a check must be {_HELP}: got {shown(text)}")


def _make(module: str, name: str, *arguments: Any, **options: Any) -> ProbingCheck:
    """Make a check whose module takes a while to load. Commands do this on their main thread."""
    kind: type[ProbingCheck] = getattr(importlib.import_module(f"zkdiscovery.registration.{module}"), name)
    return kind(*arguments, **options)
