"""One link to the ensemble: connects to one server after another until it is stopped.

Ours are: the choice of a server and the limits and pauses of connecting (servers.py), the queue (channel.py), answers,
events, TLS, and what is logged.
"""

from __future__ import annotations

import time

from zkdiscovery.session.care import Care
from zkdiscovery.session.resolver import Resolver
from zkdiscovery.session.transport.kazoo_client import LinkClient
from zkdiscovery.session.transport.link_state import Credentials, LinkOwner, LinkState
from zkdiscovery.session.transport.options import LinkOptions
from zkdiscovery.validation import deadline_after

_WAKING = 0.5  # seconds that a thread takes at most to end once its socket is shut


class Link(LinkState):
    """A link that can be started and stopped once. `start()` starts its thread."""

    def __init__(
        self,
        owner: LinkOwner,
        options: LinkOptions,
        resolver: Resolver,
        care: Care,
        credentials: Credentials | None = None,
    ) -> None:
        super().__init__(owner, options, resolver, care)
        if credentials is not None:
            self.servers.broke()
        self._kazoo = LinkClient(self, credentials)

    def start(self) -> None:
        """Begin to connect; returns at once (any thread).

        Raises:
            NoThreadAvailable: the system has no thread to give; the link can't be used any more.
        """
        self._kazoo.connect()

    def begin_stop(self) -> None:
        """Ask the server to end the session, if connected, and let the thread end. Never blocks; idempotent."""
        stopped = self._kazoo.stopped
        if not stopped.is_set():
            # In this order: a thread that is about to be connected sees the mark, or we see its channel.
            stopped.set()
            self.end_session()
            self.wake()

    def stop(self, timeout: float) -> bool:
        """End the session at the server if connected, and the thread, within `timeout` seconds (any other thread).

        Returns:
            True if the thread has ended; a thread that still connects ends by itself.
        """
        end = deadline_after(timeout)
        thread = self.thread
        if thread is None:
            return True
        self.begin_stop()
        if self._kazoo.known_session[0]:
            thread.join(max(0.0, end - time.monotonic() - min(_WAKING, timeout / 4)))
        if thread.is_alive():
            self.drop("closing")  # wakes a thread that waits on its socket
            thread.join(min(_WAKING, max(0.1, end - time.monotonic())))
        return not thread.is_alive()
