"""Staged rollouts: who has the revision, how they end, and that nobody is left behind."""

from __future__ import annotations

import asyncio
import itertools
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import MakeClient
from tests.integration.config.conftest import MakeAsync, make_async, wait_config
from tests.support import LIMIT, Truth, wait_until
from zkdiscovery import (
    Client,
    Config,
    ConfigRollout,
    ConfigStore,
    InvalidSettings,
    NodeChanged,
    NodeMissing,
    RolloutStopped,
)
from zkdiscovery.config.pointer import Pointer, decode_pointer, is_within
from zkdiscovery.config.pruning import KEPT
from zkdiscovery.testing import ZookeeperServer, static_client

__all__ = ["make_async"]

BAKE = 0.2  # seconds
READERS = 12


@pytest.fixture
def store(make_client: MakeClient) -> ConfigStore:
    return make_client().config_store("shop", author="ann")


@pytest.fixture
def readers(make_client: MakeClient) -> list[Config[dict[str, Any]]]:
    client = make_client()
    return [client.config("shop", id=f"web-{number}") for number in range(READERS)]


def stage(store: ConfigStore, limit: int = 2) -> int:
    """Store a first revision, and one that is in force for nobody."""
    store.replace({"limit": 1}, "first")
    with store.edit("more", in_force=False) as draft:
        draft["limit"] = limit
    return draft.revision


def limits(readers: list[Config[dict[str, Any]]]) -> list[int]:
    return [config.value["limit"] for config in readers]


def wait_limits(readers: list[Config[dict[str, Any]]], limit: int) -> None:
    for config in readers:
        wait_config(config, lambda value: value.get("limit") == limit)


def pointer(truth: Truth, namespace: str) -> Pointer:
    node = truth.get(f"{namespace}/config/documents/shop/pointer")
    assert node is not None
    return decode_pointer(node.data)


def test_ten_per_cent_of_a_thousand_and_groups_that_only_grow() -> None:
    """For ten salts, so for ten rollouts."""
    names = [f"web-{number}" for number in range(1000)]
    for salt in map(str, range(10)):
        before: set[str] = set()
        for percent in (1, 10, 25, 60, 99.5, 100):
            group = {name for name in names if is_within(percent, salt, name)}
            assert abs(len(group) - 10 * percent) <= 30
            assert before <= group
            before = group
        assert before == set(names)


def test_a_revision_that_is_not_in_force_changes_nothing(store: ConfigStore, readers: list[Any]) -> None:
    assert stage(store) == 2
    wait_limits(readers, 1)
    assert store.read().revision.number == 1
    assert store.read(2).values == {"limit": 2}
    assert [each.number for each in store.history()] == [2, 1]
    assert store.rollout() is None
    assert store.replace({"limit": 3}, "in force") == 3
    wait_limits(readers, 3)


def test_it_grows_and_ends_for_all(
    store: ConfigStore, readers: list[Any], truth: Truth, namespace: str, make_client: MakeClient
) -> None:
    revision = stage(store)
    wait_limits(readers, 1)
    seen: list[tuple[float, set[str]]] = []

    def look(rollout: ConfigRollout) -> None:
        assert (rollout.revision, rollout.stable, rollout.stages, rollout.bake) == (2, 1, (30, 60, 100), BAKE)
        salt = pointer(truth, namespace).salt
        wanted = {f"web-{number}" for number in range(READERS) if is_within(rollout.percent, salt, f"web-{number}")}
        wait_until(lambda: {reader.id for reader in store.readers() if reader.revision == revision} == wanted, LIMIT)
        seen.append((rollout.percent, wanted))

    store.staged_rollout(revision, percent=[30, 60, 100], bake=BAKE, halt_when=look)
    wait_limits(readers, 2)
    assert sorted({percent for percent, _ in seen}) == [30, 60, 100]
    assert all(before <= after for (_, before), (_, after) in itertools.pairwise(seen))
    assert pointer(truth, namespace) == Pointer(stable=2, last=2)
    assert store.rollout() is None
    store.staged_rollout(revision, bake=BAKE)  # it is in force already


