"""kazoo's client, adapted: it sends our requests and none of its own, connects by our limits, and logs no secrets.

Everything here runs on the connection thread unless it says otherwise.
"""

from __future__ import annotations

import logging
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, MutableMapping
from typing import Any

from kazoo.handlers.threading import KazooTimeoutError, SequentialThreadingHandler
from kazoo.protocol.states import KeeperState

from zkdiscovery.session.transport.connection import Connection, SessionClient
from zkdiscovery.session.transport.link_state import Credentials, LinkState
from zkdiscovery.threads.start import start_thread

log = logging.getLogger("zkdiscovery.session")


class QuietLogger(logging.LoggerAdapter[logging.Logger]):
    """Logs what kazoo says at DEBUG, and its errors as errors. What kazoo logs at DEBUG or below holds passwords and is
    dropped.
    """

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        if level >= logging.INFO:
            # Requests are named tuples; that of the handshake holds the session's password.
            args = tuple(type(arg).__name__ if isinstance(arg, tuple) else arg for arg in args)
            super().log(level if level >= logging.ERROR else logging.DEBUG, msg, *args, **kwargs)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        return f"kazoo: {msg}", kwargs


class Handler(SequentialThreadingHandler):  # type: ignore[misc]
    """Gives kazoo a named thread, one `poll` for each wait, and connections within our limits."""

    def __init__(self, link: LinkState) -> None:
        super().__init__()
        self._link = link

    def start(self) -> None:
        """Start no worker threads: nothing is queued with kazoo. The connection thread completes futures."""

    def stop(self) -> None:
        """Do nothing: there are no worker threads."""

    def spawn(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> threading.Thread:
        def run() -> None:
            try:
                func(*args, **kwargs)
            except Exception:
                # kazoo's loop ends at whatever it does not expect; the owner builds a new link.
                log.exception("the connection thread died; connecting anew")
            finally:
                self._link.owner.link_ended(self._link)

        self._link.thread = start_thread(run, "zkdiscovery-connection")
        return self._link.thread

    def create_socket_pair(self) -> tuple[socket.socket, socket.socket]:
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        self._link.waker = writer
        return reader, writer

    def create_connection(self, address: tuple[str, int], hostname: str | None = None, **_: Any) -> socket.socket:
        servers, context = self._link.servers, self._link.options.context
        sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        if context is not None:
            sock = context.wrap_socket(sock, server_hostname=hostname, do_handshake_on_connect=False)
        self._link.socket = sock  # from here on drop() ends a connect that waits
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(servers.left())
            sock.connect(address)
            if isinstance(sock, ssl.SSLSocket):
                sock.settimeout(servers.left())
                sock.do_handshake()
        except BaseException as error:
            sock.close()  # kazoo closes those that it has got
            if isinstance(error, TimeoutError):
                raise KazooTimeoutError("no answer in time") from error
            raise
        return sock

    def select(self, rlist: list[Any], wlist: list[Any], _xlist: list[Any], timeout: float | None = None) -> Any:
        link = self._link
        if timeout is not None and link.channel.is_open:  # kazoo may wait 0.4 s longer than a third of T
            timeout = min(timeout, link.written + link.session.timeout / 3 - time.monotonic())
        return ready(rlist, wlist, timeout)


def ready(rlist: list[Any], wlist: list[Any], timeout: float | None) -> tuple[list[Any], list[Any], list[Any]]:
    """Wait for sockets as `select.select` does, with one system call, however high their numbers are."""
    # A poll does not see what TLS has decrypted already.
    found = {sock.fileno() for sock in rlist if isinstance(sock, ssl.SSLSocket) and sock.pending()}
    poll = select.poll()
    for sock in rlist:
        poll.register(sock, select.POLLIN)
    for sock in wlist:
        poll.register(sock, select.POLLOUT)
    limit = 0.0 if found else None if timeout is None else max(0.0, timeout) * 1000.0
    found.update(fd for fd, _ in poll.poll(limit))
    return [s for s in rlist if s.fileno() in found], [s for s in wlist if s.fileno() in found], []


class LinkClient(SessionClient):
    """kazoo's client with our connection, which tells the owner of the link of each change of state."""

    def __init__(self, link: LinkState, credentials: Credentials | None) -> None:
        options = link.options
        self._link = link
        logger = QuietLogger(log)
        super().__init__(
            hosts=options.hosts,
            timeout=options.session_timeout,
            client_id=credentials,
            handler=Handler(link),
            auth_data=options.auth_data,
            use_ssl=options.certificates is not None,
            logger=logger,
        )
        self._connection = Connection(self, link, self._conn_retry.copy(), logger=logger, sasl_options=options.sasl)

    def connect(self) -> None:
        """Start the connection thread; returns at once (any thread)."""
        try:
            self.start_async()
        except BaseException:
            self._connection.close()  # the pair of sockets that wakes the thread
            raise

    def _session_callback(self, state: Any) -> None:
        before = self._state
        super()._session_callback(state)
        if state == before:
            return
        # Connection._connect tells of CONNECTED, after authentication. The end of the thread tells of the end: it comes
        # in any state.
        if state == KeeperState.CONNECTING:
            self._link.owner.link_lost(self._link)
        elif state == KeeperState.EXPIRED_SESSION:
            self._link.owner.link_expired(self._link)
        elif state == KeeperState.AUTH_FAILED:
            self._link.auth_failed = True
