"""How long one attempt to connect may take: short at first, longer from round to round."""

from __future__ import annotations

import threading
from typing import cast

import pytest

from zkdiscovery.session.connection import Credentials
from zkdiscovery.session.link import Link, LinkOwner
from zkdiscovery.session.options import LinkOptions


def link(hosts: str, session_timeout: float = 10.0, connect_timeout: float = 1.0) -> Link:
    options = LinkOptions(hosts, session_timeout, connect_timeout, None, [("digest", "alice:secret")], None)
    return Link(cast("LinkOwner", None), options)


@pytest.mark.parametrize(
    ("hosts", "limits"),
    [
        ("a", [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]),
        ("a,b", [1.0, 1.0, 2.0, 2.0, 4.0, 4.0]),
        ("a,b,c", [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]),
    ],
)
def test_limits(hosts: str, limits: list[float]) -> None:
    tried = link(hosts)
    found = []
    for tried.silences in range(6):
        found.append(tried.attempt_limit())
    assert found == limits


def test_limits_of_ones_own() -> None:
    patient = link("a", session_timeout=2.0, connect_timeout=3.0)
    patient.silences = 1000
    assert patient.attempt_limit() == 3.0, "never shorter than what was asked for"


def test_nothing_runs_before_the_start() -> None:
    before = threading.active_count()
    assert link("a").stop(0.0)
    assert threading.active_count() == before


def test_secrets_do_not_show() -> None:
    assert "secret" not in repr(link("a").options)
    assert repr(Credentials(17, b"secret")) == "Credentials(session_id=0x11)"
