"""The loop of the connection thread: kazoo's, with our own sending, reading and checks of what comes.

Everything here runs on that thread.
"""

from __future__ import annotations

import logging
import ssl
import struct
import threading
import time
from collections import deque
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import (
    AuthFailedError,
    ConnectionDropped,
    SASLException,
    SessionClosedRequireSaslError,
    SessionExpiredError,
)
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.protocol import connection as kazoo_connection
from kazoo.protocol import serialization as wire
from kazoo.protocol.connection import STOP_CONNECTING, ConnectionHandler

from zkdiscovery.errors import NotConnected, UnsupportedServer, ZkDiscoveryError
from zkdiscovery.session.clock import lease_now
from zkdiscovery.session.requests import CLOSE_SESSION, Echo, encode
from zkdiscovery.session.resolver import PAUSE, Address
from zkdiscovery.session.translate import describe, error_for_code, path_of
from zkdiscovery.session.transport.link_state import Credentials, LinkState
from zkdiscovery.validation import join_host_port

log = logging.getLogger("zkdiscovery.session")

BATCH = 200  # requests written with one system call
MAX_FRAME = 512 * 1024 * 1024  # bytes of one message; a longer one makes no sense
SASL_ROUNDS = 5  # answers to challenges; DIGEST-MD5 needs two
_SESSION_EXPIRED = -112
_UNIMPLEMENTED = -6
_AUTH_CODES = frozenset({-115, -124})  # the server refuses the credentials, or asks for some
_CHUNK = 1024 * 1024  # bytes read at once, at most
_AHEAD = 64 * 1024  # bytes read at once, if they have come; requests are sent after all of them are handled
_PING_ANSWER = 20  # bytes
_PROBE, _PROBE_XID = Echo(), 1
_EVENT = wire.int_struct.pack(kazoo_connection.WATCH_XID)  # begins a message that proves one direction only


class SessionClient(KazooClient):  # type: ignore[misc]
    """kazoo's client, with public names for what we use of it."""

    @property
    def stopped(self) -> threading.Event:
        """Is set while the client does not run."""
        event: threading.Event = self._stopped
        return event

    @property
    def known_session(self) -> tuple[int | None, bytes]:
        """Id and password of the session, which the next handshake sends; the id is None or 0 if there is none."""
        return self._session_id, self._session_passwd

    @known_session.setter
    def known_session(self, known: tuple[int | None, bytes]) -> None:
        self._session_id, self._session_passwd = known


