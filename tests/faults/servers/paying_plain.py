"""The service of paying.py without a framework, which knows nothing of ZooKeeper and of signals. `PORT` is the port."""

from __future__ import annotations

import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Pay(BaseHTTPRequestHandler):
    """Answers at once, or `/slow?seconds=2` late."""

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/slow":
            time.sleep(float(parse_qs(url.query)["seconds"][0]))
        answer = f"paid by {os.getpid()}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


ThreadingHTTPServer.request_queue_size = 64
ThreadingHTTPServer(("", int(os.environ["PORT"])), Pay).serve_forever()
