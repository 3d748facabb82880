"""gunicorn's configuration: `PORT` is the port, `ZKDISCOVERY_*` the rest."""

from __future__ import annotations

import os

from tests.faults.servers.fleet import GRACE
from tests.faults.servers.paying import DRAIN_DELAY, SERVICE
from zkdiscovery import Client
from zkdiscovery.integrations import gunicorn

bind = f"127.0.0.1:{os.environ['PORT']}"
workers = 4
graceful_timeout = int(GRACE)
keepalive = 10  # seconds; longer than callers keep idle connections
control_socket_disable = True

when_ready = gunicorn.register(Client(), SERVICE, drain_delay=DRAIN_DELAY)
