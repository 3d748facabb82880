"""Spring's own clients of Eureka and Consul: its load balancer calls ours, and its instances become ours."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from tests.conftest import MakeClient
from tests.integration.bridges.engines import Running, wait_ports
from tests.interop.consul.server import Consul
from tests.interop.eureka.server import Eureka
from tests.interop.programs import Application
from tests.interop.registries.springs import beside_consul, beside_eureka, wait_asked, wait_chosen
from tests.interop.test_spring import serving
from tests.support import wait_until
from zkdiscovery import Client, Instance
from zkdiscovery.bridges.consul import ExportingConsulSource
from zkdiscovery.bridges.eureka import ExportingEurekaSource
from zkdiscovery.bridges.registry import registry_id
from zkdiscovery.model import Status

pytestmark = pytest.mark.timeout(300)

LIMIT = 60.0  # seconds, on a busy machine


def springs(client: Client) -> Instance | None:
    """The instance of Spring's application, as our users see it."""
    found = client.instances("spring", LIMIT)
    assert len(found) <= 1, "imported twice"
    return found[0] if found else None


def wait_spring(client: Client, condition: Callable[[Instance], object]) -> None:
    wait_until(lambda: (found := springs(client)) is not None and condition(found), LIMIT)


def assert_ours_are_called(application: Application, client: Client) -> None:
    """Ours appear, are called and follow their statuses, and leave when they drain."""
    with ExitStack() as stack:
        ports = [stack.enter_context(serving()) for _ in range(2)]
        first, second = (client.register("payments", port, host="127.0.0.1", metadata={"team": "x"}) for port in ports)
        wait_chosen(application, *ports)
        listed = application.ask("instances", service="payments")
        assert {found["uri"] for found in listed} == {f"http://127.0.0.1:{port}" for port in ports}
        assert len(listed) == 2
        assert all(found["metadata"]["team"] == "x" for found in listed)
        assert {application.ask("call", service="payments") for _ in range(10)} == {"python"}
        first.set_status(Status.OUT_OF_SERVICE)
        wait_chosen(application, ports[1])
        first.set_status(Status.UP)
        wait_chosen(application, *ports)
        draining = threading.Thread(target=first.drain, args=[5.0])
        draining.start()
        wait_chosen(application, ports[1])
        draining.join(LIMIT)
        second.drain(0)
        wait_asked(application, [], "instances", service="payments")


def test_spring_beside_eureka(eureka: Eureka, make_client: MakeClient) -> None:
    client = make_client()
    source = ExportingEurekaSource(lambda: registry_id(client.slot.current()), eureka.url, cache=1.0)
    with closing(beside_eureka(eureka.url)) as application, Running(client, source):
        wait_spring(client, lambda found: found.status is Status.UP)
        found = springs(client)
        assert found is not None
        assert (found.host, found.port, found.version) == ("127.0.0.1", application.port, "1.2")
        assert_ours_are_called(application, client)

        path = f"/apps/SPRING/{quote(eureka.apps()[application.port]['instanceId'])}"
        eureka.ask("PUT", f"{path}/metadata?team=y")
        wait_spring(client, lambda found: found.metadata.get("team") == "y")
        eureka.ask("PUT", f"{path}/status?value=OUT_OF_SERVICE")
        wait_spring(client, lambda found: found.status is Status.OUT_OF_SERVICE)
        eureka.ask("DELETE", f"{path}/status?value=UP")
        wait_spring(client, lambda found: found.status is Status.UP)

        with serving() as port:  # one of ours beside Spring's own, under its name
            client.register("spring", port, host="127.0.0.1")
            wait_ports(client, "spring", application.port - 8000, port - 8000)
            made = {port: each["leaseInfo"]["registrationTimestamp"] for port, each in shown(eureka, 2).items()}
            time.sleep(3)  # that nothing more happens
            assert {
                port: each["leaseInfo"]["registrationTimestamp"] for port, each in shown(eureka, 2).items()
            } == made, "registered again and again"
            assert len(client.instances("spring")) == 2
            application.terminate()
            wait_ports(client, "spring", port - 8000)


def shown(eureka: Eureka, count: int) -> dict[int, dict[str, dict[str, int]]]:
    wait_until(lambda: len(eureka.apps()) == count, LIMIT)
    return eureka.apps()


def test_spring_beside_consul(tmp_path: Path, make_client: MakeClient) -> None:
    client = make_client()
    with ExitStack() as stack:
        consul = stack.enter_context(closing(Consul(tmp_path)))
        source = ExportingConsulSource(lambda: registry_id(client.slot.current()), consul.url)
        application = stack.enter_context(closing(beside_consul(urlsplit(consul.url).port or 0)))
        stack.enter_context(Running(client, source))
        wait_spring(client, lambda found: found.status is Status.UP)
        found = springs(client)
        assert found is not None
        assert (found.host, found.port, found.version) == ("127.0.0.1", application.port, "1.2")
        assert_ours_are_called(application, client)
        (entry,) = consul.get("/v1/health/service/spring")
        path = f"/v1/agent/service/maintenance/{entry['Service']['ID']}?enable="
        consul.put(f"{path}true")
        wait_spring(client, lambda found: found.status is Status.OUT_OF_SERVICE)
        consul.put(f"{path}false")
        wait_spring(client, lambda found: found.status is Status.UP)
        application.terminate()
        wait_until(lambda: springs(client) is None, LIMIT)
