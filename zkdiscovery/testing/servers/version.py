"""The version of ZooKeeper for a server of tests: the one asked for, else `ZKDISCOVERY_ZOOKEEPER_VERSION`."""

from __future__ import annotations

import os
import re

from zkdiscovery.errors import NoServerForTests

VARIABLE = "ZKDISCOVERY_ZOOKEEPER_VERSION"


def wanted_version(asked: str | None) -> str | None:
    """The version to use, `3.9.5` or the line `3.9`; None: any.

    Raises:
        NoServerForTests: it is no version.
    """
    version = asked or os.environ.get(VARIABLE) or None
    if version is not None and not re.fullmatch(r"\d+\.\d+(\.\d+)?", version):
        raise NoServerForTests(
            f"{version!r} is no version of ZooKeeper; write it as 3.9.5, or 3.9 for any of that line"
        )
    return version


def fits(wanted: str | None, found: str) -> bool:
    """Return whether the version found is the wanted one, or one of the wanted line."""
    return wanted is None or f"{found}.".startswith(f"{wanted}.")