class Connection(ConnectionHandler):  # type: ignore[misc]
    """Sends what is queued, and reads answers and events."""

    client: SessionClient
    _came: bytearray  # bytes that were read from the socket and are not handled yet
    _stood = False  # True once the present attempt has led to a connection
    _probes_along = False  # True if the probe is sent together with the handshake

    def __init__(self, client: SessionClient, link: LinkState, *args: Any, **kwargs: Any) -> None:
        super().__init__(client, *args, **kwargs)
        self._link = link
        self._pings: deque[float] = deque()  # when the unanswered ones were sent, on the lease clock; answered in order

    def zk_loop(self) -> None:
        """Run kazoo's loop, then close the pair of sockets that wakes this thread."""
        try:
            super().zk_loop()
        finally:
            self.close()

    def _connect_loop(self, retry: Any) -> Any:
        """Try servers until the client is stopped, or refused for good.

        kazoo's own resolves names on this thread, and counts and pauses by its own rules.
        """
        link = self._link
        servers, stopped = link.servers, self.client.stopped
        while not stopped.is_set():
            for address in servers.round():
                self._stood = False
                if stopped.is_set() or self._connect_attempt(*address, retry) is STOP_CONNECTING:
                    return STOP_CONNECTING
                if self._stood:  # and has broken now
                    servers.broke(address, silent=link.drop_reason is not None)
                    break
            else:
                servers.resolver.refresh()
                if not servers.resolver.addresses():
                    link.problem = servers.resolver.problem() or "no address is known for any host yet"
                    servers.resolver.wait(PAUSE)
            stopped.wait(servers.pause())
        return STOP_CONNECTING

    def _connect(self, host: str, hostip: str, port: int) -> tuple[float, float]:
        link, servers, address = self._link, self._link.servers, Address(host, hostip, port)
        link.server = join_host_port(host, port)
        link.ping_sent = None
        self._pings.clear()
        self._came = bytearray()
        # kazoo forgets it at expiry; a new session must not read older state from a server that lags.
        self.client.last_zxid = link.session.highest_zxid
        known = self.client.known_session
        has_session = bool(known[0])
        # A server reads no further until the session stands, so sending the probe along saves a round trip. Not with a
        # session that may have expired: the server says so and closes, and a reset because of unread bytes could
        # destroy its answer.
        self._probes_along = not (has_session or self.client.auth_data or self.sasl_options)
        servers.begin(session=has_session)
        try:
            read_timeout, _ = super()._connect(host, hostip, port)
            self._probe()
        except (ConnectionDropped, KazooTimeoutError, AuthFailedError, SessionExpiredError) as error:
            link.problem = f"{address}: {error}"
            if isinstance(error, KazooTimeoutError):
                servers.silent(address)
            else:
                servers.answered(address)
            raise
        except Exception as error:
            # kazoo fails on an answer that makes no sense, and keeps what it took from it.
            self.client.known_session = known
            link.problem = f"{address} gives an answer that makes no sense: {error!r}"
            servers.answered(address)
            raise ConnectionDropped(link.problem) from error
        servers.connected(address)
        self._stood = True
        link.drop_reason = None
        link.session.authenticated = True
        negotiated = read_timeout * 1.5 / 1000.0  # kazoo keeps it in a local variable; read_timeout is two thirds of it
        session_id, password = self.client.known_session
        link.owner.link_connected(link, Credentials(session_id or 0, password), negotiated, str(address))
        if self.client.stopped.is_set():  # Link.begin_stop() came before the channel was open
            link.end_session()
        return read_timeout, read_timeout / 2  # kazoo's limit for a write depends on the number of hosts

    def _probe(self) -> None:
        """Send an empty bulk read. Servers before 3.6 answer Unimplemented; one that asks for SASL says so only now.

        Both close the connection.
        """
        self._xid = _PROBE_XID
        if not self._probes_along:
            self._submit(_PROBE, self._link.servers.left(), _PROBE_XID)
        header, _, _ = self._read_header(self._link.servers.left())
        if header.err in _AUTH_CODES:
            raise AuthFailedError
        if header.err == _UNIMPLEMENTED:
            server = self._link.server
            self._link.owner.link_unsupported(
                self._link,
                UnsupportedServer(f"the ZooKeeper server {server} is older than 3.6; upgrade it", server=server),
            )
            raise ConnectionDropped("the server is older than ZooKeeper 3.6")

    def _invoke(self, _timeout: float, request: Any, xid: int | None = None) -> Any:
        try:
            return super()._invoke(self._link.servers.left(), request, xid)
        except ConnectionDropped:
            if xid is None:  # accepted, then closed: the server does not serve, or we have seen newer transactions
                self._link.owner.link_refused(self._link)
            raise

    def _authenticate_with_sasl(self, host: str, _timeout: float) -> None:
        self._sasl_rounds = 0
        try:
            super()._authenticate_with_sasl(host, self._link.servers.left())
        except AuthFailedError as error:
            if isinstance(error.__cause__, ConnectionDropped):  # no refusal: a server that refuses answers first
                raise error.__cause__ from None
            raise
        except (SASLException, SessionClosedRequireSaslError) as error:
            raise AuthFailedError from error

    def _submit(self, request: Any, timeout: float, xid: int | None = None) -> None:
        if isinstance(request, wire.SASL):
            self._sasl_rounds += 1
            if self._sasl_rounds > SASL_ROUNDS:  # a server without SASL answers with empty challenges, without end
                raise AuthFailedError
        # kazoo's own would log the request, passwords included.
        message = _message(request, xid)
        if isinstance(request, wire.Connect):
            self._link.greeted = lease_now()
            if self._probes_along:
                message += _message(_PROBE, _PROBE_XID)
        self._write(message, timeout)

    def _send_ping(self, connect_timeout: float) -> None:
        if self._link.ping_sent is None:  # otherwise the one before has no answer yet
            self._link.ping_sent = time.monotonic()
        self._pings.append(lease_now())
        super()._send_ping(connect_timeout)
        # kazoo would drop a link whose ping is unanswered, a little before the watchdog does.
        self.ping_outstanding.clear()

    def _send_request(self, _read_timeout: float, connect_timeout: float) -> None:
        try:
            # Wake-ups first, queue second: whatever is queued after this line brings its own wake-up.
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
            self._link.wake()

    def _read_socket(self, read_timeout: float) -> Any:
        """Handle all messages that have come whole.

        kazoo reads one, with two polls and two more system calls for each. At most the beginning of a message is left
        in the buffer, so a poll of the socket tells when the rest comes.
        """
        while True:
            response = super()._read_socket(read_timeout)
            came = self._came
            if response or len(came) < 4 or len(came) < 4 + wire.int_struct.unpack_from(came)[0]:
                return response

    def _read(self, length: int, timeout: float) -> bytes:
        """Read `length` bytes, through the buffer."""
        if not 0 <= length <= MAX_FRAME:
            raise ConnectionDropped(f"the server sends a message of {length} bytes; is it a ZooKeeper?")
        came = self._came
        if len(came) < length:
            with self._socket_error_handling():
                self._fill(came, length, timeout)
        part = bytes(came[:length])
        del came[:length]
        return part

    def _fill(self, came: bytearray, length: int, timeout: float) -> None:
        """Read until `length` bytes are in the buffer.

        A message that comes slowly counts as contact: the link stays, and pings keep the session. It does not count if
        it grows by no more than the answers to these pings: then its length is nonsense, and it swallows them.
        """
        channel = self._link.channel
        serves = channel.is_open  # in the handshake nothing is read ahead
        if not serves:  # the limit is one for the whole attempt, however many messages and parts of them it reads
            timeout = min(timeout, self._link.servers.left())
        given_up = time.monotonic() + timeout
        news = bool(came)  # something has come just now; perhaps a part of a TLS record
        grown = pings = 0  # bytes that came and pings that were sent since the latest contact
        while True:
            part = self._received(max(length - len(came), _AHEAD if serves else 0))
            came += part
            if len(came) >= length:
                return
            now = time.monotonic()
            news = news or bool(part)
            grown += len(part)
            grows = not part or grown > pings * _PING_ANSWER
            if serves and news and grows and not (came and _EVENT.startswith(bytes(came[:4]))):
                channel.last_answer = now
                given_up = now + timeout
                grown = pings = 0
            if not news and now >= given_up:
                raise KazooTimeoutError("no answer in time")
            # Outside the handshake, `timeout` is two thirds of the session timeout.
            ping_due = self._link.written + timeout / 2 if serves else given_up
            if serves and now >= ping_due:
                self._send_ping(timeout)
                pings += 1
            news = bool(self.handler.select([self._socket], [], [], min(given_up, ping_due) - now)[0])

    def _received(self, most: int) -> bytes:
        """The bytes that have come; none if there are none yet, or only a part of a TLS record."""
        try:
            part: bytes = self._socket.recv(min(most, _CHUNK))
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return b""
        if not part:
            raise ConnectionDropped("the server closed the connection")
        return part

    def _write(self, msg: bytes | bytearray, timeout: float) -> None:
        self._link.written = time.monotonic()
        super()._write(msg, timeout)

    def _read_header(self, timeout: float) -> Any:
        link = self._link
        try:
            header, buffer, offset = super()._read_header(timeout)
        except struct.error as error:
            raise ConnectionDropped("the server sends a message that is too short") from error
        if header.xid == kazoo_connection.AUTH_XID and link.channel.is_open:
            raise ConnectionDropped("the server answers to credentials that nobody has sent")
        if header.xid != kazoo_connection.WATCH_XID:  # an event proves one direction only
            link.channel.last_answer = time.monotonic()
        if header.xid == kazoo_connection.PING_XID:
            link.ping_sent = None
            if self._pings:
                link.owner.link_answered(None, self._pings.popleft())
        session = link.session
        session.highest_zxid = max(session.highest_zxid, header.zxid)
        return header, buffer, offset

    def _read_response(self, header: Any, buffer: bytes, offset: int) -> Any:
        entry = self._link.channel.answered(header.xid)
        if entry is None:  # the end of the connection fails whatever waits for this answer
            raise ConnectionDropped(f"an answer to request {header.xid} came out of turn")
        request, care = entry.request, self._link.channel.care
        if header.err:
            care.answered(request, entry.body)
            entry.future.set_exception(error_for_code(header.err, request, self._link.server))
            if header.err == _SESSION_EXPIRED:
                raise SessionExpiredError
        else:
            try:
                result = request.deserialize(buffer, offset)
            except ZkDiscoveryError as error:
                care.answered(request, entry.body)
                entry.future.set_exception(error)
            except Exception as error:  # the answer is lost, and where the next one begins is unknown
                care.broke([(request, entry.body)])
                server = self._link.server
                failure = NotConnected(
                    f"{describe(request)}: the answer of {server} can't be read; it may have been executed",
                    path=path_of(request), server=server, outcome_unknown=True,
                )  # fmt: skip
                entry.future.set_exception(failure)
                raise ConnectionDropped(f"the server sends an answer that can't be read: {error}") from error
            else:
                self._link.owner.link_answered(request, entry.sent)  # first, because what the future wakes may need it
                care.answered(request, entry.body)
                entry.future.set_result(result)
        return kazoo_connection.CLOSE_RESPONSE if request is CLOSE_SESSION else None

    def _read_watch_event(self, buffer: bytes, offset: int) -> None:
        try:
            event, _ = wire.Watch.deserialize(buffer, offset)
        except (struct.error, UnicodeDecodeError) as error:
            raise ConnectionDropped("the server sends an event that can't be read") from error
        self._link.owner.link_event(event.type, event.path or "/")


def _message(request: Any, xid: int | None) -> bytes:
    body = b"" if xid is None else wire.int_struct.pack(xid)
    body += encode(request) if request.type else request.serialize()
    message: bytes = wire.int_struct.pack(len(body)) + body
    return message
