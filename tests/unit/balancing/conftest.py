from __future__ import annotations

import random

import pytest


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """The strategies draw from the module `random`: the same draws in every run."""
    random.seed(20240229)