@pytest.mark.parametrize(
    ("halt_when", "why"),
    [(lambda _: True, "halt_when said so"), (lambda _: "too many errors", "too many errors"), (None, "refuses it")],
)
def test_it_is_stopped_and_all_have_the_revision_of_before(
    store: ConfigStore, readers: list[Any], make_client: MakeClient, halt_when: Any, why: str
) -> None:
    client = make_client()
    if halt_when is None:
        refusing = client.config("shop", dict[str, int], id="strict")
        stage(store)
        revision = store.replace({"limit": "many"}, "bad for one", in_force=False)
        readers = [*readers, refusing]
    else:
        revision = stage(store)
    with pytest.raises(RolloutStopped, match=why):
        store.staged_rollout(revision, percent=[100], bake=60, halt_when=halt_when)
    wait_limits(readers, 1)
    rollout = store.rollout()
    assert rollout is not None
    assert (rollout.revision, rollout.stable) == (revision, 1)
    assert why in (rollout.stopped or "")
    with pytest.raises(NodeMissing, match="no rollout"):
        store.stop_rollout("late")


def test_an_error_of_the_user_stops_it(store: ConfigStore) -> None:
    def fail(_: ConfigRollout) -> None:
        raise ZeroDivisionError("secret")

    with pytest.raises(RolloutStopped, match="halt_when raised ZeroDivisionError") as stopped:
        store.staged_rollout(stage(store), bake=60, halt_when=fail)
    assert isinstance(stopped.value.__cause__, ZeroDivisionError)


def test_others_stop_it_or_store_another_revision(
    store: ConfigStore, readers: list[Any], make_client: MakeClient
) -> None:
    other = make_client().config_store("shop")
    revision = stage(store)
    once = iter([True])

    def stop(_: ConfigRollout) -> None:
        if next(once, False):
            assert other.stop_rollout("the bank says no") == 1

    with pytest.raises(RolloutStopped, match="the bank says no"):
        store.staged_rollout(revision, bake=60, halt_when=stop)
    wait_limits(readers, 1)
    again = iter([True])

    def edit(_: ConfigRollout) -> None:
        if next(again, False):
            other.replace({"limit": 3}, "urgent")

    with pytest.raises(RolloutStopped, match="another revision was stored"):
        store.staged_rollout(revision, bake=60, halt_when=edit)
    wait_limits(readers, 3)
    with pytest.raises(NodeChanged, match="is at revision 3, which is newer than 2"):
        store.staged_rollout(revision)


def test_what_can_not_be_rolled_out(store: ConfigStore, make_client: MakeClient) -> None:
    with pytest.raises(NodeMissing, match=r"no document"):
        store.staged_rollout()
    revision = stage(store)
    for percent, bake in (([], 1), ([5, 5, 100], 1), ([50], 1), ([0, 100], 1), ([5, 101], 1), ([100], 0), (["x"], 1)):
        with pytest.raises(InvalidSettings):
            store.staged_rollout(revision, percent=percent, bake=bake)
    with pytest.raises(NodeMissing, match="no revision 9"):
        store.staged_rollout(9)
    with pytest.raises(NodeMissing, match="no rollout of the document 'shop' is under way"):
        store.staged_rollout()
    newer = store.replace({"limit": 9}, "newer", in_force=False)
    begun = threading.Event()
    other = make_client().config_store("shop")
    thread = threading.Thread(target=drive, args=(other, newer, begun))
    thread.start()
    try:
        assert begun.wait(LIMIT)
        with pytest.raises(NodeChanged, match=f"revision {newer} of .* is being rolled out"):
            store.staged_rollout(revision)
    finally:
        store.stop_rollout("end of the test")
        thread.join(LIMIT)


def drive(store: ConfigStore, revision: int, begun: threading.Event) -> None:
    """Drive a rollout until somebody stops it."""
    with pytest.raises(RolloutStopped, match="end of the test"):
        store.staged_rollout(revision, bake=60, halt_when=lambda _: begun.set())


DRIVER = """
import sys
from zkdiscovery import Client
client = Client(sys.argv[1], namespace=sys.argv[2], session_timeout=4)
def look(rollout):
    print(rollout.percent, flush=True)
store = client.config_store("shop")
store.staged_rollout(int(sys.argv[3]), percent=[30, 60, 100], bake=float(sys.argv[4]), halt_when=look)
print("done", flush=True)
"""


@pytest.fixture
def start_driver(zkdiscovery_server: ZookeeperServer, namespace: str) -> Iterator[Callable[..., Any]]:
    """Starts a process that drives a rollout, and prints the share once a second."""
    started: list[subprocess.Popen[str]] = []

    def start(revision: int, bake: float) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", DRIVER, zkdiscovery_server.hosts, namespace, str(revision), str(bake)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("percent", ["30", "60", "100"])
