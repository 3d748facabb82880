"""Every module of the benchmarks can be imported: nobody runs all of them after each change."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import benchmarks

MODULES = [found.name for found in pkgutil.walk_packages(benchmarks.__path__, "benchmarks.")]


@pytest.mark.parametrize("name", MODULES)
def test_it_can_be_imported(name: str) -> None:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in {"matplotlib", "tooz", "rich"}:  # of the extra `bench`
            raise
        pytest.skip(f"no {error.name}")
