"""An HTTP server that answers as an API server does where it misbehaves: the real one does not on demand."""

from __future__ import annotations

import json
import queue
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qsl, urlsplit

LIMIT = 20.0  # seconds

END = object()  # of a stream, in good order
BREAK = object()  # of a stream, within an event

S = TypeVar("S", bound="Served")


class Served(Protocol):
    """What `serving` serves.

    Attributes:
        ending: set at its end.
    """

    ending: threading.Event


class ApiServer:
    """Serves lists and watches of any kind of objects, by the last segment of their path.

    Attributes:
        items: what a list answers, by kind.
        page: objects in one answer.
        status: what is answered instead of a list or a watch, by `VERB KIND`.
        streams: what the next watches say: events, `END`, `BREAK`. A watch that finds nothing waits.
        asked: the queries of lists and watches, by `VERB KIND`.
    """

    def __init__(self, port: int) -> None:
        self.items: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.page = 1000
        self.status: dict[str, int] = {}
        self.streams: dict[str, queue.SimpleQueue[object]] = defaultdict(queue.SimpleQueue)
        self.asked: dict[str, list[dict[str, str]]] = defaultdict(list)
        self.ending = threading.Event()
        self.where = f"http://127.0.0.1:{port}"

    def kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig for it."""
        cluster = {"name": "c", "cluster": {"server": self.where}}
        context = {"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}
        user = {"name": "u", "user": {"token": "secret"}}
        path.write_text(
            json.dumps({"clusters": [cluster], "contexts": [context], "users": [user], "current-context": "x"})
        )
        return path


class JsonHandler(BaseHTTPRequestHandler):
    """Answers in JSON."""

    protocol_version = "HTTP/1.1"
    timeout = 1.0  # seconds that an idle connection is kept

    def log_message(self, *_: object) -> None: ...

    def answer(self, code: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class _Handler(JsonHandler):
    """Answers requests as its `ours` says."""

    ours: ApiServer

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query))
        kind = url.path.rpartition("/")[2]
        verb = "watch" if "watch" in query else "list"
        self.ours.asked[f"{verb} {kind}"].append(query)
        code = self.ours.status.get(f"{verb} {kind}", 200)
        if code != 200:
            self.answer(code, {"kind": "Status", "message": f"no {kind} for you", "code": code})
        elif kind == "kube-system":
            self.answer(200, {"metadata": {"uid": "uid-of-the-cluster"}})
        elif verb == "list":
            self._list(kind, int(query.get("continue", "0")))
        else:
            self._watch(kind)

    def _list(self, kind: str, start: int) -> None:
        items, end = self.ours.items[kind], start + self.ours.page
        metadata = {"resourceVersion": "100", **({"continue": str(end)} if end < len(items) else {})}
        self.answer(200, {"metadata": metadata, "items": items[start:end]})

    def _watch(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while not self.ours.ending.is_set():
            try:
                event = self.ours.streams[kind].get(timeout=0.05)
            except queue.Empty:
                continue
            if event is END:
                self.wfile.write(b"0\r\n\r\n")
                return
            if event is BREAK:
                self.wfile.write(b'7\r\n{"type"\r\n')
                break
            data = json.dumps(event).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def handle_error(self, *_: object) -> None: ...  # a client that closed while it was written to


@contextmanager
def api_server() -> Iterator[ApiServer]:
    """Run one for the time of the block."""
    with serving(_Handler, ApiServer) as server:
        yield server


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler], make: Callable[[int], S]) -> Iterator[S]:
    """Serve with this handler, whose attribute `ours` is made with the port."""
    own = type("Handler", (handler,), {})
    with _Server(("127.0.0.1", 0), own) as server:
        own.ours = ours = make(server.server_port)  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=[0.05], daemon=True)
        thread.start()
        try:
            yield ours
        finally:
            ours.ending.set()
            server.shutdown()
            thread.join(LIMIT)
