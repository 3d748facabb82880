"""A HTTP service that registers itself. Runs until SIGTERM or Ctrl-C, or for `--seconds`."""

import argparse
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from zkdiscovery import Client, Registration, close_on_signals


class Hello(BaseHTTPRequestHandler):
    """Answers every GET."""

    def do_GET(self) -> None:
        """Say hello."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello\n")

    def log_message(self, *_: object) -> None:
        """No line for each request."""


def main() -> None:
    """Serve on a free port, registered while serving."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=None, help="end by itself after so many seconds")
    seconds = parser.parse_args().seconds

    client = Client(namespace="/examples")
    server = ThreadingHTTPServer(("", 0), Hello)

    @client.registered("hello", port=server.server_port, version="1.0", drain_delay=0.5)
    def serve(registration: Registration) -> None:
        print(f"serving {registration.instance.url}, id {registration.instance.id}")
        if seconds is not None:
            threading.Timer(seconds, server.shutdown).start()
        server.serve_forever()

    close_on_signals(client)
    with client, server:
        serve()
    print("drained and gone")


if __name__ == "__main__":
    main()
