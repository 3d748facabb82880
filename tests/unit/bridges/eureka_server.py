"""An HTTP server that answers as a Eureka does where it misbehaves: the real one does not on demand."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

from tests.unit.bridges.api_server import JsonHandler, serving
from zkdiscovery.bridges.eureka.objects import Name, hashcode_of


def instance(number: int, app: str = "WEB", **more: Any) -> dict[str, Any]:
    """An instance as Eureka shows it."""
    return {
        "instanceId": f"web-{number}",
        "app": app,
        "hostName": f"web-{number}.example",
        "ipAddr": "10.0.0.1",
        "status": "UP",
        "port": {"$": 8000 + number, "@enabled": "true"},
        "securePort": {"$": 443, "@enabled": "false"},
        "leaseInfo": {"renewalIntervalInSecs": 1, "durationInSecs": 3},
        "metadata": {"@class": "java.util.Collections$EmptyMap"},
        **more,
    }


class EurekaServer:
    """Keeps instances.

    Attributes:
        instances: all, by their names.
        changes: what `/apps/delta` answers.
        hashcode: what it says instead of the true one.
        version: of the list of changes.
        answers: what is answered instead, status and body, by `METHOD PATH`.
        gate: no answer is given before it is set.
        asked: all requests, with the body's status if it has one.
        headers: of the last request.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/eureka"
        self.instances: dict[Name, dict[str, Any]] = {}
        self.changes: list[dict[str, Any]] = []
        self.hashcode: str | None = None
        self.version = 1
        self.answers: dict[str, tuple[int, object]] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.ending = threading.Event()
        self.asked: list[str] = []
        self.headers: dict[str, str] = {}

    def put(self, *some: dict[str, Any]) -> None:
        """Register instances."""
        self.instances |= {Name(each["app"], each["instanceId"]): each for each in some}
        self.changes = [*self.changes, *({**each, "actionType": "ADDED"} for each in some)]

    def remove(self, *some: dict[str, Any]) -> None:
        """Deregister instances."""
        for each in some:
            self.instances = {name: one for name, one in self.instances.items() if name.id != each["instanceId"]}
        self.changes = [*self.changes, *({**each, "actionType": "DELETED"} for each in some)]

    def restart(self) -> None:
        """Forget everything."""
        self.instances, self.changes, self.version = {}, [], 0

    def count(self, what: str) -> int:
        """How many requests began like that."""
        return sum(each.startswith(what) for each in self.asked)

    def applications(self, some: list[dict[str, Any]], version: int) -> dict[str, Any]:
        """A list as Eureka answers it."""
        apps: dict[str, list[dict[str, Any]]] = {}
        for each in some:
            apps.setdefault(each["app"], []).append(each)
        code = hashcode_of(self.instances) if self.hashcode is None else self.hashcode
        return {
            "applications": {
                "versions__delta": str(version),
                "apps__hashcode": code,
                "application": [{"name": app, "instance": found} for app, found in apps.items()],
            }
        }

    def obey(self, method: str, path: str, body: Any) -> tuple[int, object]:
        """Answer a request."""
        self.gate.wait(30)
        status = f" {body['instance']['status']}" if body else ""
        self.asked.append(f"{method} {path}{status}")
        for begin, answer in self.answers.items():
            if f"{method} {path}".startswith(begin):
                return answer
        if path == "/apps":
            return 200, self.applications(list(self.instances.values()), 1)
        if path == "/apps/delta":
            return 200, self.applications(self.changes, self.version)
        app, _, found = path.removeprefix("/apps/").partition("/")
        name = Name(unquote(app), unquote(found))
        if method == "POST":
            self._register(body["instance"])
            return 204, None
        if name not in self.instances:
            return 404, None
        if method == "DELETE":
            self.remove(self.instances[name])
        return 200, None

    def _register(self, found: dict[str, Any]) -> None:
        """Keep it. Between UP and OUT_OF_SERVICE, a lease keeps its status, as the real server's does."""
        before = self.instances.get(Name(found["app"], found["instanceId"]), {}).get("status")
        sticky = ("UP", "OUT_OF_SERVICE")
        if before in sticky and found["status"] in sticky:
            found = {**found, "status": before}
        self.put(found)


class _Handler(JsonHandler):
    ours: EurekaServer

    def _obey(self) -> None:
        self.ours.headers = dict(self.headers)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        path = self.path.removeprefix("/eureka")
        status, answer = self.ours.obey(self.command, path, body)
        if isinstance(answer, bytes):
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
        elif status == 204:
            self.send_response(status)
            self.end_headers()
        else:
            self.answer(status, answer)

    do_GET = do_POST = do_PUT = do_DELETE = _obey  # noqa: N815 - names of http.server


@contextmanager
def eureka_server() -> Iterator[EurekaServer]:
    """Run one for the time of the block."""
    with serving(_Handler, EurekaServer) as server:
        try:
            yield server
        finally:
            server.gate.set()
