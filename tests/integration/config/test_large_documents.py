"""Documents larger than a node: pieces first, the pointer last; few pieces for a small change; pruning."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import MakeClient
from tests.support import LIMIT, Truth, core_of, counting
from zkdiscovery import ConfigStore, NodeMissing, UndecodableNode
from zkdiscovery.config import pruning
from zkdiscovery.config.layout import Layout
from zkdiscovery.config.pieces import LARGEST
from zkdiscovery.session import Multi


@pytest.fixture
def store(make_client: MakeClient) -> ConfigStore:
    return make_client().wait_connected().config_store("large")


@pytest.fixture
def pieces(truth: Truth, namespace: str) -> Callable[[], set[str]]:
    return lambda: set(truth.children(f"{namespace}/config/documents/large/pieces"))


def large(size: int) -> dict[str, Any]:
    """A document of about so many bytes."""
    chance = random.Random(7)
    return {f"key{number:06}": chance.randbytes(40).hex() for number in range(size // 95)}


def test_five_megabytes(
    make_client: MakeClient, store: ConfigStore, pieces: Callable[[], set[str]], namespace: str
) -> None:
    values = large(5_000_000)
    store.replace(values, "first", timeout=LIMIT)
    assert store.read(timeout=LIMIT).values == values
    assert store.history()[0].size > 5_000_000 * 0.9
    before = pieces()
    assert len(before) > 5_000_000 / LARGEST
    keys = list(values)
    keys.insert(len(keys) // 2, "inserted")
    values["inserted"] = "here"
    client = make_client().wait_connected()
    with counting(client) as counts:
        client.config_store("large").replace({key: values[key] for key in keys}, "an insertion", timeout=LIMIT)
    assert 1 <= len(pieces() - before) <= 3
    assert counts["Multi"] == 2, "the new pieces, and the commit"
    assert store.read(timeout=LIMIT).values == values
    assert store.rollback(1, timeout=LIMIT) == 3
    assert "inserted" not in store.read(timeout=LIMIT).values


def test_the_pointer_moves_after_the_pieces_are_there(
    make_client: MakeClient, store: ConfigStore, truth: Truth, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = f"{namespace}/config/documents/large"
    client = make_client().wait_connected()
    session = core_of(client).session
    seen: list[tuple[int, bool]] = []
    original = session.submit

    def submit(request: Any, **options: Any) -> Any:
        if isinstance(request, Multi):
            seen.append((len(truth.children(f"{root}/pieces")), truth.get(f"{root}/pointer") is not None))
        return original(request, **options)

    monkeypatch.setattr(session, "submit", submit)
    client.config_store("large").replace(large(1_500_000), "first", timeout=LIMIT)
    assert [there for _, there in seen] == [False] * len(seen), "all pieces were written before the pointer"
    assert seen[-1][0] == len(truth.children(f"{root}/pieces"))
    assert len(seen) >= 4


def test_a_piece_that_is_pruned_under_a_writer_is_written_again(
    make_client: MakeClient, store: ConfigStore, truth: Truth, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = f"{namespace}/config/documents/large"
    store.replace({"a": 1}, "small")
    client = make_client().wait_connected()
    session = core_of(client).session
    original = session.call
    pruned = threading.Event()

    def call(request: Any, **options: Any) -> Any:
        commits = isinstance(request, Multi) and any(op.path.endswith("/pointer") for op in request.operations)
        if commits and not pruned.is_set():
            pruned.set()
            truth.delete(f"{root}/pieces/{truth.children(f'{root}/pieces')[0]}")
        return original(request, **options)

    monkeypatch.setattr(session, "call", call)
    values = large(200_000)
    assert client.config_store("large").replace(values, "large", timeout=LIMIT) == 2
    assert pruned.is_set()
    assert store.read().values == values


def test_pruning_spares_what_the_pointer_names_and_the_pieces_of_what_stays(
    store: ConfigStore, truth: Truth, pieces: Callable[[], set[str]], namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "KEPT", 4)
    monkeypatch.setattr(pruning, "EVERY", 3)
    root = f"{namespace}/config/documents/large"
    for number in range(1, 6):
        store.replace({"number": number, "text": [str(number) * 20_000]}, f"number {number}")
    assert [revision.number for revision in store.history()] == [5, 4, 3, 2, 1]
    truth.set(f"{root}/pointer", b'{"stable": 5, "candidate": 1, "percent": 10, "salt": "s", "last": 5}')
    before = pieces()
    assert len(before) == 5
    session = store._slot.current().session
    pruning.prune(session, Layout("large", root), session.generation, time.monotonic() + LIMIT)
    assert [revision.number for revision in store.history()] == [5, 4, 3, 2, 1], "the candidate is spared"
    store.replace({"number": 6}, "number 6")  # ends the rollout, and prunes
    assert [revision.number for revision in store.history()] == [6, 5, 4, 3]
    assert len(pieces()) == 3
    assert store.read(3).values["number"] == 3
    with pytest.raises(NodeMissing, match="pruned"):
        store.read(1)


def test_pieces_that_are_not_what_their_names_say(store: ConfigStore, truth: Truth, namespace: str) -> None:
    root = f"{namespace}/config/documents/large"
    store.replace(large(100_000), "first")
    name = truth.children(f"{root}/pieces")[0]
    truth.set(f"{root}/pieces/{name}", b"other bytes")
    with pytest.raises(UndecodableNode, match="holds other bytes than its name says"):
        store.read()
