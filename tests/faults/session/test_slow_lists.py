"""A list that takes longer to arrive than a request may take."""

from __future__ import annotations

import pytest

from tests.conftest import MakeClient
from tests.support import LIMIT, Truth, wait_view
from zkdiscovery import Settings
from zkdiscovery.session import Create, Multi
from zkdiscovery.testing import FaultProxy

pytestmark = pytest.mark.links


def test_a_list_that_comes_slowly_is_waited_for(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy, truth: Truth, namespace: str
) -> None:
    """As 100,000 names over a slow link: bytes come all the time, but not all within `operation_timeout`."""
    path = f"{namespace}/services/payments"
    names = [f"{'x' * 200}-{number:04}" for number in range(2000)]
    truth.create(path)
    for some in (names[:1000], names[1000:]):
        truth.call(Multi([Create(f"{path}/{name}", b"", truth.session.leaf_acl) for name in some]))
    client = make_client(zkdiscovery_proxy.address, settings=Settings(operation_timeout=0.8)).wait_connected(LIMIT)
    zkdiscovery_proxy.slow(300_000)  # bytes/s: the list takes 1.4 s, 500 nodes half a second
    view = client.discover("payments")
    wait_view(view, lambda snapshot: len(snapshot.rejected) == len(names), 10.0)
