"""Views of instances whose source is away, or has no bridge: they become suspects, and nothing else costs anything."""

from __future__ import annotations

from tests.conftest import MakeClient
from tests.integration.bridges.conftest import StartBridge
from tests.integration.bridges.engines import Engine, imported, wait_ports
from tests.support import Recorder, counting, wait_until, wait_view
from zkdiscovery import Change, Settings
from zkdiscovery.bridges import SourceUnavailable


def short(make_client: MakeClient) -> Settings:
    """Settings with which a source is lost soon."""
    known = make_client().settings
    return Settings(hosts=known.hosts, namespace=known.namespace, source_timeout=1.0)


def test_instances_of_a_source_that_is_away_become_suspects(
    make_client: MakeClient, start_bridge: StartBridge, engine: Engine
) -> None:
    watching = make_client(settings=short(make_client))
    watching.register("web", 9001, host="10.9.9.9", id="own").wait_registered(5.0)
    engine.put(imported(1), imported(2))
    start_bridge(make_client(), engine)
    view = watching.discover("web")
    changes: Recorder[Change] = Recorder()
    wait_view(view, lambda snapshot: len(snapshot.instances) == 3)
    view.on_change(changes)
    engine.error = SourceUnavailable("connection refused")
    engine.tell()
    snapshot = wait_view(view, lambda snapshot: len(snapshot.instances) == 1)
    assert {instance.port for instance in snapshot.suspects} == {8001, 8002}
    assert snapshot.lost_sources == {engine.name: "it can't be reached: connection refused"}
    assert {view.pick().port for _ in range(50)} == {9001}, "suspects are picked only if nothing else is left"
    reports = {report.instance.port: report.why for report in view.explain()}
    assert "connection refused" in reports[8001]
    assert not reports[9001]
    changes.wait(lambda seen: any(len(change.removed) == 2 for change in seen))
    later = watching.discover("web")
    assert len(later.instances) == 1, "a new view knows it as well"
    engine.error = None
    engine.put(imported(3))
    snapshot = wait_view(view, lambda snapshot: len(snapshot.instances) == 4)
    assert snapshot.suspects == ()
    assert snapshot.lost_sources == {}
    changes.wait(lambda seen: {one.port for change in seen for one in change.added} >= {8001, 8002, 8003})


def test_instances_without_a_bridge_become_suspects_and_serve_on(
    make_client: MakeClient, start_bridge: StartBridge
) -> None:
    engine = Engine()
    watching = make_client(settings=short(make_client))
    engine.put(imported(1), imported(2))
    first = start_bridge(make_client(), engine)
    view = watching.discover("web")
    wait_view(view, lambda snapshot: len(snapshot.instances) == 2)
    first.stop()
    snapshot = wait_view(view, lambda snapshot: not snapshot.instances)
    assert "no bridge" in snapshot.lost_sources[engine.name]
    assert view.pick().port in {8001, 8002}
    assert all("no bridge" in report.why for report in view.explain())
    start_bridge(make_client(), engine)
    wait_view(view, lambda snapshot: len(snapshot.instances) == 2)


def test_a_bridge_that_is_replaced_in_time_is_not_noticed(make_client: MakeClient, start_bridge: StartBridge) -> None:
    engine, watching = Engine(), make_client()
    engine.put(imported(1))
    first = start_bridge(make_client(), engine)
    view = watching.discover("web")
    wait_view(view, lambda snapshot: len(snapshot.instances) == 1)
    changes: Recorder[Change] = Recorder()
    view.on_change(changes)
    first.stop()
    start_bridge(make_client(), engine)
    engine.put(imported(2))
    changes.wait(lambda seen: len(seen[-1].after.instances) == 2)
    assert not [change for change in changes.items if change.removed]


def test_views_without_imported_instances_ask_nothing_more(
    make_client: MakeClient, start_bridge: StartBridge, engine: Engine
) -> None:
    owner, watching = make_client(), make_client()
    owner.register("plain", 9001, host="10.9.9.9", id="own").wait_registered(5.0)
    engine.put(imported(1))
    start_bridge(make_client(), engine)
    wait_ports(owner, "web", 1)
    with counting(watching.wait_connected()) as counts:
        view = watching.discover("plain")
        wait_view(view, lambda snapshot: len(snapshot.instances) == 1)
        plain = sum(counts.values())
        assert counts["SetWatches"] == 1
        assert plain <= 4
        other = watching.discover("web")
        wait_view(other, lambda snapshot: len(snapshot.instances) == 1)
        wait_until(lambda: counts["SetWatches"] == 3)
        another = watching.discover("web")
        assert len(another.instances) == 1
    assert counts["SetWatches"] == 3, "the services, and one source"
