"""The structure of the package: no rings of imports, kazoo in one place, short files, few uses of private members."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

import grimp

import zkdiscovery


@functools.cache
def imports() -> Mapping[str, AbstractSet[str]]:
    """What each module of the SDK imports, wherever in the module the import stands."""
    graph = grimp.build_graph(
        "zkdiscovery", include_external_packages=True, exclude_type_checking_imports=False, cache_dir=None
    )
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def reached_from(module: str, graph: Mapping[str, AbstractSet[str]]) -> AbstractSet[str]:
    """The modules that are imported by a module, by those that it imports, and so on."""
    reached: set[str] = set()
    waiting = [module]
    while waiting:
        new = graph.get(waiting.pop(), set()) - reached
        reached |= new
        waiting += new
    return reached


def rings(graph: Mapping[str, AbstractSet[str]]) -> set[frozenset[str]]:
    """The strongly connected components of more than one module."""
    reached = {module: reached_from(module, graph) for module in graph}
    return {
        frozenset(other for other in reached[module] if module in reached[other])
        for module in graph
        if module in reached[module]
    }


def test_no_import_cycle() -> None:
    found = rings(imports())
    assert not found, "\n".join(" <-> ".join(sorted(ring)) for ring in found)


def test_only_the_transport_imports_kazoo() -> None:
    importers = {module for module, imported in imports().items() if "kazoo" in imported}
    assert {module.rpartition(".")[0] for module in importers} == {"zkdiscovery.session.transport"}


def test_rings_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a", "e"}, "e": set[str]()}
    assert rings(graph) == {frozenset("abc")}


SOURCES = sorted(Path(zkdiscovery.__file__).parent.rglob("*.py"))


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def test_few_private_members_of_others_are_used() -> None:
    """Ruff refuses such uses (SLF001), but for those that say why they are needed."""
    allowed = [line for path in SOURCES for line in path.read_text().splitlines() if "noqa: SLF001" in line]
    assert len(allowed) <= 15
    assert all(" - " in line.partition("noqa: SLF001")[2] for line in allowed), "each has its reason"
