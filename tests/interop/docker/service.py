"""A service that registers itself from a container. It answers its name.

python -m tests.interop.docker.service NAME PORT
"""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from zkdiscovery import Client


class Handler(BaseHTTPRequestHandler):
    """Answers GET."""

    def do_GET(self) -> None:
        body = sys.argv[1].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Leave out the line for each request."""


if __name__ == "__main__":
    with ThreadingHTTPServer(("", int(sys.argv[2])), Handler) as server, Client() as client:
        client.register(sys.argv[1], server.server_port)
        server.serve_forever()
