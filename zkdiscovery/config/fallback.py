"""The last good documents in a file, from which a process starts while ZooKeeper can't be reached.

The file is replaced in one step, so whoever reads it never sees half of it. Only its owner may read it (mode 0600),
because documents may hold what is not for everybody. A file that can't be read or written is logged and does no harm.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from zkdiscovery.config.documents import LARGEST, checked
from zkdiscovery.config.fetching import Fetched

log = logging.getLogger("zkdiscovery.config")

FORMAT = 1


class Fallback:
    """The file of one configuration.

    Args:
        path: of the file; `~` is the home directory.
        name: of the configuration.
    """

    def __init__(self, path: str | os.PathLike[str], name: str) -> None:
        self._path = Path(path).expanduser().absolute()
        self._name = name
        self._failed = ""  # why the last write did not work

    def load(self, names: Sequence[str]) -> list[Fetched] | None:
        """Return the documents of these names as they were saved; None if there is no such file. Never raises."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("the fallback file %s of %r can't be read: %s", self._path, self._name, error)
            return None
        try:
            if len(data) > 2 * LARGEST:
                raise ValueError(f"it has {len(data)} bytes")
            found = json.loads(data)
            if found["format"] != FORMAT or [document["name"] for document in found["documents"]] != list(names):
                raise ValueError("it is of other documents")
            return [
                Fetched(document["name"], int(document["revision"]), checked(document["values"]))
                for document in found["documents"]
            ]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            log.warning("the fallback file %s of %r can't be used: %r", self._path, self._name, error)
            return None

    def save(self, documents: Sequence[Fetched]) -> None:
        """Replace the file. It blocks for as long as the disk takes, and never raises."""
        content = {
            "format": FORMAT,
            "documents": [
                {"name": fetched.name, "revision": fetched.number, "values": fetched.document} for fetched in documents
            ],
        }
        try:
            self._replace(json.dumps(content, ensure_ascii=False).encode(errors="surrogatepass"))
        except OSError as error:
            if str(error) != self._failed:  # once, and not for each revision
                log.warning("the fallback file %s of %r was not written: %s", self._path, self._name, error)
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
