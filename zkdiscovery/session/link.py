"""kazoo, tamed: one KazooClient whose connection sends our requests and none of its own.

kazoo does the handshake, pings and framing. Ours are: the choice of a server, the limits and pauses of connecting
(servers.py), the queue (channel.py), answers, events, TLS, and what is logged. Everything here runs on kazoo's
connection thread unless it says otherwise; the owner's methods are called on it as well and must not block.
"""

from __future__ import annotations

import logging
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Protocol

from kazoo.client import KazooClient
from kazoo.handlers.threading import KazooTimeoutError, SequentialThreadingHandler
from kazoo.protocol.states import KeeperState

from zkdiscovery.errors import UnsupportedServer
from zkdiscovery.session.care import Care
from zkdiscovery.session.channel import Channel
from zkdiscovery.session.connection import CLOSE, Connection, Credentials
from zkdiscovery.session.options import LinkOptions
from zkdiscovery.session.requests import Request
from zkdiscovery.session.resolver import Resolver
from zkdiscovery.session.servers import Servers
from zkdiscovery.threads.start import start_thread
from zkdiscovery.validation import deadline_after

log = logging.getLogger("zkdiscovery.session")

_INTERRUPT = b"\0"
_WAKING = 0.5  # seconds that a thread takes at most to end once its socket is shut


class LinkOwner(Protocol):
    """Who wants to hear of the link."""

    resolver: Resolver
    highest_zxid: int
    authenticated: bool

    @property
    def timeout(self) -> float: ...

    def link_connected(self, link: Link, credentials: Credentials, timeout: float, server: str) -> None: ...

    def link_lost(self, link: Link) -> None: ...

    def link_expired(self, link: Link) -> None: ...

    def link_ended(self, link: Link, *, auth_failed: bool) -> None: ...

    def link_refused(self, link: Link) -> None: ...

    def link_unsupported(self, link: Link, error: UnsupportedServer) -> None: ...

    def link_answered(self, request: Request | None, sent: float) -> None: ...

    def link_event(self, kind: int, path: str) -> None: ...


class Link:
    """One KazooClient with its channel. Starts threads at `start()`; is used once."""

    def __init__(
        self,
        owner: LinkOwner,
        options: LinkOptions,
        credentials: Credentials | None = None,
        care: Care | None = None,
    ) -> None:
        self.owner = owner
        self.options = options
        self.channel = Channel(self.wake, care)
        self.server = ""  # host:port that we are connected to, or try
        self.ping_sent: float | None = None  # monotonic seconds; None: no ping under way
        self.greeted = 0.0  # seconds of the lease clock; before the latest handshake was sent
        self.drop_reason: str | None = None
        self.auth_failed = False
        self.problem = ""  # why the last attempt to connect failed
        self.servers = Servers(owner.resolver, lambda: owner.timeout, options.connect_timeout)
        if credentials is not None:
            self.servers.broke()
        self._kazoo = LinkClient(self, credentials)

    def start(self) -> None:
        """Begin to connect; returns at once (any thread).

        Raises:
            NoThreadAvailable: the system has no thread to give; the link is of no use any more.
        """
        try:
            self._kazoo.start_async()
        except BaseException:
            self._kazoo._connection.close()  # the pair of sockets that wakes the thread
            raise

    def begin_stop(self) -> None:
        """Ask the server to end the session, if connected, and let the thread end. Never blocks; idempotent."""
        kazoo = self._kazoo
        if not kazoo._stopped.is_set():
            # In this order: a thread that is about to be connected sees the mark, or we see its channel.
            kazoo._stopped.set()
            self.say_goodbye()
            self.wake()

    def stop(self, timeout: float) -> bool:
        """End the session at the server if connected, and the thread, within `timeout` seconds (any other thread).

        Returns:
            True if the thread has ended; a thread that still connects ends by itself.
        """
        end = deadline_after(timeout)
        kazoo = self._kazoo
        thread: threading.Thread | None = kazoo._connection._connection_routine
        if thread is None:
            return True
        self.begin_stop()
        if kazoo._session_id:
            thread.join(max(0.0, end - time.monotonic() - min(_WAKING, timeout / 4)))
        if thread.is_alive():
            self.drop("closing")  # wakes a thread that waits on its socket
            thread.join(min(_WAKING, max(0.1, end - time.monotonic())))
        return not thread.is_alive()

    def say_goodbye(self) -> None:
        """Ask the server to end the session, if connected (any thread)."""
        self.channel.submit(CLOSE, deadline=time.monotonic() + self.owner.timeout)

    def drop(self, reason: str) -> None:
        """Break the connection; kazoo reconnects by itself (any thread)."""
        sock = self._kazoo._connection._socket
        self.drop_reason = reason
        if sock is not None:
            try:
                # The method of the plain socket: SSLSocket.shutdown would pull the TLS state from under the reader.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:  # gone already, which is what was wanted
                log.debug("the socket to %s was gone already", self.server)

    def _ended(self) -> None:
        """The connection thread's last words."""
        self._kazoo._connection.close()
        self.owner.link_ended(self, auth_failed=self.auth_failed)

    def wake(self) -> None:
        """Something is to be sent (any thread)."""
        sock = self._kazoo._connection._write_sock
        if sock is None:
            return
        try:
            sock.send(_INTERRUPT)
        except BlockingIOError:  # full of wake-ups already: one is enough
            return
        except OSError:  # closed: whatever was queued is failed by the owner
            return


