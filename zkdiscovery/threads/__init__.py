"""The threads of a client: small tasks of the SDK, callbacks of users. Nothing here knows ZooKeeper."""

from __future__ import annotations

from zkdiscovery.threads.abandon import abandoned_when
from zkdiscovery.threads.dispatcher import Dispatcher, Subscribers, Subscription, latest
from zkdiscovery.threads.exits import Exits
from zkdiscovery.threads.start import start_thread
from zkdiscovery.threads.waiting import WAIT_POLL, Monitor, Steps, Until, run_steps
from zkdiscovery.threads.worker import Worker

__all__ = [
    "WAIT_POLL",
    "Dispatcher",
    "Exits",
    "Monitor",
    "Steps",
    "Subscribers",
    "Subscription",
    "Until",
    "Worker",
    "abandoned_when",
    "latest",
    "run_steps",
    "start_thread",
]
