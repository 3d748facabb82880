"""The links of a session, one at a time: starts them, and turns their events into changes of the session's status."""

from __future__ import annotations

import logging
from collections.abc import Callable

from zkdiscovery.errors import AuthenticationFailed, SessionExpired, UnsupportedServer
from zkdiscovery.session.care import Care
from zkdiscovery.session.lease import Leases
from zkdiscovery.session.requests import Request
from zkdiscovery.session.resolver import Resolver
from zkdiscovery.session.states import State
from zkdiscovery.session.status import SessionStatus
from zkdiscovery.session.transport.link import Link
from zkdiscovery.session.transport.link_state import Credentials, LinkState
from zkdiscovery.session.transport.options import LinkOptions
from zkdiscovery.session.watchdog import Watchdog
from zkdiscovery.session.watches import TreeWatches
from zkdiscovery.threads.worker import Worker

log = logging.getLogger("zkdiscovery.session")

REBUILD_DELAYS = (0.2, 0.5, 1.0, 2.0, 5.0)  # seconds


class Links:
    """Has a link for as long as the session is not closed. Its `link_...` methods run on the connection thread.

    kazoo's loop reconnects by itself, with the same session or a new one. When its thread ends, a new link is made on
    the maintenance thread, unless that can't help.
    """

    def __init__(
        self,
        session: SessionStatus,
        options: LinkOptions,
        resolver: Resolver,
        care: Care,
        maintenance: Worker,
        watchdog: Watchdog,
        leases: Leases,
        watches: TreeWatches,
    ) -> None:
        self.session = session
        # Attributes, because each answer and each event would pay for one more call.
        self.link_answered: Callable[[Request | None, float], None] = leases.answered
        self.link_event: Callable[[int, str], None] = watches.dispatch
        self._leases = leases
        self._options = options
        self._resolver = resolver
        self._care = care
        self._maintenance = maintenance
        self._watchdog = watchdog
        self._rebuilds = 0

    def start(self) -> None:
        """Make the first link, unless there is one (any thread).

        Raises:
            NoThreadAvailable: the system has no thread to give; nothing was begun.
        """
        if self.session.replace_link(None, self._make):
            self._watchdog.disconnected()

    def link_connected(self, link: LinkState, credentials: Credentials, timeout: float, server: str) -> None:
        """A connection stands and is authenticated: open it for requests, and tell everybody."""
        session = self.session
        if link is not session.link:
            return
        generation = session.connected(credentials, timeout)
        self._rebuilds = 0
        self._leases.connected(link.greeted, timeout)
        link.channel.open(generation)
        log.info("connected to %s, session 0x%x, timeout %.1f s", server, credentials.session_id, timeout)
        session.move(State.CONNECTED)
        self._watchdog.connected()

    def link_lost(self, link: LinkState) -> None:
        """The connection broke, and kazoo tries to come back: fail what is outstanding."""
        session = self.session
        if link is session.link:
            reason = link.drop_reason or "the connection broke"
            if session.state is State.CONNECTED and not session.closing.is_set():
                log.warning("lost contact with %s: %s; reconnecting", link.server, reason)
            link.fail_outstanding()
            session.move(State.SUSPENDED)
            self._watchdog.disconnected()

    def link_expired(self, link: LinkState) -> None:
        """The server ended the session, and kazoo asks for a new one: fail what is outstanding."""
        if link is self.session.link:
            log.warning("the session 0x%x has expired; a new one follows", self.session.session_id)
            link.fail_outstanding(SessionExpired)
            self.session.move(State.EXPIRED)

    def link_refused(self, link: LinkState) -> None:
        """A server closed our handshake: have the watchdog find out whether the servers lost data."""
        if link is self.session.link and self.session.highest_zxid:
            self._watchdog.refused()

    def link_unsupported(self, link: LinkState, error: UnsupportedServer) -> None:
        """A server is too old: note it. Connecting goes on, because another one of the ensemble may be newer."""
        if link is self.session.link:
            self.session.fail(error, final=True)

    def link_ended(self, link: LinkState) -> None:
        """The link's thread ends: make a new link a little later, unless that can't help."""
        session = self.session
        if link is not session.link or session.closing.is_set():
            return
        link.fail_outstanding()
        session.move(State.SUSPENDED)
        if link.auth_failed:
            refused = "refuses the credentials" if self._options.has_credentials else "asks for credentials"
            error = AuthenticationFailed(
                f"{link.server} {refused}; check Settings.auth and the server's configuration", server=link.server
            )
            final = not session.authenticated
            session.fail(error, final=final)
            if final:
                return
        delay = REBUILD_DELAYS[min(self._rebuilds, len(REBUILD_DELAYS) - 1)]
        self._rebuilds += 1
        self._maintenance.schedule(self._rebuild, self._rebuild, delay)

    def _make(self) -> Link:
        return Link(self, self._options, self._resolver, self._care, self.session.credentials)

    def _rebuild(self) -> None:
        try:
            self.session.replace_link(self.session.link, self._make)
        except (OSError, RuntimeError):  # the system has no file descriptor or no thread to give
            log.exception("can't connect anew, trying again")
            self._maintenance.schedule(self._rebuild, self._rebuild, REBUILD_DELAYS[-1])
