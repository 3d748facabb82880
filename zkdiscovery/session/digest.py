"""One line in the log for each cause, however many things it affects."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Self

SHOWN = 3  # names in one line
LINES = 5  # causes that have a line of their own


class Digest:
    """Collects messages about many things. The end of its `with` block logs one line for each cause.

    Args:
        log: the logger.
        level: of `logging`.
        text: of each line, with one `%s` for the names and one for the cause.
    """

    def __init__(self, log: logging.Logger, level: int, text: str) -> None:
        self._log = log
        self._level = level
        self._text = text
        self._causes: dict[str, tuple[str, list[str]]] = {}  # the first message, and the names

    def add(self, path: str, cause: str, shown: str | None = None) -> None:
        """Note a message about a path. Messages that differ only in the path, or in its last part, have one cause."""
        key = cause.replace(path, "").replace(path.rpartition("/")[2], "")
        _, names = self._causes.setdefault(key, (cause, []))
        names.append(path if shown is None else shown)

    def tell(self) -> None:
        """Log the lines."""
        causes, self._causes = list(self._causes.values()), {}
        if len(causes) > LINES:
            others = causes[LINES - 1 :]
            names = [name for _, some in others for name in some]
            causes[LINES - 1 :] = [(f"{len(others)} different reasons, the first: {others[0][0]}", names)]
        for cause, names in causes:
            self._log.log(self._level, self._text, some_of(names), cause)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.tell()


def some_of(names: Iterable[str]) -> str:
    """Join the first names, and say how many more there are."""
    names = list(names)
    more = len(names) - SHOWN
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:SHOWN])} and {more} more"
