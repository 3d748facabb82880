"""A process that follows a configuration and forks: in the child it follows on a connection of the child's own."""

from __future__ import annotations

import json
import os
import sys
import threading
import warnings
from typing import Any

from zkdiscovery import Client

warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on: a fork beside threads

LIMIT = 20.0


def say(**what: Any) -> None:
    os.write(1, f"{json.dumps(what)}\n".encode())  # in one piece: parent and child may write at the same moment


def main(hosts: str, namespace: str) -> None:
    client = Client(hosts, namespace=namespace, session_timeout=4.0)
    config = client.config("shop", id="parent").wait_ready(LIMIT)
    seen: list[int] = []
    told = threading.Event()

    def note(change: Any) -> None:
        seen.append(change.after["number"])
        if seen[-1] == 2:
            told.set()

    config.on_change(note)
    while not seen:
        threading.Event().wait(0.01)
    pid = os.fork()
    who = "parent" if pid else "child"
    if not pid:
        say(who=who, value=config.value["number"])
    told.wait(LIMIT)
    say(who=who, value=config.value["number"], seen=seen, stale=config.stale, revisions=dict(config.revisions))
    if not pid:
        client.close()
        os._exit(0)
    say(who=who, code=os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    client.close()


main(*sys.argv[1:])
