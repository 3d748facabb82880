"""The state that the parts of one link share, and the receivers of its events."""

from __future__ import annotations

import logging
import socket
import threading
import time
from typing import NamedTuple, Protocol

from zkdiscovery.errors import NotConnected, UnsupportedServer, ZkDiscoveryError
from zkdiscovery.session.care import Care
from zkdiscovery.session.requests import CLOSE_SESSION, Request
from zkdiscovery.session.resolver import Resolver
from zkdiscovery.session.translate import describe, path_of
from zkdiscovery.session.transport.channel import Channel
from zkdiscovery.session.transport.options import LinkOptions
from zkdiscovery.session.transport.servers import Servers

log = logging.getLogger("zkdiscovery.session")


class Credentials(NamedTuple):
    """The identity of a session for a server; the password is a secret."""

    session_id: int
    password: bytes

    def __repr__(self) -> str:
        return f"Credentials(session_id=0x{self.session_id:x})"


class LinkSession(Protocol):
    """The part of a session that a link reads and writes."""

    timeout: float  # seconds
    highest_zxid: int
    authenticated: bool
    left_to_expire: bool


class LinkOwner(Protocol):
    """The receiver of a link's events. Its methods run on the connection thread and must not block."""

    @property
    def session(self) -> LinkSession: ...

    def link_connected(self, link: LinkState, credentials: Credentials, timeout: float, server: str) -> None: ...

    def link_lost(self, link: LinkState) -> None: ...

    def link_expired(self, link: LinkState) -> None: ...

    def link_ended(self, link: LinkState) -> None: ...

    def link_refused(self, link: LinkState) -> None: ...

    def link_unsupported(self, link: LinkState, error: UnsupportedServer) -> None: ...

    def link_answered(self, request: Request | None, sent: float, /) -> None: ...

    def link_event(self, kind: int, path: str, /) -> None: ...


class LinkState:
    """The state of one link.

    The connection thread writes the attributes, and `drop` writes `drop_reason`. Any thread may read them.

    Attributes:
        server: `host:port` of the server that the link is connected to, or tries.
        problem: why the last attempt to connect failed.
        drop_reason: why `drop` broke the connection; None if it did not.
        auth_failed: True if a server refused the credentials.
        greeted: seconds of the lease clock, read before the latest handshake was sent.
        written: monotonic seconds at which something was sent last.
        ping_sent: monotonic seconds at which the oldest unanswered ping was sent; None if there is none.
        socket: the connection to the server, or the latest one.
        waker: wakes the connection thread by a byte; None before the start.
        thread: the connection thread; None before the start.
    """

    def __init__(self, owner: LinkOwner, options: LinkOptions, resolver: Resolver, care: Care) -> None:
        self.owner = owner
        self.session = session = owner.session
        self.options = options
        self.channel = Channel(self.wake, care)
        self.servers = Servers(resolver, lambda: session.timeout, options.connect_timeout)
        self.server = ""
        self.problem = ""
        self.drop_reason: str | None = None
        self.auth_failed = False
        self.greeted = 0.0
        self.written = 0.0
        self.ping_sent: float | None = None
        self.socket: socket.socket | None = None
        self.waker: socket.socket | None = None
        self.thread: threading.Thread | None = None

    def wake(self) -> None:
        """Have the connection thread send what is queued (any thread)."""
        if self.waker is not None:
            try:
                self.waker.send(b"\0")
            except OSError:  # full: one byte is enough. Or closed: the owner fails what is queued.
                return

    def drop(self, reason: str) -> None:
        """Break the connection; the link reconnects (any thread)."""
        self.drop_reason = reason
        if self.socket is not None:
            try:
                # The method of the plain socket: SSLSocket.shutdown would pull the TLS state from under the reader.
                socket.socket.shutdown(self.socket, socket.SHUT_RDWR)
            except OSError:  # closed already
                log.debug("the socket to %s was closed already", self.server)

    def end_session(self) -> None:
        """Ask the server to end the session, if connected and not left to expire (any thread)."""
        if self.session.left_to_expire:
            self.drop("closing")
            return
        self.channel.submit(CLOSE_SESSION, deadline=time.monotonic() + self.session.timeout)

    def fail_outstanding(self, cls: type[ZkDiscoveryError] = NotConnected) -> None:
        """Fail every request that has no answer, because the connection is gone."""
        server = self.server

        def error(request: Request, sent: bool) -> ZkDiscoveryError:
            state = "it may have been executed" if sent else "it was not sent"
            return cls(
                f"{describe(request)}: the connection to {server} broke before the answer; {state}",
                path=path_of(request),
                server=server,
                outcome_unknown=sent,
            )

        self.channel.close(error)
