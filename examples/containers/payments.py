"""A HTTP service that knows nothing of ZooKeeper, for the images of this folder: any language would do.

`/` answers who has paid, and `/ready` that the service is ready. It listens at port 8080.
"""

from __future__ import annotations

import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Payments(BaseHTTPRequestHandler):
    """Answers GET."""

    def do_GET(self) -> None:
        found = self.path in {"/", "/ready"}
        body = f"{'ready' if self.path == '/ready' else 'paid by'} {socket.gethostname()}\n".encode() if found else b""
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Leave out the line for each request."""


class Server(ThreadingHTTPServer):
    request_queue_size = 128


if __name__ == "__main__":
    Server(("", 8080), Payments).serve_forever()
