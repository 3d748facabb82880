"""The reference lists the public names, all of them and nothing else."""

from __future__ import annotations

import importlib
import re
from collections import Counter
from pathlib import Path

import zkdiscovery
from zkdiscovery import testing

REFERENCE = Path(__file__).parent.parent.parent.parent / "docs" / "reference"
# What strategies of users are made with, and the fixtures.
FURTHER = {
    "zkdiscovery.balancing.Endpoint",
    "zkdiscovery.balancing.Pool",
    "zkdiscovery.pytest_plugin",
}


def test_the_reference_lists_the_public_names_once_each() -> None:
    pages = "\n".join(page.read_text("utf-8") for page in sorted(REFERENCE.glob("*.md")))
    listed = Counter(re.findall(r"^::: (\S+)$", pages, re.MULTILINE))
    public = {f"{package.__name__}.{name}" for package in (zkdiscovery, testing) for name in package.__all__}
    integrations = {name for name in listed if name.startswith("zkdiscovery.integrations.")}
    assert listed == Counter(public | FURTHER | integrations)
    for name in integrations:
        module, _, member = name.rpartition(".")
        assert hasattr(importlib.import_module(module), member)
