"""Answers of real Docker engines: what each version says of containers, networks, services and tasks of all kinds.

`sh scripts/isolated.sh .venv/bin/python -m tests.interop.docker.record` records those of one version, in its own file.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

_PLACE = Path(__file__).parent


def versions() -> list[str]:
    """Those that were recorded."""
    return sorted(path.stem for path in _PLACE.glob("*.json"))


@functools.cache
def answers(version: str) -> Any:
    """What an engine of that version answered."""
    return json.loads((_PLACE / f"{version}.json").read_text())
