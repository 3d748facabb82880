"""kazoo, tamed: one KazooClient whose connection sends our requests and none of its own.

kazoo does the handshake, the choice of a host, back-off, pings and framing. Ours are: the queue (channel.py),
answers, events, time limits of connecting, TLS, and what is logged. Everything here runs on kazoo's connection thread
unless it says otherwise; the owner's methods are called on it as well and must not block.
"""

from __future__ import annotations

import logging
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, MutableMapping
from typing import Any, NamedTuple, Protocol

from kazoo.client import KazooClient
from kazoo.exceptions import (
    AuthFailedError,
    ConnectionDropped,
    SASLException,
    SessionClosedRequireSaslError,
    SessionExpiredError,
)
from kazoo.handlers.threading import KazooTimeoutError, SequentialThreadingHandler
from kazoo.protocol import connection as kazoo_connection
from kazoo.protocol import serialization as wire
from kazoo.protocol.connection import ConnectionHandler
from kazoo.protocol.states import KeeperState

from zkdiscovery.errors import NotConnected, UnsupportedServer, ZkDiscoveryError
from zkdiscovery.model import deadline_after, join_host_port
from zkdiscovery.session.channel import Channel
from zkdiscovery.session.requests import MultiRead, Request, encode
from zkdiscovery.session.translate import describe, error_for_code, path_of

log = logging.getLogger("zkdiscovery.session")

BATCH = 200  # requests written with one system call
MAX_FRAME = 512 * 1024 * 1024  # bytes of one message; a longer one makes no sense
SASL_ROUNDS = 5  # answers to challenges; DIGEST-MD5 needs two
_SESSION_EXPIRED = -112
_UNIMPLEMENTED = -6
_AUTH_CODES = frozenset({-115, -124})  # the server refuses the credentials, or asks for some
_CHUNK = 1024 * 1024  # bytes read at once
_INTERRUPT = b"\0"


class Credentials(NamedTuple):
    """What identifies a session to a server; the password is a secret."""

    session_id: int
    password: bytes

    def __repr__(self) -> str:
        return f"Credentials(session_id=0x{self.session_id:x})"


class LinkOptions(NamedTuple):
    """How to connect; times in seconds."""

    hosts: str
    session_timeout: float
    connect_timeout: float
    context: ssl.SSLContext | None
    auth_data: list[tuple[str, str]]
    sasl: dict[str, str] | None

    def __repr__(self) -> str:
        return f"LinkOptions(hosts={self.hosts!r})"


class LinkOwner(Protocol):
    """Who wants to hear of the link."""

    highest_zxid: int
    authenticated: bool

    def link_connected(self, link: Link, credentials: Credentials, timeout: float, server: str) -> None: ...

    def link_lost(self, link: Link) -> None: ...

    def link_expired(self, link: Link) -> None: ...

    def link_ended(self, link: Link, *, auth_failed: bool) -> None: ...

    def link_refused(self, link: Link) -> None: ...

    def link_unsupported(self, link: Link, error: UnsupportedServer) -> None: ...

    def link_event(self, kind: int, path: str) -> None: ...


