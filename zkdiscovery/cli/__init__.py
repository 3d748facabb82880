"""The `zkdiscovery` command. Needs the extra `cli` (typer and rich); without it, one line says so.

Importing this package loads neither.
"""

from __future__ import annotations

import sys

__all__ = ["main"]

_EXTRA = {"click", "rich", "typer"}


def main() -> None:
    """Run the command with the arguments of this process; ends the process."""
    try:
        from zkdiscovery.cli.app import run  # noqa: PLC0415 - the extra may be missing

        run()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        sys.exit("zkdiscovery: the command needs the extra 'cli': pip install 'zkdiscovery[cli]'")
    except KeyboardInterrupt:  # before or after the time in which a command takes care of it
        sys.exit(130)
