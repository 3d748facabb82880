"""The whole path once: register, discover, override, expire, elect."""

from __future__ import annotations

import pytest

from tests.conftest import MakeClient
from tests.support import LIMIT, Truth, counting, wait_view
from zkdiscovery import Client

pytestmark = pytest.mark.container


def test_an_added_instance_costs_one_read(make_client: MakeClient) -> None:
    owner, consumer = make_client(), make_client()
    owner.register("payments", 8080).wait_registered(LIMIT)
    view = consumer.discover("payments").wait_ready(LIMIT)
    with counting(consumer) as requests:
        owner.register("payments", 8081).wait_registered(LIMIT)
        wait_view(view, lambda snapshot: len(snapshot) == 2)
    assert requests == {"MultiRead": 1}


def test_closing_takes_the_instance_out(make_client: MakeClient, truth: Truth, namespace: str) -> None:
    with make_client() as client:
        client.register("payments", 8080, id="a").wait_registered(LIMIT)
        assert truth.children(f"{namespace}/services/payments") == ["a"]
    assert truth.children(f"{namespace}/services/payments") == []
    assert isinstance(client, Client)