class Link:
    """One KazooClient with its channel. Starts threads at `start()`; is used once."""

    def __init__(self, owner: LinkOwner, options: LinkOptions, credentials: Credentials | None = None) -> None:
        self.owner = owner
        self.options = options
        self.channel = Channel(self._wake)
        self.server = ""  # host:port that we are connected to, or try
        self.ping_sent: float | None = None  # monotonic seconds; None: no ping under way
        self.drop_reason: str | None = None
        self.silences = 0  # attempts since the last success that were not answered in time
        self.auth_failed = False
        self.problem = ""  # why the last attempt to connect failed
        self._kazoo = _Client(self, credentials)

    def start(self) -> None:
        """Begin to connect; returns at once (any thread)."""
        self._kazoo.start_async()

    def stop(self, timeout: float) -> bool:
        """End the session at the server if connected, and the thread, within `timeout` seconds (any other thread).

        Returns:
            True if the thread has ended; a thread that still connects ends by itself.
        """
        kazoo = self._kazoo
        thread: threading.Thread | None = kazoo._connection._connection_routine
        if thread is None:
            return True
        end = deadline_after(timeout)
        # In this order: a thread that is about to be connected sees the mark, or we see its channel.
        kazoo._stopped.set()
        self._say_goodbye()
        self._wake()
        if kazoo._session_id:
            thread.join(max(0.0, end - time.monotonic()))
        if thread.is_alive():
            self.drop("closing")  # wakes a thread that waits on its socket
            thread.join(min(0.5, timeout + 0.1))
        return not thread.is_alive()

    def _say_goodbye(self) -> None:
        self.channel.submit(_CLOSE, deadline=time.monotonic() + self.options.session_timeout)

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

    def _wake(self) -> None:
        sock = self._kazoo._connection._write_sock
        if sock is None:
            return
        try:
            sock.send(_INTERRUPT)
        except BlockingIOError:  # full of wake-ups already: one is enough
            return
        except OSError:  # closed: whatever was queued is failed by the owner
            return

    def _attempt_limit(self) -> float:
        """Seconds for one connect and handshake: short at first, longer after each round in which no host answered.

        A dead host must not cost a session; a slow ensemble must still be reachable. A host that refuses at once costs
        nothing, and says nothing of how slow the next answer will be.
        """
        rounds = self.silences // len(self._kazoo.hosts)
        return min(
            self.options.connect_timeout * 2.0 ** min(rounds, 10),
            max(self.options.session_timeout, self.options.connect_timeout),
        )


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

        thread = threading.Thread(target=run, name="zkdiscovery-connection", daemon=True)
        thread.start()
        return thread

    def create_socket_pair(self) -> tuple[socket.socket, socket.socket]:
        reader, writer = socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        return reader, writer

    def create_connection(self, address: tuple[str, int], hostname: str | None = None, **_: Any) -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        if context := self._link.options.context:
            sock = context.wrap_socket(sock, server_hostname=hostname)
        # kazoo's from here on, so that drop() can end a connect that waits, and kazoo closes it whatever happens.
        self._link._kazoo._connection._socket = sock
        sock.settimeout(self._link._attempt_limit())
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            sock.connect(address)
        except TimeoutError as error:
            raise KazooTimeoutError(f"no answer within {sock.gettimeout():.1f} s") from error
        return sock

    def select(self, rlist: list[Any], wlist: list[Any], _xlist: list[Any], timeout: float | None = None) -> Any:
        # What TLS has decrypted already, no poll would see.
        ready = {sock.fileno() for sock in rlist if isinstance(sock, ssl.SSLSocket) and sock.pending()}
        poll = select.poll()
        for sock in rlist:
            poll.register(sock, select.POLLIN)
        for sock in wlist:
            poll.register(sock, select.POLLOUT)
        limit = 0.0 if ready else None if timeout is None else max(0.0, timeout) * 1000.0
        ready.update(fd for fd, _ in poll.poll(limit))
        return [s for s in rlist if s.fileno() in ready], [s for s in wlist if s.fileno() in ready], []


class _Client(KazooClient):  # type: ignore[misc]
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
            randomize_hosts=True,
            connection_retry={
                "max_tries": -1,
                "delay": 0.05,
                "backoff": 2,
                "max_jitter": 0.3,
                # A blip of 0.4 of the timeout must end no term, which has half of it left: back within a tenth.
                "max_delay": min(2.0, options.session_timeout / 20),
            },
            use_ssl=options.context is not None,
            logger=logger,
        )
        self._connection = _Connection(self, self._conn_retry.copy(), logger=logger, sasl_options=options.sasl)

    def _session_callback(self, state: Any) -> None:
        before = self._state
        super()._session_callback(state)
        if state == before:
            return
        # CONNECTED is told by _Connection._connect, after authentication; the end by the end of the thread, which
        # comes in states of all kinds.
        if state == KeeperState.CONNECTING:
            self._link.owner.link_lost(self._link)
        elif state == KeeperState.EXPIRED_SESSION:
            self._link.owner.link_expired(self._link)
        elif state == KeeperState.AUTH_FAILED:
            self._link.auth_failed = True


