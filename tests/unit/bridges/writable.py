"""An API server that takes writes, and refuses them where the test says: conflicts and addresses that are invalid."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.unit.bridges.api_server import ApiServer, JsonHandler, serving


class Objects(ApiServer):
    """Keeps Services and EndpointSlices.

    Attributes:
        objects: by kind and name.
        written: each write, in order: `VERB KIND NAME`.
        meanwhile: called once before the next write, as somebody else who writes.
    """

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.written: list[str] = []
        self.meanwhile: Callable[[], object] | None = None
        self.version = 100

    def put(self, kind: str, found: dict[str, Any]) -> dict[str, Any]:
        """Keep an object, as a new version."""
        self.version += 1
        kept = {**found, "metadata": {**found["metadata"], "resourceVersion": str(self.version)}}
        self.objects[kind, found["metadata"]["name"]] = kept
        return kept


@contextmanager
def objects() -> Iterator[Objects]:
    """Run one for the time of the block."""
    with serving(_Handler, Objects) as server:
        yield server


class _Handler(JsonHandler):
    ours: Objects

    def do_GET(self) -> None:  # noqa: N802 - http.server calls it
        kind, name = self._target()
        if name:
            found = self.ours.objects.get((kind, name))
            self.answer(200, found) if found else self._refuse(404, "not found")
            return
        key, _, value = dict(parse_qsl(urlsplit(self.path).query)).get("labelSelector", "").partition("=")
        items = [
            found
            for (of, _), found in self.ours.objects.items()
            if of == kind and (found["metadata"].get("labels") or {}).get(key) == value
        ]
        self.answer(200, {"metadata": {"resourceVersion": str(self.ours.version)}, "items": items})

    def do_POST(self) -> None:  # noqa: N802 - http.server calls it
        kind, _ = self._target()
        body = self._body()
        self._write("create", kind, body["metadata"]["name"], body)

    def do_PUT(self) -> None:  # noqa: N802 - http.server calls it
        kind, name = self._target()
        self._write("update", kind, name, self._body())

    def do_DELETE(self) -> None:  # noqa: N802 - http.server calls it
        kind, name = self._target()
        self._write("delete", kind, name, self._body())

    def _write(self, verb: str, kind: str, name: str, body: dict[str, Any]) -> None:
        meanwhile, self.ours.meanwhile = self.ours.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        there = self.ours.objects.get((kind, name))
        of = body.get("preconditions") if verb == "delete" else body["metadata"]
        if verb == "create" and there:
            self._refuse(409, f'{kind} "{name}" already exists')
        elif verb != "create" and there is None:
            self._refuse(404, f'{kind} "{name}" not found')
        elif there and of["resourceVersion"] != there["metadata"]["resourceVersion"]:
            self._refuse(409, "the object has been modified")
        elif bad := [
            {"field": f"endpoints[{number}].addresses[0]", "message": "may not be in the loopback range"}
            for number, endpoint in enumerate(body.get("endpoints", ()))
            if endpoint["addresses"][0].startswith("127.")
        ]:
            self._refuse(422, "invalid", bad)
        else:
            self.ours.written.append(f"{verb} {kind} {name}")
            if verb == "delete":
                self.answer(200, self.ours.objects.pop((kind, name)))
            else:
                self.answer(201, self.ours.put(kind, body))

    def _target(self) -> tuple[str, str]:
        *_, parent, last = urlsplit(self.path).path.split("/")
        return (parent, last) if parent in {"services", "endpointslices"} else (last, "")

    def _body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def _refuse(self, code: int, message: str, causes: list[dict[str, str]] | None = None) -> None:
        self.answer(code, {"kind": "Status", "code": code, "message": message, "details": {"causes": causes or []}})
