"""A consumer: picks, attempts that report to the balancer, calls with retries. Starts two services to talk to."""

import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from zkdiscovery import Client, Instance


class Hello(BaseHTTPRequestHandler):
    """Answers every GET with its port."""

    def do_GET(self) -> None:
        """Say hello."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"hello from {self.server.server_address[1]}\n".encode())

    def log_message(self, *_: object) -> None:
        """No line for each request."""


def fetch(instance: Instance) -> str:
    """One call, with a time limit."""
    with urllib.request.urlopen(instance.url, timeout=2) as response:
        return str(response.read().decode().strip())


def main() -> None:
    """Register two services and one that is not there, and call them."""
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Hello) for _ in range(2)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()

    with Client(namespace="/examples") as client:
        ports = [server.server_port for server in servers]
        for port in [*ports, 1]:  # nobody listens on port 1: calls to it are tried again elsewhere
            client.register("greeter", port, host="127.0.0.1", id=f"greeter-{port}")

        greeter = client.discover("greeter").wait_ready(timeout=10, at_least=3)
        print("pick:", greeter.pick().netloc)

        with greeter.attempt(exclude=["greeter-1"]) as attempt:
            print("attempt:", fetch(attempt.instance))

        answers = [greeter.call(fetch, retry_on=urllib.error.URLError) for _ in range(10)]
        print(f"call: {len(answers)} answers from {len(set(answers))} instances")

    for server in servers:
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    main()
