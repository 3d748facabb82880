"""`config`: read and edit the documents of the config centre; one command for each thing that a store does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from zkdiscovery.cli.config.edit import edit
from zkdiscovery.cli.config.reading import diff, export, get, history, readers
from zkdiscovery.cli.config.rollout import rollout
from zkdiscovery.cli.config.writing import assign, new_key, reencrypt, rollback

COMMANDS: Mapping[str, Callable[..., Any]] = {
    "get": get,
    "set": assign,
    "edit": edit,
    "history": history,
    "diff": diff,
    "rollback": rollback,
    "export": export,
    "rollout": rollout,
    "readers": readers,
    "reencrypt": reencrypt,
    "new-key": new_key,
}
"""The commands of `config`, by name."""