class _Connection(ConnectionHandler):  # type: ignore[misc]
    """The connection thread's work: our queue out, answers and events in."""

    client: _Client
    _written = 0.0  # monotonic seconds; when something was sent last

    @property
    def _link(self) -> Link:
        return self.client._link

    def _expand_client_hosts(self) -> list[tuple[str, str, int]]:
        found: list[tuple[str, str, int]] = super()._expand_client_hosts()
        if not found:
            self._link.problem = "no address is known for any host"
        return found

    def _connect(self, host: str, hostip: str, port: int) -> tuple[float, float]:
        link = self._link
        link.server = join_host_port(host, port)
        link.ping_sent = None
        # kazoo forgets it at expiry; a new session must not read older state from a server that lags.
        self.client.last_zxid = link.owner.highest_zxid
        known = self.client._session_id, self.client._session_passwd
        try:
            read_timeout, connect_timeout = super()._connect(host, hostip, port)
            self._probe()
        except (ConnectionDropped, KazooTimeoutError, AuthFailedError, SessionExpiredError) as error:
            link.problem = f"{link.server}: {error}"
            link.silences += isinstance(error, KazooTimeoutError)
            raise
        except Exception as error:
            # kazoo stumbles over an answer that makes no sense, and keeps what it took from it.
            self.client._session_id, self.client._session_passwd = known
            link.problem = f"{link.server} gives an answer that makes no sense: {error!r}"
            raise ConnectionDropped(link.problem) from error
        link.silences = 0
        link.drop_reason = None
        link.owner.authenticated = True
        negotiated = read_timeout * 1.5 / 1000.0  # kazoo keeps it in a local variable; read_timeout is two thirds of it
        credentials = Credentials(self.client._session_id, self.client._session_passwd)
        link.owner.link_connected(link, credentials, negotiated, link.server)
        if self.client._stopped.is_set():  # stop() came while we were connecting
            link._say_goodbye()
        return read_timeout, connect_timeout

    def _probe(self) -> None:
        """An empty bulk read: servers before 3.6 answer Unimplemented, and one that asks for SASL says so only now.

        Both close the connection.
        """
        self._xid = 1
        self._submit(MultiRead(()), self._link._attempt_limit(), self._xid)
        header, _, _ = self._read_header(self._link._attempt_limit())
        if header.err in _AUTH_CODES:
            raise AuthFailedError
        if header.err == _UNIMPLEMENTED:
            server = self._link.server
            self._link.owner.link_unsupported(
                self._link,
                UnsupportedServer(f"the ZooKeeper server {server} is older than 3.6; upgrade it", server=server),
            )
            raise ConnectionDropped(f"{server} is older than ZooKeeper 3.6")

    def _invoke(self, timeout: float, request: Any, xid: int | None = None) -> Any:
        try:
            return super()._invoke(min(timeout, self._link._attempt_limit()), request, xid)
        except ConnectionDropped:
            if xid is None:  # accepted, then hung up on: the server does not serve, or we have seen newer transactions
                self._link.owner.link_refused(self._link)
            raise

    def _authenticate_with_sasl(self, host: str, timeout: float) -> None:
        self._sasl_rounds = 0
        try:
            super()._authenticate_with_sasl(host, min(timeout, self._link._attempt_limit()))
        except AuthFailedError as error:
            if isinstance(error.__cause__, ConnectionDropped):  # says nothing: a server that refuses answers so
                raise error.__cause__ from None
            raise
        except (SASLException, SessionClosedRequireSaslError) as error:
            raise AuthFailedError from error

    def _submit(self, request: Any, timeout: float, xid: int | None = None) -> None:
        if isinstance(request, wire.SASL):
            self._sasl_rounds += 1
            if self._sasl_rounds > SASL_ROUNDS:  # a server without SASL answers with empty challenges for ever
                raise AuthFailedError
        # kazoo's own would log the request, passwords included.
        body = b"" if xid is None else wire.int_struct.pack(xid)
        body += encode(request) if request.type else request.serialize()
        self._write(wire.int_struct.pack(len(body)) + body, timeout)

    def _send_ping(self, connect_timeout: float) -> None:
        if self._link.ping_sent is None:  # or else the one before is not answered yet
            self._link.ping_sent = time.monotonic()
        super()._send_ping(connect_timeout)
        # kazoo would drop a link whose ping is unanswered for a little less than the watchdog waits.
        self.ping_outstanding.clear()

    def _send_request(self, _read_timeout: float, connect_timeout: float) -> None:
        try:
            # Wake-ups first, queue second: what is queued after this line brings its own wake-up.
            self._read_sock.recv(65536)
        except BlockingIOError:
            log.debug("woken for nothing")
        channel = self._link.channel
        frames = bytearray()
        for entry in channel.take(BATCH):
            self._xid = entry.xid = (self._xid % 2147483647) + 1
            frames += wire.int_struct.pack(len(entry.body) + 4) + wire.int_struct.pack(entry.xid) + entry.body
        self._write(frames, connect_timeout)
        if channel.waiting():  # answers first, then the rest
            self._link._wake()

    def _read(self, length: int, timeout: float) -> bytes:
        """As kazoo's, but a message that comes slowly is contact: it keeps the link, and pings keep the session."""
        if not 0 <= length <= MAX_FRAME:
            raise ConnectionDropped(f"{self._link.server} sends a message of {length} bytes; is it a ZooKeeper?")
        channel = self._link.channel
        serves = channel.is_open
        parts: list[bytes] = []
        given_up = time.monotonic() + timeout
        with self._socket_error_handling():
            while length:
                # Outside the handshake, `timeout` is two thirds of the session timeout, and leases rest on it that we
                # are never silent for more than one third.
                ping_due = self._written + timeout / 2 if serves else given_up
                left = min(given_up, ping_due) - time.monotonic()
                if not self.handler.select([self._socket], [], [], left)[0]:
                    if time.monotonic() >= given_up:
                        raise KazooTimeoutError("no answer in time")
                    self._send_ping(timeout)
                    continue
                try:
                    part = self._socket.recv(min(length, _CHUNK))
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    pass  # a part of a TLS record
                else:
                    if not part:
                        raise ConnectionDropped("the server closed the connection")
                    parts.append(part)
                    length -= len(part)
                if length and serves:  # in the handshake the limit is one for the whole message
                    now = channel.last_answer = time.monotonic()
                    given_up = now + timeout
                    if now >= ping_due:
                        self._send_ping(timeout)
        return b"".join(parts)

    def _write(self, msg: bytes | bytearray, timeout: float) -> None:
        self._written = time.monotonic()
        super()._write(msg, timeout)

    def _read_header(self, timeout: float) -> Any:
        link = self._link
        try:
            header, buffer, offset = super()._read_header(timeout)
        except struct.error as error:
            raise ConnectionDropped(f"{link.server} sends a message that is too short") from error
        if header.xid == kazoo_connection.AUTH_XID and link.channel.is_open:
            raise ConnectionDropped(f"{link.server} answers to credentials that nobody has sent")
        if header.xid != kazoo_connection.WATCH_XID:  # an event proves one direction only
            link.channel.last_answer = time.monotonic()
        if header.xid == kazoo_connection.PING_XID:
            link.ping_sent = None
        link.owner.highest_zxid = max(link.owner.highest_zxid, header.zxid)
        return header, buffer, offset

    def _read_response(self, header: Any, buffer: bytes, offset: int) -> Any:
        entry = self._link.channel.answered(header.xid)
        if entry is None:  # whoever waits for it hears of the end of the connection
            raise ConnectionDropped(f"an answer to request {header.xid} came out of turn")
        request = entry.request
        if header.err:
            entry.future.set_exception(error_for_code(header.err, request, self._link.server))
            if header.err == _SESSION_EXPIRED:
                raise SessionExpiredError
        else:
            try:
                result = request.deserialize(buffer, offset)
            except ZkDiscoveryError as error:
                entry.future.set_exception(error)
            except Exception as error:  # as good as lost, and so is the link
                server = self._link.server
                failure = NotConnected(
                    f"{describe(request)}: the answer of {server} can't be read; it may have been executed",
                    path=path_of(request), server=server, outcome_unknown=True,
                )  # fmt: skip
                entry.future.set_exception(failure)
                raise ConnectionDropped(f"{server} sends an answer that can't be read: {error}") from error
            else:
                entry.future.set_result(result)
        return kazoo_connection.CLOSE_RESPONSE if request is _CLOSE else None

    def _read_watch_event(self, buffer: bytes, offset: int) -> None:
        try:
            event, _ = wire.Watch.deserialize(buffer, offset)
        except (struct.error, UnicodeDecodeError) as error:
            raise ConnectionDropped(f"{self._link.server} sends an event that can't be read") from error
        self._link.owner.link_event(event.type, event.path or "/")


class _CloseSession:
    """Ends the session at the server, its ephemerals with it."""

    type = wire.Close.type

    def serialize(self) -> bytes:
        return b""

    def deserialize(self, _buffer: bytes, _offset: int) -> None:
        return None


_CLOSE: Request = _CloseSession()
