"""Each message of a change lost once: it is made once, or the error says that nobody can tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.conftest import MakeClient
from tests.loops import LoopThread
from tests.support import LIMIT, Truth, core_of
from zkdiscovery import AsyncClient, Client, Hold, HoldLost, NotConnected, OperationTimeout
from zkdiscovery.locks.ledger import MOST, Mark, encode, ledger_path
from zkdiscovery.testing import FaultProxy
from zkdiscovery.testing.proxy.frames import FrameFault

Expire = Callable[[Client], object]

NAME = "invoices"

lost = pytest.mark.parametrize("how", ["lose_reply", "lose_request"])


@pytest.fixture
def path(namespace: str) -> str:
    return f"{namespace}/counters/{NAME}"


@pytest.fixture(params=["threads", "asyncio"])
def add(request: pytest.FixtureRequest) -> Iterator[Callable[[Client], int]]:
    """Adds 1 to the counter through a client, on a thread or on a loop."""
    if request.param == "threads":
        yield lambda client: client.counter(NAME).add(timeout=LIMIT)
        return
    with LoopThread() as loop:
        yield lambda client: loop.run(AsyncClient.of(client).counter(NAME).add(timeout=LIMIT))


@lost
@pytest.mark.parametrize("kind", ["sync", "multi_read", "multi", "create_container"])
@pytest.mark.parametrize("there", [True, False])
def test_a_message(
    make_client: MakeClient,
    add: Callable[[Client], int],
    zkdiscovery_proxy: FaultProxy,
    how: str,
    kind: str,
    there: bool,
) -> None:
    direct = make_client().counter(NAME)
    if there:
        direct.set(41)
    client = make_client(zkdiscovery_proxy.address).wait_connected(LIMIT)
    fault: FrameFault = getattr(zkdiscovery_proxy, how)(kind)
    before = 41 if there else 0
    assert add(client) == before + 1
    assert fault.happened or (there and kind == "create_container")
    assert direct.value() == before + 1
    assert add(client) == before + 2


def add_once_lost(
    client: Client,
    proxy: FaultProxy,
    how: str,
    meanwhile: Callable[[], object],
    *,
    guard: Hold | None = None,
    timeout: float = LIMIT,
) -> int:
    """Add 1 in a transaction that is lost, or whose answer is, and call `meanwhile` before it is tried again."""
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
        return client.counter(NAME).add(guard=guard, timeout=timeout)
    finally:
        del session.wait_connected  # type: ignore[method-assign]
        assert called


@lost
def test_others_change_it_meanwhile(make_client: MakeClient, zkdiscovery_proxy: FaultProxy, how: str) -> None:
    client = make_client(zkdiscovery_proxy.address).wait_connected(LIMIT)
    others = [make_client().counter(NAME) for _ in range(5)]
    others[0].set(0)
    value = add_once_lost(client, zkdiscovery_proxy, how, lambda: [other.add(10) for other in others])
    assert value == (1 if how == "lose_reply" else 51)
    assert others[0].value() == 51


@lost
def test_the_session_expires_meanwhile(
    make_client: MakeClient, zkdiscovery_proxy: FaultProxy, zkdiscovery_expire: Expire, how: str
) -> None:
    client, other = make_client(zkdiscovery_proxy.address).wait_connected(LIMIT), make_client().counter(NAME)
    other.set(0)

    def meanwhile() -> None:
        zkdiscovery_expire(client)
        other.add(10)

    assert add_once_lost(client, zkdiscovery_proxy, how, meanwhile) == (1 if how == "lose_reply" else 11)
    assert other.value() == 11
    assert core_of(client).session.epoch == 2


@lost
def test_so_many_others_change_it_that_nobody_can_tell(
    make_client: MakeClient, truth: Truth, path: str, zkdiscovery_proxy: FaultProxy, how: str
) -> None:
    client, other = make_client(zkdiscovery_proxy.address).wait_connected(LIMIT), make_client().counter(NAME)
    other.add(10)
    ledger = encode(tuple(Mark(f"{number:016x}", 1) for number in range(MOST)))  # what as many clients leave behind
    with pytest.raises(OperationTimeout, match="nobody can tell whether the change was made") as caught:
        add_once_lost(client, zkdiscovery_proxy, how, lambda: truth.set(ledger_path(path), ledger))
    assert caught.value.outcome_unknown
    assert other.value() == 10 + (how == "lose_reply")


@lost
def test_no_connection_comes_back_in_time(make_client: MakeClient, zkdiscovery_proxy: FaultProxy, how: str) -> None:
    client, other = make_client(zkdiscovery_proxy.address).wait_connected(LIMIT), make_client().counter(NAME)
    client.counter(NAME).set(5)
    with pytest.raises(NotConnected, match="the change of the counter 'invoices' may have been made") as caught:
        add_once_lost(client, zkdiscovery_proxy, how, zkdiscovery_proxy.refuse, timeout=1.0)
    assert caught.value.outcome_unknown
    assert other.value() == 5 + (how == "lose_reply")
    with pytest.raises(NotConnected) as known:
        client.counter(NAME).add(timeout=0.2)
    assert not known.value.outcome_unknown


@lost
def test_the_holder_is_gone_meanwhile(
    make_client: MakeClient, truth: Truth, zkdiscovery_proxy: FaultProxy, how: str
) -> None:
    """What ZooKeeper has executed while the hold lasted counts; what it has not is refused, and that is known."""
    client, other = make_client(zkdiscovery_proxy.address), make_client()
    hold = other.lock("invoice").acquire(LIMIT)  # of another client, so that no renewal is lost instead
    client.counter(NAME).add(guard=hold)

    def add() -> int:
        return add_once_lost(client, zkdiscovery_proxy, how, lambda: truth.delete(hold.condition().path), guard=hold)

    if how == "lose_reply":
        assert add() == 2
    else:
        with pytest.raises(HoldLost, match="ZooKeeper refused the write") as caught:
            add()
        assert not caught.value.outcome_unknown
    assert other.counter(NAME).value() == 1 + (how == "lose_reply")
