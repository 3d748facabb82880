"""As for the other tests of registrations: no task of a thread of the SDK may fail."""

from __future__ import annotations

from tests.integration.registration.conftest import no_task_fails

__all__ = ["no_task_fails"]