def test_a_driver_is_killed_and_another_one_goes_on(
    store: ConfigStore, readers: list[Any], start_driver: Callable[..., Any], percent: str
) -> None:
    """In each stage. The next driver waits for its lock meanwhile."""
    revision = stage(store)
    first = start_driver(revision, 0.5)
    for line in first.stdout:
        if line.strip() == percent:
            break
    first.send_signal(signal.SIGKILL)
    first.wait(LIMIT)
    rollout = store.rollout()
    assert rollout is not None, "the share stays"
    assert rollout.percent >= float(percent)
    store.staged_rollout(bake=60)  # its own time does not count, but that of the plan
    wait_limits(readers, 2)
    assert store.rollout() is None


def test_two_drive_and_one_stops_it(store: ConfigStore, make_client: MakeClient, readers: list[Any]) -> None:
    """The one that waited does not begin anew what the other one has stopped."""
    revision = stage(store)
    begun, ended = threading.Event(), threading.Event()
    errors: list[Exception] = []

    def second() -> None:
        try:
            make_client().config_store("shop").staged_rollout(revision, bake=60)
        except RolloutStopped as error:
            errors.append(error)
        ended.set()

    def halt(_: ConfigRollout) -> bool:
        if not begun.is_set():
            begun.set()
            threading.Thread(target=second).start()
            return False
        return len(store_lock(store).waiters()) > 0

    with pytest.raises(RolloutStopped):
        store.staged_rollout(revision, bake=60, halt_when=halt)
    assert ended.wait(LIMIT)
    assert len(errors) == 1
    wait_limits(readers, 1)


def store_lock(store: ConfigStore) -> Any:
    """The lock of the one who drives."""
    return store._driver(None, [100], 1, None)._lock


def test_the_async_client_and_a_cancelled_wait(make_async: MakeAsync, store: ConfigStore, readers: list[Any]) -> None:
    revision = stage(store)

    async def main() -> None:
        client = make_async()
        mine = client.config_store("shop")
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()

        def look(_: ConfigRollout) -> None:
            loop.call_soon_threadsafe(begun.set)

        task = asyncio.create_task(mine.staged_rollout(revision, percent=[50, 100], bake=0.5, halt_when=look))
        await asyncio.wait_for(begun.wait(), LIMIT)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        rollout = await mine.rollout()
        assert rollout is not None
        assert rollout.percent == 50
        await mine.staged_rollout()
        assert await mine.rollout() is None

    asyncio.run(main())
    wait_limits(readers, 2)


def test_the_lock_is_free_after_each_end(store: ConfigStore, truth: Truth, namespace: str) -> None:
    store.staged_rollout(stage(store), percent=[100], bake=0.1)
    wait_until(lambda: truth.children(f"{namespace}/config/documents/shop/rollout") == [], LIMIT)


@pytest.mark.parametrize("planted", [False, True], ids=["as it is", "with the bug"])
def test_pruning_spares_the_candidate(
    store: ConfigStore,
    make_client: MakeClient,
    truth: Truth,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
    planted: bool,
) -> None:
    """With the bug planted that forgets the candidate, it is gone, and the test notices."""
    if planted:
        monkeypatch.setattr("zkdiscovery.config.pruning.kept_numbers", lambda numbers, _: numbers[:KEPT])
    revision = stage(store)
    other = make_client().config_store("shop")
    begun = threading.Event()
    thread = threading.Thread(target=drive, args=(other, revision, begun))
    thread.start()
    assert begun.wait(LIMIT)
    try:
        for number in range(KEPT + 20):
            store.replace({"limit": number}, "candidates to come", in_force=False)
        kept = {int(name) for name in truth.children(f"{namespace}/config/documents/shop/revisions")}
        assert ({1, revision} <= kept) is not planted
        assert planted or store.read(revision).values == {"limit": 2}
    finally:
        assert store.stop_rollout("end of the test") == 1
        thread.join(LIMIT)


def test_a_static_client_has_none() -> None:
    with static_client() as client:
        client.set_config("shop", {"limit": 1})
        with pytest.raises(InvalidSettings, match="a static client has no rollouts"):
            client.config_store("shop").replace({"limit": 2}, "later", in_force=False)


def test_an_outage_does_not_end_it(store: ConfigStore, make_client: MakeClient, zkdiscovery_proxy: Any) -> None:
    revision = stage(store)
    behind: Client = make_client(zkdiscovery_proxy.address)
    cut = threading.Event()

    def look(_: ConfigRollout) -> None:
        if not cut.is_set():
            cut.set()
            zkdiscovery_proxy.refuse()
            zkdiscovery_proxy.drop()
            threading.Timer(2.0, zkdiscovery_proxy.heal).start()

    behind.config_store("shop").staged_rollout(revision, percent=[50, 100], bake=0.5, halt_when=look)
    assert store.rollout() is None
    assert store.read().revision.number == revision
