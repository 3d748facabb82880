"""What a bridge shows to the users of its source, and when it does so anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from tests.conftest import MakeClient
from tests.integration.bridges.engines import Engine, Running, Source, imported, wait_ports
from tests.support import Truth, wait_until
from zkdiscovery import Instance
from zkdiscovery.bridges import SourceRefused, SourceUnavailable

Services = Mapping[str, Sequence[Instance]]


class ExportingEngine(Engine):
    """An engine that shows our services to its own users.

    Attributes:
        exported: ports by the name of the service; anybody may change it.
        refusal: what an export raises.
    """

    def __init__(self) -> None:
        super().__init__()
        self.exported: dict[str, set[int]] = {}
        self.refusal: Exception | None = None

    def bridged(self) -> ExportingSource:
        return ExportingSource(self)


class ExportingSource(Source):
    """This engine, as one bridge sees it."""

    def __init__(self, engine: ExportingEngine) -> None:
        super().__init__(engine)
        self._shown = engine
        self.exports = 0

    def export(self, services: Services) -> Mapping[str, str]:
        self.exports += 1
        if self._shown.refusal is not None:
            raise self._shown.refusal
        self._shown.exported = {name: {one.port for one in some} for name, some in services.items() if some}
        return {}


def test_ours_are_exported_and_what_was_imported_is_not(make_client: MakeClient) -> None:
    client, engine = make_client(), ExportingEngine()
    own = client.register("shop", 9001, host="10.9.0.1").wait_registered(5.0)
    engine.put(imported(1))
    with Running(make_client(), engine.bridged()):
        wait_ports(client, "web", 1)
        wait_until(lambda: engine.exported == {"shop": {9001}})
        own.close()
        wait_until(lambda: engine.exported == {})


def test_what_somebody_else_deletes_there_is_exported_again_after_the_event(make_client: MakeClient) -> None:
    client, engine = make_client(), ExportingEngine()
    client.register("shop", 9001, host="10.9.0.1").wait_registered(5.0)
    with Running(make_client(), engine.bridged()):
        wait_until(lambda: engine.exported == {"shop": {9001}})
        for spoilt in ({}, {"shop": {9001, 9002}}):
            engine.exported = spoilt
            engine.tell()
            wait_until(lambda: engine.exported == {"shop": {9001}})


def test_a_bridge_that_leads_again_exports_anew(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one led meanwhile, so what this one knows of its last export is not certain."""
    monkeypatch.setattr("zkdiscovery.bridges.bridge.STEP_ASIDE", 0.1)
    client, engine = make_client(), ExportingEngine()
    client.register("shop", 9001, host="10.9.0.1").wait_registered(5.0)
    first, second = engine.bridged(), engine.bridged()
    with Running(make_client(), first):
        wait_until(lambda: engine.exported == {"shop": {9001}})
        with Running(make_client(), second):
            first.error = SourceUnavailable("cut off from here")
            engine.tell()
            wait_until(lambda: second.exports)
            first.error = None
            engine.exported = {}  # by somebody's hand, and no event tells of it
        wait_until(lambda: engine.exported == {"shop": {9001}})


@pytest.mark.parametrize("refusal", [SourceUnavailable("others write"), SourceRefused("no right to write")])
def test_an_export_that_fails_is_told_and_tried_again_and_harms_no_import(
    make_client: MakeClient,
    truth: Truth,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    refusal: Exception,
) -> None:
    monkeypatch.setattr("zkdiscovery.bridges.following.REFUSED_DELAY", 0.3)
    monkeypatch.setattr("zkdiscovery.bridges.following.EXPORT_DELAY", 0.3)
    client, engine = make_client(), ExportingEngine()
    client.register("shop", 9001, host="10.9.0.1").wait_registered(5.0)
    engine.refusal = refusal
    source = engine.bridged()
    with Running(make_client(), source):
        engine.put(imported(1))
        wait_ports(client, "web", 1)
        wait_until(lambda: source.exports >= 3)
        assert truth.get(f"{namespace}/bridges/{engine.name}/away") is None, "the source can be reached"
        engine.put(imported(2))
        wait_ports(client, "web", 1, 2)
        (told,) = [record for record in caplog.records if str(refusal) in record.getMessage()]
        assert told.levelname == "WARNING"
        engine.refusal = None
        wait_until(lambda: engine.exported == {"shop": {9001}})
