"""What the guards of the benchmarks share: a service that is written behind the SDK's back."""

from __future__ import annotations

import pytest

from benchmarks.published import Published
from tests.support import Truth


@pytest.fixture
def payments(truth: Truth, namespace: str) -> Published:
    return Published(truth, namespace)
