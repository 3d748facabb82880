"""Nodes that may not be read for a while."""

from __future__ import annotations

import pytest

from tests.conftest import MakeClient
from tests.integration.znodes.helpers import NO_READING, OPEN, SetAcl
from tests.support import LIMIT, Truth, wait_view
from zkdiscovery.znodes import watched


def test_a_right_that_is_given_back_is_noticed_although_no_event_tells(
    make_client: MakeClient, namespace: str, truth: Truth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "LOOK_AGAIN", 0.1)
    client = make_client()
    client.register("payments", 8080, host="127.0.0.1", id="a").wait_registered(LIMIT)
    client.register("payments", 8081, host="127.0.0.1", id="b").wait_registered(LIMIT)
    truth.call(SetAcl(f"{namespace}/services/payments/a", NO_READING))
    view = make_client().discover("payments")
    wait_view(view, lambda snapshot: "a" in snapshot.rejected and len(snapshot) == 1)
    truth.call(SetAcl(f"{namespace}/services/payments/a", OPEN))
    wait_view(view, lambda snapshot: not snapshot.rejected and len(snapshot) == 2)
