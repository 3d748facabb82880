"""A service that registers itself by the SDK, as the first process of a container; it answers the id of its process."""

from __future__ import annotations

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from zkdiscovery import Client, close_on_signals


class Ledger(BaseHTTPRequestHandler):
    """Answers GET."""

    def do_GET(self) -> None:
        body = f"process {os.getpid()}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    client = Client()
    close_on_signals(client)
    server = ThreadingHTTPServer(("", 8080), Ledger)
    with client.register("ledger", 8080, drain_delay=3.0):
        server.serve_forever()
