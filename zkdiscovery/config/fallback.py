"""The last good documents in a file, from which a process starts while ZooKeeper can't be reached."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence

from zkdiscovery.config.documents import LARGEST, checked
from zkdiscovery.config.fetching import Fetched
from zkdiscovery.lifecycle import PrivateFile

log = logging.getLogger("zkdiscovery.config")

FORMAT = 1


class Fallback:
    """The file of one configuration.

    Args:
        path: of the file.
        name: of the configuration.
    """

    def __init__(self, path: str | os.PathLike[str], name: str) -> None:
        self._file = PrivateFile(path, f"the fallback file of the configuration {name!r},", log)

    def load(self, names: Sequence[str]) -> list[Fetched] | None:
        """Return the documents of these names as they were saved; None if there is no such file. Never raises."""
        data = self._file.read(2 * LARGEST)
        if data is None:
            return None
        try:
            found = json.loads(data)
            if found["format"] != FORMAT or [document["name"] for document in found["documents"]] != list(names):
                raise ValueError("it is of other documents")
            return [
                Fetched(document["name"], int(document["revision"]), checked(document["values"]))
                for document in found["documents"]
            ]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            self._file.refuse(repr(error))
            return None

    def save(self, documents: Sequence[Fetched]) -> None:
        """Replace the file. It blocks for as long as the disk takes, and never raises."""
        content = {
            "format": FORMAT,
            "documents": [
                {"name": fetched.name, "revision": fetched.number, "values": fetched.document} for fetched in documents
            ],
        }
        self._file.write(json.dumps(content, ensure_ascii=False).encode(errors="surrogatepass"))