class _Quiet(logging.LoggerAdapter[logging.Logger]):
    """kazoo's words at DEBUG, except for errors. What kazoo logs at DEBUG and below is dropped: it holds passwords."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        if level >= logging.INFO:
            # Requests are named tuples; that of the handshake holds the session's password.
            args = tuple(type(arg).__name__ if isinstance(arg, tuple) else arg for arg in args)
            super().log(level if level >= logging.ERROR else logging.DEBUG, msg, *args, **kwargs)

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        return f"kazoo: {msg}", kwargs


class _Handler(SequentialThreadingHandler):  # type: ignore[misc]
    """Threads with names, `poll` in place of an epoll object a call, and connections by our limits."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link

    def start(self) -> None:
        """No worker threads: nothing is queued with kazoo, futures are completed on the connection thread."""

    def stop(self) -> None:
        """Nothing to stop."""

    def spawn(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> threading.Thread:
        def run() -> None:
            try:
                func(*args, **kwargs)
            except Exception:
                # kazoo's loop does not survive, say, an answer that makes no sense; the owner builds a new one.
                log.exception("the connection thread died; connecting anew")
            finally:
                self._link._ended()

        return start_thread(run, "zkdiscovery-connection")

    def create_socket_pair(self) -> tuple[socket.socket, socket.socket]:
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        return reader, writer

    def create_connection(self, address: tuple[str, int], hostname: str | None = None, **_: Any) -> socket.socket:
        servers, certificates = self._link.servers, self._link.options.certificates
        sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        if certificates is not None:
            sock = certificates.context().wrap_socket(sock, server_hostname=hostname, do_handshake_on_connect=False)
        # kazoo's from here on, so that drop() can end a connect that waits, and kazoo closes it whatever happens.
        self._link._kazoo._connection._socket = sock
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(servers.left())
        try:
            sock.connect(address)
            if isinstance(sock, ssl.SSLSocket):
                sock.settimeout(servers.left())
                sock.do_handshake()
        except TimeoutError as error:
            raise KazooTimeoutError("no answer in time") from error
        return sock

    def select(self, rlist: list[Any], wlist: list[Any], _xlist: list[Any], timeout: float | None = None) -> Any:
        link = self._link
        if timeout is not None and link.channel.is_open:  # kazoo may wait 0.4 s longer than a third of T
            timeout = min(timeout, link._kazoo._connection.written + link.owner.timeout / 3 - time.monotonic())
        return ready(rlist, wlist, timeout)


def ready(rlist: list[Any], wlist: list[Any], timeout: float | None) -> tuple[list[Any], list[Any], list[Any]]:
    """Wait for sockets as `select.select` does, with one system call, of however many files."""
    # What TLS has decrypted already, no poll would see.
    found = {sock.fileno() for sock in rlist if isinstance(sock, ssl.SSLSocket) and sock.pending()}
    poll = select.poll()
    for sock in rlist:
        poll.register(sock, select.POLLIN)
    for sock in wlist:
        poll.register(sock, select.POLLOUT)
    limit = 0.0 if found else None if timeout is None else max(0.0, timeout) * 1000.0
    found.update(fd for fd, _ in poll.poll(limit))
    return [s for s in rlist if s.fileno() in found], [s for s in wlist if s.fileno() in found], []


class LinkClient(KazooClient):  # type: ignore[misc]
    """KazooClient that tells the link of each change of state."""

    def __init__(self, link: Link, credentials: Credentials | None) -> None:
        options = link.options
        self._link = link
        logger = _Quiet(log)
        super().__init__(
            hosts=options.hosts,
            timeout=options.session_timeout,
            client_id=credentials,
            handler=_Handler(link),
            auth_data=options.auth_data,
            use_ssl=options.certificates is not None,
            logger=logger,
        )
        self._connection = Connection(self, self._conn_retry.copy(), logger=logger, sasl_options=options.sasl)

    def _session_callback(self, state: Any) -> None:
        before = self._state
        super()._session_callback(state)
        if state == before:
            return
        # CONNECTED is told by Connection._connect, after authentication; the end by the end of the thread, which
        # comes in states of all kinds.
        if state == KeeperState.CONNECTING:
            self._link.owner.link_lost(self._link)
        elif state == KeeperState.EXPIRED_SESSION:
            self._link.owner.link_expired(self._link)
        elif state == KeeperState.AUTH_FAILED:
            self._link.auth_failed = True
