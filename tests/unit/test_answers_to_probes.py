"""What `/readyz` says to anybody who asks."""

from __future__ import annotations

from http import HTTPStatus

from zkdiscovery import TtlCheck
from zkdiscovery.integrations.health import READYZ, Watched, answer_to
from zkdiscovery.testing import static_client


def test_what_checks_say_is_not_told() -> None:
    with static_client() as client:
        registration = client.register("payments", 8080, checks=[TtlCheck(15, name="secret")])
        watched = Watched("payments", registration)
        try:
            told = answer_to(READYZ, require_registration=True)
            assert told == (HTTPStatus.OK, b"ready; payments is STARTING: its checks have not passed yet\n")
            assert "secret" in registration.why
            registration.beat()
            assert answer_to(READYZ, require_registration=True) == (HTTPStatus.OK, b"ready\n")
        finally:
            watched.leave()
