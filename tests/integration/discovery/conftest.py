"""A service that the tests write themselves."""

from __future__ import annotations

import pytest

from tests.integration.discovery.helpers import Written
from tests.support import Truth


@pytest.fixture
def payments(truth: Truth, namespace: str) -> Written:
    return Written(truth, namespace)
