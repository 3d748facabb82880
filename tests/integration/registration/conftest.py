"""Fixtures of the registration tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.registration.checked import Service


@pytest.fixture(autouse=True)
def no_task_fails(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What a thread of the SDK did not expect is logged and forgotten; not here."""
    yield
    assert [record for record in caplog.get_records("call") if "a task of" in record.getMessage()] == []


@pytest.fixture
def service() -> Iterator[Service]:
    """A service whose health the test decides."""
    service = Service()
    yield service
    service.close()
