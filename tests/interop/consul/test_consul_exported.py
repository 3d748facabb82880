"""Our services are readable in a real Consul, by its health API and its DNS, and both directions run at once."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import MakeClient
from tests.integration.bridges.engines import Running, wait_ports
from tests.interop.consul.server import Consul
from tests.support import LIMIT, wait_until
from zkdiscovery import Client
from zkdiscovery.bridges.consul import ExportingConsulSource
from zkdiscovery.bridges.registry import registry_id
from zkdiscovery.bridges.sources import read_sources
from zkdiscovery.model import Instance


def source(client: Client, consul: Consul) -> ExportingConsulSource:
    return ExportingConsulSource(lambda: registry_id(client.slot.current()), consul.url)


def resolve(consul: Consul, name: str) -> list[str]:
    """The IPv4 addresses of a name, by Consul's DNS."""
    question = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"
    query = struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + question + struct.pack("!2H", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.settimeout(LIMIT)
        asked.sendto(query, ("127.0.0.1", consul.dns))
        answer = asked.recv(4096)
    (count,) = struct.unpack("!H", answer[6:8])
    at, found = len(query), []
    for _ in range(count):
        at += 2 if answer[at] >= 0xC0 else answer.index(b"\0", at) - at + 1
        kind, _, _, length = struct.unpack("!HHIH", answer[at : at + 10])
        at += 10
        if kind == 1:
            found.append(socket.inet_ntoa(answer[at : at + length]))
        at += length
    return sorted(found)


def critical(consul: Consul, service: str) -> set[int]:
    entries = consul.get(f"/v1/health/service/{service}")
    return {one["Service"]["Port"] for one in entries if any(check["Status"] == "critical" for check in one["Checks"])}


def timed(condition: Callable[[], object]) -> float:
    began = time.monotonic()
    wait_until(condition, LIMIT)
    return time.monotonic() - began


def test_ours_are_readable_there_and_vanish_when_they_drain(consul: Consul, make_client: MakeClient) -> None:
    bridging, client = make_client(), make_client()
    with Running(bridging, source(bridging, consul)):
        registration = client.register(
            "payments", 8080, host="10.1.0.1", weight=3, tags=["blue"], version="2", metadata={"a.b": "c"},
            ports={"metrics": 9100},
        )  # fmt: skip
        print(f"visible after {timed(lambda: 8080 in consul.passing('payments')):.2f} s")
        found = consul.passing("payments")[8080]["Service"]
        assert (found["Address"], found["Tags"], found["Weights"]["Passing"]) == ("10.1.0.1", ["blue"], 3)
        assert {"a_b": "c", "version": "2", "port-metrics": "9100"}.items() <= found["Meta"].items()
        assert resolve(consul, "payments.service.consul") == ["10.1.0.1"]
        draining = threading.Thread(target=registration.drain, args=[3.0])
        draining.start()
        assert timed(lambda: not consul.passing("payments")) < 1
        assert critical(consul, "payments") == {8080}
        assert resolve(consul, "payments.service.consul") == []
        draining.join(LIMIT)
        wait_until(lambda: not consul.get("/v1/catalog/service/payments"), LIMIT)
        wait_until(lambda: [node["Node"] for node in consul.get("/v1/catalog/nodes")] == ["machine"], LIMIT)


def test_both_directions_at_once_make_no_loop_and_no_duplicate(consul: Consul, make_client: MakeClient) -> None:
    clients = [make_client(), make_client()]
    with Running(clients[0], source(clients[0], consul)), Running(clients[1], source(clients[1], consul)):
        clients[0].register("web", 9001, host="10.1.0.1")
        consul.register(1)
        wait_until(lambda: set(consul.passing("web")) == {8001, 9001}, LIMIT)
        wait_until(lambda: {one.port for one in clients[1].instances("web")} == {8001, 9001}, LIMIT)
        index = consul.get("/v1/catalog/service/web")
        time.sleep(2)  # that nothing more happens
        assert consul.get("/v1/catalog/service/web") == index, "written again and again"
        assert len(clients[1].instances("web")) == 2
        assert len(index) == 2


def test_nothing_of_others_is_touched(consul: Consul, make_client: MakeClient) -> None:
    client = make_client()
    client.start().wait_connected(LIMIT)
    node = f"zkdiscovery-{registry_id(client.slot.current())}"
    others = {"Node": "external", "Address": "10.9.9.9", "Service": {"Service": "payments", "ID": "x", "Port": 1}}
    consul.put("/v1/catalog/register", others)
    with Running(client, source(client, consul)):
        registration = client.register("payments", 8080, host="10.1.0.1")
        wait_until(lambda: 8080 in consul.passing("payments"), LIMIT)
        consul.put("/v1/catalog/register", {**others, "Node": node, "SkipNodeUpdate": True})
        registration.drain(0)
        wait_until(lambda: set(consul.passing("payments")) == {1}, LIMIT)
        consul.put("/v1/catalog/deregister", {"Node": node, "ServiceID": "x"})
        consul.put("/v1/catalog/deregister", {"Node": node})
        consul.put("/v1/catalog/register", {**others, "Node": node})  # somebody else's from the beginning
        client.register("payments", 8081, host="10.1.0.1")
        wait_until(lambda: "not exported from here" in str(read_sources(client, 5)[0].bridges[0].problems), LIMIT)
        assert set(consul.passing("payments")) == {1}


def test_what_consul_does_not_take_whole(consul: Consul, make_client: MakeClient) -> None:
    client = make_client()
    client.start().wait_connected(LIMIT)
    exporter = source(client, consul)
    long = Instance("web", "10.0.0.1", 80, id="long", metadata={"text": "x" * 600})
    idle = Instance("web", "10.0.0.2", 80, id="idle", weight=0)
    try:
        problems = exporter.export({"web": [long, idle]})
        assert "lacks text" in problems["web/long"]
        states = {one["Service"]["Address"]: one["Checks"][0]["Status"] for one in consul.get("/v1/health/service/web")}
        assert states == {"10.0.0.1": "passing", "10.0.0.2": "warning"}
        assert exporter.export({}) == {}
        assert consul.get("/v1/health/service/web") == []
    finally:
        exporter.close()


@pytest.mark.long
def test_two_thousand_instances_both_ways(consul: Consul, make_client: MakeClient) -> None:
    """In 40 transactions of Consul's there, and back by its services."""
    client = make_client()
    client.start().wait_connected(LIMIT)
    exporter = source(client, consul)
    ours = {
        f"ours-{number}": [Instance(f"ours-{number}", "10.2.0.1", 1000 + port, id=f"{port}") for port in range(100)]
        for number in range(20)
    }
    try:
        began = time.monotonic()
        assert exporter.export(ours) == {}
        print(f"2,000 exported in {time.monotonic() - began:.1f} s")
        assert sum(len(consul.passing(name)) for name in ours) == 2000
        began = time.monotonic()
        assert exporter.export(ours) == {}
        print(f"and again, without a difference, in {time.monotonic() - began:.2f} s")
        assert exporter.export({}) == {}
        assert list(consul.get("/v1/catalog/services")) == ["consul"]
    finally:
        exporter.close()
    for number in range(0, 2000, 32):
        consul.put("/v1/txn", [*node(number), *(operation(one) for one in range(number, min(number + 32, 2000)))])
    with Running(client, source(client, consul)):
        took = timed(lambda: sum(len(client.instances(f"theirs-{number}")) for number in range(20)) == 2000)
        print(f"2,000 imported in {took:.1f} s")
        consul.register(1)
        assert timed(lambda: client.instances("web")) < 1.5
        wait_ports(client, "web", 1)


def node(number: int) -> list[Any]:
    return [{"Node": {"Verb": "set", "Node": {"Node": "theirs", "Address": "10.3.0.1"}}}] if number == 0 else []


def operation(number: int) -> Any:
    service = {"ID": f"s{number}", "Service": f"theirs-{number % 20}", "Port": 1000 + number}
    return {"Service": {"Verb": "set", "Node": "theirs", "Service": service}}
