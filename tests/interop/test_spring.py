"""A Spring Boot application with Spring Cloud Zookeeper and its load balancer: both list and call each other."""

from __future__ import annotations

import http.server
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.conftest import MakeClient
from tests.interop.programs import Application
from tests.support import Truth, wait_view
from zkdiscovery import Status

pytestmark = pytest.mark.timeout(240)

LIMIT = 60.0  # seconds for the start of an application, on a busy machine


class _Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"python"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def serving() -> Iterator[int]:
    """A server that answers `python`, on a port of its own."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hello) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.05], daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def wait_chosen(application: Application, expected: set[int]) -> None:
    """Wait until the load balancer chooses among these ports and no other."""
    end = time.monotonic() + LIMIT
    while (chosen := set(map(int, application.ask("choose", service="payments", times=30)))) != expected:
        assert time.monotonic() < end, chosen
        time.sleep(0.1)


def test_both_ways(application: Application, make_client: MakeClient, truth: Truth, namespace: str) -> None:
    client = make_client()
    view = client.discover("spring")
    view.wait_ready(LIMIT)  # for the list and not for HTTP, which answers a moment before
    instance = view.pick()
    # An application whose own metadata has names of ours.
    assert (instance.port, instance.status) == (application.port, Status.UP)
    assert instance.metadata["status"] == "green"
    assert (instance.metadata["version"], instance.version) == ("1.2", None)
    with urllib.request.urlopen(instance.url, timeout=LIMIT) as answer:
        assert answer.read() == b"spring"

    with ExitStack() as stack:
        ports = {
            name: stack.enter_context(serving()) for name in ("a", "web-1@[::1]:8080", "reserve", "starting", "down")
        }
        registrations = {
            name: client.register(
                "payments", port, host="127.0.0.1", id=name, weight=0.0 if name == "reserve" else 1.0,
                ready="manual" if name == "starting" else "now", metadata={"größe": "päyments", "status": "green"},
            )
            for name, port in ports.items()
        }  # fmt: skip
        registrations["down"].set_status("DOWN")
        for registration in registrations.values():
            registration.wait_registered(LIMIT)
        listed = {found["id"]: found for found in application.ask("instances", service="payments")}
        assert {found["uri"] for found in listed.values()} == {f"http://127.0.0.1:{port}" for port in ports.values()}
        assert all(found["metadata"]["größe"] == "päyments" for found in listed.values())
        # Chosen are those that are UP and have a weight.
        called = {ports["a"], ports["web-1@[::1]:8080"]}
        wait_chosen(application, called)
        assert application.ask("call", service="payments") == "python"
        # An operator's word, and its end.
        client.override("payments", "a", status="OUT_OF_SERVICE", timeout=LIMIT)
        wait_chosen(application, called - {ports["a"]})
        client.override("payments", "a", weight=0.0, timeout=LIMIT)
        wait_chosen(application, called - {ports["a"]})
        client.clear_override("payments", "a", timeout=LIMIT)
        wait_chosen(application, called)
        registrations["reserve"].update(weight=1.0)
        wait_chosen(application, called | {ports["reserve"]})

    # An override of the application is obeyed, and what it wrote is there again at its end.
    path = f"{namespace}/services/spring/{instance.id}"
    stored = json.loads(truth.get(path).data)
    client.override("spring", instance.id, status="OUT_OF_SERVICE", timeout=LIMIT)
    wait_view(view, lambda _: not view.available, LIMIT)
    assert application.ask("choose", service="spring", times=3) == {"0": 3}
    client.clear_override("spring", instance.id, timeout=LIMIT)
    wait_view(view, lambda _: len(view.available) == 1, LIMIT)
    assert json.loads(truth.get(path).data) == stored | {"enabled": True}
    application.terminate()
    wait_view(view, lambda snapshot: len(snapshot) == 0, LIMIT)
