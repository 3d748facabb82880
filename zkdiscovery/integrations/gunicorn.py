"""gunicorn: its arbiter registers once for all workers, and drains before it closes the port.

```python
# gunicorn.conf.py
from zkdiscovery import Client
from zkdiscovery.integrations import gunicorn

bind = "0.0.0.0:8080"
workers = 4
graceful_timeout = 20  # seconds for the requests that are under way
keepalive = 10

client = Client("zk1:2181,zk2:2181,zk3:2181", namespace="/shop")
when_ready = gunicorn.register(client, "web")
```

The instance is STARTING until a worker has loaded the application, then UP. Workers may come and go. It works with and
without `preload_app`. For `/healthz` and `/readyz` wrap the application in `wsgi.Health` or `asgi.Health`.

Threads: the arbiter's main thread registers; a short-lived thread of the arbiter waits for the first worker.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, Unpack

from zkdiscovery.client import Client
from zkdiscovery.errors import ClientClosed, InvalidInstance
from zkdiscovery.integrations.clients import HasClient, plain_client
from zkdiscovery.integrations.health import Watched
from zkdiscovery.integrations.stopping import DRAIN_DELAY
from zkdiscovery.lifecycle import close_on_signals
from zkdiscovery.model import Status
from zkdiscovery.registration import RegisterOptions, Registration


class Configuration(Protocol):
    """gunicorn's settings."""

    address: list[Any]
    post_worker_init: Callable[[Any], object]

    def set(self, name: str, value: object) -> None:
        """Change a setting."""


class Arbiter(Protocol):
    """gunicorn's master process, as `when_ready` is called with it."""

    LISTENERS: list[Any]
    cfg: Configuration


def register(
    client: Client | HasClient, service: str, port: int | None = None, **options: Unpack[RegisterOptions]
) -> Callable[[Arbiter], None]:
    """Make gunicorn's `when_ready`: the arbiter registers an instance, and drains it before it hears of a signal.

    Args:
        client: what registers; a `Client`, or an asynchronous client.
        service: name of the service.
        port: TCP port that callers use. None: the first one of `bind`.
        options: as in `Client.register`; `drain_delay` is 1.0 unless given, and without `ready` the instance is UP once
            a worker has loaded the application.

    The function that is returned raises InvalidInstance if there is no `port` and gunicorn listens on none, as on a
    Unix socket.
    """
    up_with_a_worker = "ready" not in options
    options.setdefault("ready", "manual")
    options.setdefault("drain_delay", DRAIN_DELAY)
    plain = plain_client(client)

    def when_ready(server: Arbiter) -> None:
        number = _port_of(server, service) if port is None else port
        registration = plain.register(service, number, **options)
        if up_with_a_worker:
            _up_with_a_worker(server.cfg, registration)
        Watched(service, registration)
        close_on_signals(plain)

    return when_ready


def _port_of(server: Arbiter, service: str) -> int:
    bound = [listener.getsockname() for listener in server.LISTENERS] or server.cfg.address  # none with reuse_port
    for address in bound:
        if isinstance(address, tuple):
            return int(address[1])
    raise InvalidInstance(
        f"gunicorn listens on {', '.join(map(str, bound))}, which is no TCP port: give that of the proxy before it,"
        f" as in register(client, {service!r}, port=8080)"
    )


def _up_with_a_worker(cfg: Configuration, registration: Registration) -> None:
    """Set the status to UP when the first worker has loaded the application. Workers tell by a pipe."""
    heard, tell = os.pipe()
    theirs = cfg.post_worker_init

    def post_worker_init(worker: Any) -> None:
        theirs(worker)
        with suppress(OSError):  # nobody listens any more
            os.write(tell, b"!")

    def wait() -> None:
        os.read(heard, 1)
        os.close(heard)
        with suppress(ClientClosed):  # a signal came first
            registration.set_status(Status.UP)

    os.set_blocking(tell, False)
    cfg.set("post_worker_init", post_worker_init)
    threading.Thread(target=wait, name="zkdiscovery-gunicorn", daemon=True).start()
