"""A file that one process keeps for its next start.

The file is replaced in one step, so whoever reads it never sees half of it. Only its owner may read it (mode 0600),
because it may hold what is not for everybody. A file that can't be read or written is logged and does no harm.
"""

from __future__ import annotations

import logging
import os
import secrets
from contextlib import suppress
from pathlib import Path


class PrivateFile:
    """One file. One thread at a time writes it.

    Args:
        path: of the file; `~` is the home directory.
        title: names it, in messages.
        log: where to tell of what went wrong.
    """

    def __init__(self, path: str | os.PathLike[str], title: str, log: logging.Logger) -> None:
        self._path = Path(path).expanduser().absolute()
        self._title = f"{title} {self._path}"
        self._log = log
        self._failed = ""  # why the last write did not work

    def read(self, most: int) -> bytes | None:
        """Return what it has, at most so many bytes; None if there is no such file. Never raises."""
        try:
            with self._path.open("rb") as file:
                data = file.read(most + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._log.warning("%s can't be read: %s", self._title, error)
            return None
        if len(data) > most:
            self.refuse(f"it has more than {most} bytes")
            return None
        return data

    def refuse(self, why: object) -> None:
        """Tell that what was read can't be used."""
        self._log.warning("%s can't be used: %s", self._title, why)

    def write(self, data: bytes) -> None:
        """Replace it. It blocks for as long as the disk takes, and never raises."""
        try:
            self._replace(data)
        except OSError as error:
            if str(error) != self._failed:  # once, and not each time
                self._log.warning("%s was not written: %s", self._title, error)
            self._failed = str(error)
        else:
            self._failed = ""

    def _replace(self, data: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}")
        try:
            # Not open(): the file must never be readable for others, not even before a chmod.
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
        except BaseException:
            with suppress(OSError):
                fresh.unlink()
            raise
