"""A view that starts from a file while ZooKeeper can't be reached, and becomes fresh by itself."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import MakeClient
from tests.integration.aio.conftest import MakeAsync, make_async
from tests.support import LIMIT, Recorder, wait_until, wait_view
from zkdiscovery import Change, NoInstanceAvailable
from zkdiscovery.lifecycle import PrivateFile
from zkdiscovery.testing import FaultProxy

__all__ = ["make_async"]


def cut(proxy: FaultProxy) -> None:
    """Take ZooKeeper away."""
    proxy.refuse()
    proxy.drop()


@pytest.fixture
def file(tmp_path: Path, make_client: MakeClient) -> Path:
    """The file of a process that saw two instances, and ended."""
    path = tmp_path / "below" / "payments.json"
    client = make_client()
    client.register("payments", 8080, host="10.0.0.1", id="a", metadata={"team": "ä"}).wait_registered(LIMIT)
    client.register("payments", 8080, host="10.0.0.2", id="b", weight=2, zone="north").wait_registered(LIMIT)
    with make_client() as watching:
        view = watching.discover("payments", fallback=path)
        wait_view(view, lambda snapshot: len(snapshot) == 2)
        wait_until(lambda: saved(path) == ["a", "b"], LIMIT)
    assert path.stat().st_mode & 0o777 == 0o600
    return path


def saved(path: Path) -> list[str]:
    """The ids in a file."""
    return sorted(json.loads(path.read_text())["instances"]) if path.exists() else []


def test_it_starts_stale_and_becomes_fresh(file: Path, make_client: MakeClient, zkdiscovery_proxy: FaultProxy) -> None:
    cut(zkdiscovery_proxy)
    client = make_client(zkdiscovery_proxy.address)
    begin = time.monotonic()
    view = client.discover("payments", fallback=file).wait_ready(LIMIT)
    assert time.monotonic() - begin < 1.0 + 4.0, "on any machine less than the limit, and on most under a second"
    assert view.snapshot.stale
    assert {view.pick().id for _ in range(40)} == {"a", "b"}
    found = {instance.id: instance for instance in view.instances}
    assert (found["a"].metadata["team"], found["b"].weight, found["b"].zone) == ("ä", 2.0, "north")
    changes: Recorder[Change] = Recorder()
    view.on_change(changes)
    (first,) = changes.wait(lambda items: len(items) == 1)
    assert {instance.id for instance in first.added} == {"a", "b"}
    others = make_client()
    others.remove("payments", "a")
    others.register("payments", 8080, host="10.0.0.3", id="c").wait_registered(LIMIT)
    zkdiscovery_proxy.heal()
    wait_view(view, lambda snapshot: not snapshot.stale and {each.id for each in snapshot} >= {"b", "c"})
    changes.wait(lambda items: any("c" in change.delta for change in items))
    wait_until(lambda: "c" in saved(file), LIMIT)


def test_the_async_client(file: Path, make_async: MakeAsync, zkdiscovery_proxy: FaultProxy) -> None:
    cut(zkdiscovery_proxy)

    async def main() -> None:
        view = await make_async(zkdiscovery_proxy.address).discover("payments", fallback=file).wait_ready(LIMIT)
        assert view.snapshot.stale
        assert view.pick().id in {"a", "b"}

    asyncio.run(main())


@pytest.mark.parametrize("damage", ["{", "[]", '{"format": 1}', '{"format": 9, "path": "", "instances": {}}', "other"])
def test_a_file_that_can_not_be_used_is_told_and_does_no_harm(
    file: Path, make_client: MakeClient, zkdiscovery_proxy: FaultProxy, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    service = "payments"
    if damage == "other":
        service = "orders"  # the file is of payments
    else:
        file.write_text(damage)
    cut(zkdiscovery_proxy)
    with caplog.at_level(logging.WARNING):
        view = make_client(zkdiscovery_proxy.address).discover(service, fallback=file)
    assert f"the fallback file of the view of {service!r}, {file} can't be used" in caplog.text
    with pytest.raises(NoInstanceAvailable):
        view.pick()
    zkdiscovery_proxy.heal()
    view.wait_ready(LIMIT, at_least=0)
    wait_until(lambda: f'/{service}"' in file.read_text(), LIMIT)


def test_many_changes_are_few_writes(tmp_path: Path, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Any] = []
    write = PrivateFile.write
    monkeypatch.setattr(PrivateFile, "write", lambda self, data: (written.append(time.monotonic()), write(self, data)))
    file = tmp_path / "payments.json"
    view = make_client().discover("payments", fallback=file)
    client = make_client()
    begin = time.monotonic()
    for number in range(60):
        client.register("payments", 8080, host="10.0.0.1", id=f"i{number}").wait_registered(LIMIT)
    wait_view(view, lambda snapshot: len(snapshot) == 60)
    wait_until(lambda: len(saved(file)) == 60, LIMIT)
    assert len(written) <= 2 + time.monotonic() - begin, "once a second"
