"""Sessions without the client around them, as in the tests of the session itself."""

from __future__ import annotations

import pytest

from tests.integration.discovery.helpers import Written
from tests.integration.session.conftest import make_session
from tests.support import Truth

__all__ = ["make_session"]


@pytest.fixture
def payments(truth: Truth, namespace: str) -> Written:
    return Written(truth, namespace)
