"""What users hand over to `config()`, checked. It loads pydantic: see model.py."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Any

from zkdiscovery.config.base import ConfigOptions
from zkdiscovery.config.drafts import check_documents
from zkdiscovery.config.encrypted import open_document
from zkdiscovery.config.fallback import Fallback
from zkdiscovery.config.keyring import Keyring, check_keys
from zkdiscovery.config.model import validator
from zkdiscovery.core import Core
from zkdiscovery.errors import InvalidSettings
from zkdiscovery.lifecycle import default_id
from zkdiscovery.validation import check_name, check_nonempty

MOST_LAYERS = 16

ZONE = "{zone}"


def make_options(
    name: str,
    model: Any,
    layers: Sequence[str] | None,
    id: str | None,
    fallback: str | os.PathLike[str] | None,
    keys: Keyring | None,
    core: Core,
) -> ConfigOptions:
    """Return what a configuration is made of. For the arguments see `Client.config`.

    Raises:
        InvalidName: no name for a configuration or a document.
        InvalidSettings: the layers or the keys can't be used, or no id.
        TypeError: no model.
    """
    check_name(name, "the name of a configuration")
    check_keys(keys)
    paths = core.paths
    if id is not None:
        check_nonempty(id, "the id of a reader")
    return ConfigOptions(
        name,
        resolve_layers([name] if layers is None else layers, core.settings.zone),
        validator(model),
        lambda fetched: open_document(fetched.document, paths.document(fetched.name), keys),
        id or default_id(),
        id or f"{socket.gethostname()}:{name}",
        None if fallback is None else Fallback(fallback, name),
    )


def resolve_layers(layers: Sequence[str], zone: str | None) -> tuple[str, ...]:
    """Return the names of the documents.

    Raises:
        InvalidName: no name for a document.
        InvalidSettings: none, too many, one twice, or one that needs a zone where there is none.
    """
    if isinstance(layers, str) or not all(isinstance(layer, str) for layer in layers) or len(layers) > MOST_LAYERS:
        raise InvalidSettings(f"layers must be a list of at most {MOST_LAYERS} names of documents: got {layers!r:.80}")
    if zone is None and any(ZONE in layer for layer in layers):
        raise InvalidSettings(
            f"a layer has {ZONE} in its name, and the client has no zone: give it one, Client(zone=…)"
        )
    resolved = [layer.replace(ZONE, zone or "") for layer in layers]
    for layer in resolved:
        if "{" in layer:
            raise InvalidSettings(f"{ZONE} is all that is replaced in the name of a layer: got {layer!r:.80}")
    return tuple(check_documents(resolved))
