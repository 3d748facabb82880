"""The process of the clients: it ends, and somebody forgot to close them; it forks, and the child has copies."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import weakref
from typing import Protocol

from zkdiscovery.lifecycle.ending import Closable, Level, end

log = logging.getLogger("zkdiscovery.lifecycle")


class Inhabitant(Closable, Protocol):
    """What lives in a process."""

    def _forked(self) -> None:
        """In a forked child: nothing of the parent's is ours."""


_inhabitants: weakref.WeakSet[Inhabitant] = weakref.WeakSet()


def inhabit(client: Inhabitant) -> None:
    """Close `client` when the interpreter ends, and tell it of forks."""
    _inhabitants.add(client)


def _at_exit() -> None:
    clients = list(_inhabitants)
    with contextlib.suppress(KeyboardInterrupt):  # somebody loses patience
        try:
            end(clients, Level.CLOSED, process=True)
        except Exception:
            log.exception("ending a client failed; the others have ended")
        for client in clients:  # what other threads are ending
            client._ending.wait()


def _after_fork() -> None:
    for client in list(_inhabitants):
        client._forked()


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_after_fork)
