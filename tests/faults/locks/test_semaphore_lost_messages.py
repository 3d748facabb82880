"""Each message of a semaphore lost once: never more holds than the limit, and nothing is left."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import MakeClient
from tests.support import LIMIT, Truth, wait_until
from zkdiscovery import LockTimeout
from zkdiscovery.testing import FaultProxy

NAME = "gpu"


@pytest.mark.parametrize("how", ["lose_reply", "lose_request"])
@pytest.mark.parametrize("kind", ["create", "multi", "get_data", "get_children", "set_watches", "delete"])
@pytest.mark.parametrize("full", [False, True])
def test_a_message(
    make_client: MakeClient,
    truth: Truth,
    namespace: str,
    zkdiscovery_proxy: FaultProxy,
    how: str,
    kind: str,
    full: bool,
) -> None:
    root = f"{namespace}/semaphores/{NAME}"
    others = make_client()
    held = others.semaphore(NAME, 2).acquire(LIMIT)
    client = make_client(zkdiscovery_proxy.address).wait_connected(LIMIT)

    def arm() -> None:
        getattr(zkdiscovery_proxy, how)(kind)

    if full:  # then the message is one of who waits among the leases
        other = others.semaphore(NAME, 2).acquire(LIMIT)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(client.semaphore(NAME, 2).acquire, LIMIT)
            wait_until(lambda: len(truth.children(f"{root}/leases")) == 3)
            arm()
            other.release()
            hold = waiting.result(LIMIT)
    else:
        arm()
        hold = client.semaphore(NAME, 2).acquire(LIMIT)
    assert not hold.lost
    assert not held.lost
    with pytest.raises(LockTimeout):
        others.semaphore(NAME, 2).acquire(0.2)
    hold.release()
    wait_until(lambda: len(truth.children(f"{root}/leases")) == 1)
    wait_until(lambda: truth.children(f"{root}/locks") == [])
