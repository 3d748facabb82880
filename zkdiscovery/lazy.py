"""Names that a package offers and loads on first use (PEP 562): what nobody uses costs no time."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping


def lazy(package: str, homes: Mapping[str, Iterable[str]]) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """The package's `__getattr__` and `__dir__`, for names that live in its modules.

    Args:
        package: its `__name__`.
        homes: names by module, relative to the package.
    """
    home = {name: module for module, names in homes.items() for name in names}
    loaded = vars(sys.modules[package])

    def load(name: str) -> object:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        loaded[name] = value = getattr(importlib.import_module(f"{package}.{home[name]}"), name)
        return value

    return load, lambda: sorted({*loaded, *home})
