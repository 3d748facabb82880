"""Documents as text in other formats."""

from __future__ import annotations

import importlib
import json
from typing import Any, Literal, get_args

from zkdiscovery.config.documents import Document
from zkdiscovery.errors import InvalidDocument, InvalidSettings

Format = Literal["json", "yaml", "toml"]

_LIBRARIES = {"yaml": ("yaml", "PyYAML"), "toml": ("tomli_w", "tomli-w")}  # module, and what to install


def check_format(format: str) -> None:
    """Load what a format needs.

    Raises:
        InvalidSettings: there is no such format, or its library is not installed.
    """
    if format not in get_args(Format):
        raise InvalidSettings(f"a format must be one of {', '.join(get_args(Format))}: got {format!r:.80}")
    if format in _LIBRARIES:
        _library(format)


def export(document: Document, format: str, title: str) -> str:
    """Return a document as text.

    Raises:
        InvalidSettings: there is no such format, or its library is not installed.
        InvalidDocument: the format can't hold it.
    """
    if format == "json":
        return json.dumps(document, ensure_ascii=False, indent=2) + "\n"
    library = _library(format)
    if format == "yaml":
        text: str = library.safe_dump(document, allow_unicode=True, sort_keys=False)
        return text
    try:
        text = library.dumps(document)
    except TypeError as error:  # TOML has no null
        raise InvalidDocument(f"{title} can't be written as TOML: {error}") from None
    return text


def _library(format: str) -> Any:
    module, distribution = _LIBRARIES[format]
    try:
        return importlib.import_module(module)
    except ImportError:
        raise InvalidSettings(f"the format {format!r} needs {distribution}: pip install {distribution}") from None
