"""Each message of an edit lost once: it is stored once, or the error says that nobody can tell."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import MakeClient
from tests.support import LIMIT, Truth, core_of
from zkdiscovery import Client, NotConnected, OperationTimeout
from zkdiscovery.testing import FaultProxy
from zkdiscovery.testing.proxy.frames import FrameFault

TEXT = "x" * 50_000  # so that there is a piece

lost = pytest.mark.parametrize("how", ["lose_reply", "lose_request"])


@lost
@pytest.mark.parametrize("kind", ["sync", "multi_read", "multi", "create_container", "get_children"])
@pytest.mark.parametrize("there", [True, False])
def test_a_message(make_client: MakeClient, zkdiscovery_proxy: FaultProxy, how: str, kind: str, there: bool) -> None:
    direct = make_client().config_store("shop")
    if there:
        direct.replace({"number": 0}, "before")
    store = make_client(zkdiscovery_proxy.address).wait_connected(LIMIT).config_store("shop")
    fault: FrameFault = getattr(zkdiscovery_proxy, how)(kind)
    assert store.replace({"number": 1, "text": TEXT}, "mine", timeout=LIMIT) == 1 + there
    assert fault.happened
    assert [revision.message for revision in direct.history()] == ["mine", "before"][: 1 + there]
    with store.edit("next", timeout=LIMIT) as draft:
        draft["number"] = 2
    assert draft.revision == 2 + there


def replace_once_lost(
    client: Client, proxy: FaultProxy, how: str, meanwhile: Callable[[], object], *, timeout: float = LIMIT
) -> int:
    """Replace the document in a transaction that is lost, or whose answer is; call `meanwhile` before the next try."""
    fault: FrameFault = getattr(proxy, how)("multi")
    session = core_of(client).session
    wait_connected, called = session.wait_connected, False

    def wait(seconds: float) -> None:
        nonlocal called
        if fault.happened and not called:
            called = True
            meanwhile()
        wait_connected(seconds)

    session.wait_connected = wait  # type: ignore[method-assign]
    try:
        return client.config_store("shop").replace({"number": 1}, "mine", timeout=timeout)
    finally:
        del session.wait_connected  # type: ignore[method-assign]
        assert called


@lost
def test_others_write_meanwhile(make_client: MakeClient, zkdiscovery_proxy: FaultProxy, how: str) -> None:
    client, other = make_client(zkdiscovery_proxy.address).wait_connected(LIMIT), make_client().config_store("shop")
    other.replace({"number": 0}, "before")
    number = replace_once_lost(client, zkdiscovery_proxy, how, lambda: other.replace({"number": 2}, "theirs"))
    executed = how == "lose_reply"
    assert number == (2 if executed else 3)
    messages = [revision.message for revision in other.history()]
    assert messages == (["theirs", "mine", "before"] if executed else ["mine", "theirs", "before"])


@lost
def test_so_many_others_write_that_nobody_can_tell(
    make_client: MakeClient, truth: Truth, zkdiscovery_proxy: FaultProxy, namespace: str, how: str
) -> None:
    client, other = make_client(zkdiscovery_proxy.address).wait_connected(LIMIT), make_client().config_store("shop")
    other.replace({"number": 0}, "before")

    def write_and_prune() -> None:
        other.replace({"number": 2}, "theirs")
        other.replace({"number": 3}, "theirs")
        truth.delete(f"{namespace}/config/documents/shop/revisions/2")

    with pytest.raises(OperationTimeout, match="nobody can tell whether revision 2 was ours") as caught:
        replace_once_lost(client, zkdiscovery_proxy, how, write_and_prune)
    assert caught.value.outcome_unknown


@lost
def test_no_connection_comes_back_in_time(make_client: MakeClient, zkdiscovery_proxy: FaultProxy, how: str) -> None:
    client, other = make_client(zkdiscovery_proxy.address).wait_connected(LIMIT), make_client().config_store("shop")
    other.replace({"number": 0}, "before")
    with pytest.raises(NotConnected, match="the new revision of the document 'shop' may have been stored") as caught:
        replace_once_lost(client, zkdiscovery_proxy, how, zkdiscovery_proxy.refuse, timeout=1.0)
    assert caught.value.outcome_unknown
    assert len(other.history()) == 1 + (how == "lose_reply")
