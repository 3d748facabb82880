"""WSGI applications: health checks under any server, and a registration around servers without hooks.

```python
from flask import Flask
from zkdiscovery.integrations import wsgi

app = Flask(__name__)
app.wsgi_app = wsgi.Health(app.wsgi_app)  # /healthz and /readyz
```

Under gunicorn the arbiter registers, see `zkdiscovery.integrations.gunicorn`. Around a server that the program runs
itself and that installs no handlers, such as waitress or wsgiref, put a block:

```python
with wsgi.serving(client, "web", port=8080):
    waitress.serve(app, port=8080)
```
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Unpack

from zkdiscovery.client import Client
from zkdiscovery.integrations.clients import HasClient, plain_client
from zkdiscovery.integrations.health import Watched, answer_to
from zkdiscovery.integrations.stopping import DRAIN_DELAY, Stopping
from zkdiscovery.registration import RegisterOptions, Registration

StartResponse = Callable[..., Any]
Application = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


@contextmanager
def serving(
    client: Client | HasClient, service: str, port: int, **options: Unpack[RegisterOptions]
) -> Iterator[Registration]:
    """Register an instance while the block serves; SIGTERM and SIGINT drain it, and then end the block.

    The block must run on the main thread for that. SIGTERM raises SystemExit with the status 143 in it, and SIGINT
    raises KeyboardInterrupt; servers stop on either. After the block the instance is out, and after a signal the client
    closes.

    Args:
        client: what registers; a `Client`, or an asynchronous client.
        service: name of the service.
        port: TCP port that callers use.
        options: as in `Client.register`; `ready` is "listening" and `drain_delay` 1.0 unless given.
    """
    options.setdefault("ready", "listening")
    options.setdefault("drain_delay", DRAIN_DELAY)
    plain = plain_client(client)
    stopping = Stopping(plain, by_default=_end_block)
    try:
        with stopping:
            watched = Watched(service, plain.register(service, port, **options))
            try:
                yield watched.registration
            finally:
                watched.leave()
    finally:
        if stopping.ends_client:
            plain.close()


def _end_block(number: int) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


class Health:
    """Middleware that answers `/healthz` and `/readyz`; all else is the application's.

    `/healthz` is 200 while the process answers. `/readyz` is 200 once what serves this process, such as gunicorn's
    arbiter, has registered it, STARTING included, and 503 before that and while it is leaving; the body says why. Later
    outages of ZooKeeper change neither.

    Args:
        app: the application.
        require_registration: False: ready without ZooKeeper, too. Then a process that starts during an outage of
            ZooKeeper gets traffic from an orchestrator that asks, and none from callers that discover it.
    """

    def __init__(self, app: Application, *, require_registration: bool = True) -> None:
        self._app = app
        self._require_registration = require_registration

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        answer = None
        if environ["REQUEST_METHOD"] in {"GET", "HEAD"}:
            answer = answer_to(environ.get("PATH_INFO", ""), require_registration=self._require_registration)
        if answer is None:
            return self._app(environ, start_response)
        start_response(f"{answer.status.value} {answer.status.phrase}", answer.headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer.body]
