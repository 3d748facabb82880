"""The session with ZooKeeper: one state, two counters, and operations with time limits.

Threads
- the connection thread (kazoo's loop, see link.py) changes the state and calls the listeners, outside the lock;
- the keeper thread watches over the link, renews leases and builds a new link after a death; it waits for nobody;
- the prober (watchdog.py) and the lookups of names (resolver.py) wait for others and for nothing of ours;
- any thread may submit requests and wait for answers.

Guarantees
- `epoch` grows with each ZooKeeper session, `generation` with each connection. A request that was meant for one
  connection is never sent on another.
- `call` raises within its time limit. If `outcome_unknown` is set on the error, the request may have been executed.
- The highest transaction id seen is carried over into new sessions, so that no older state is read after an expiry.
"""

from __future__ import annotations

import copy
import logging
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import tenacity

from zkdiscovery.errors import (
    AuthenticationFailed,
    ClientClosed,
    NotConnected,
    OperationTimeout,
    SessionExpired,
    UnsupportedServer,
    ZkDiscoveryError,
)
from zkdiscovery.session.care import Care
from zkdiscovery.session.connection import Credentials
from zkdiscovery.session.lease import Leases
from zkdiscovery.session.link import Link
from zkdiscovery.session.options import acl_entries, link_options
from zkdiscovery.session.requests import Request
from zkdiscovery.session.resolver import Resolver
from zkdiscovery.session.states import TRANSITIONS, State, StateChange
from zkdiscovery.session.translate import describe, path_of
from zkdiscovery.session.watchdog import Watchdog
from zkdiscovery.session.watches import TreeWatches
from zkdiscovery.threads.worker import Worker
from zkdiscovery.validation import deadline_after

if TYPE_CHECKING:
    from zkdiscovery.settings import Settings

log = logging.getLogger("zkdiscovery.session")

WAIT_POLL = 0.25  # seconds until one who waits for what a connection brings sees that none will come any more
_REBUILD_DELAYS = (0.2, 0.5, 1.0, 2.0, 5.0)  # seconds


class Session:
    """One session with ZooKeeper, renewed for as long as it is not closed. Inert until `start()`.

    Raises:
        InvalidSettings: the TLS files can't be used, or SASL is asked for and not installed.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.leaf_acl = acl_entries(settings.acl)
        self.parent_acl = acl_entries(settings.parent_acl)
        self.maintenance = Worker("zkdiscovery-maintenance")
        self.watches = TreeWatches(self)
        self.highest_zxid = 0
        self.data_losses = 0  # transaction ids from before one say nothing about nodes from after it
        self.care = Care()
        self.authenticated = False
        self.resolver = Resolver(self.addresses())
        self._options = link_options(settings)
        self._changed = threading.Condition()
        self._state = State.NEW
        self._epoch = 0
        self._generation = 0
        self._timeout = settings.session_timeout
        self._credentials: Credentials | None = None
        self._failure: ZkDiscoveryError | None = None
        self._failure_final = False
        self._listeners: list[Callable[[StateChange], None]] = []
        self._link: Link | None = None
        self._closing = threading.Event()
        self._rebuilds = 0
        self.leases = Leases(self)
        self._watchdog = Watchdog(self)

    # -- what it is --

    @property
    def fatal_error(self) -> ZkDiscoveryError | None:
        """Why no connection will come any more, unless something changes at the servers: they refuse us."""
        return self._failure if self._failure_final else None

    @property
    def gone_for_good(self) -> bool:
        """True if no connection will come any more: closed, or refused for good."""
        return self._failure_final or self._closing.is_set()

    @property
    def link(self) -> Link | None:
        """The present link."""
        return self._link

    @property
    def state(self) -> State:
        """Where the session stands."""
        return self._state

    @property
    def epoch(self) -> int:
        """Number of ZooKeeper sessions so far."""
        return self._epoch

    @property
    def generation(self) -> int:
        """Number of connections so far; 0 before the first."""
        return self._generation

    @property
    def timeout(self) -> float:
        """Session timeout in seconds, as the server granted it; the one asked for before the first connection."""
        return self._timeout

    @property
    def session_id(self) -> int:
        """ZooKeeper's id of the session; 0 while there is none."""
        credentials = self._credentials
        return credentials.session_id if credentials else 0

    @property
    def credentials(self) -> Credentials | None:
        """Id and password of the session; a secret."""
        return self._credentials

    @property
    def server(self) -> str:
        """`host:port` of the server connected to, or tried last; "" before the start."""
        link = self._link
        return link.server if link else ""

    @property
    def failure(self) -> ZkDiscoveryError | None:
        """Why there is no connection, if that is more than an absent server."""
        return self._failure

    @property
    def context(self) -> ssl.SSLContext | None:
        """The TLS context for the next connection; None for plain TCP."""
        certificates = self._options.certificates
        return None if certificates is None else certificates.context()

    def __repr__(self) -> str:
        if "_state" not in vars(self):
            return "<Session that could not be made>"
        return f"<Session {self._state} epoch={self._epoch} generation={self._generation} server={self.server or '-'}>"

    # -- life --

    def start(self) -> None:
        """Begin to connect. Returns at once, whether or not ZooKeeper is there.

        Raises:
            NoThreadAvailable: the system has no thread to give; nothing was begun.
        """
        self.maintenance.start()
        self.resolver.refresh()
        with self._changed:
            if self._link is not None or self._closing.is_set():
                return
            self._link = Link(self, self._options, care=self.care)
            try:
                self._link.start()
            except BaseException:
                self._link = None
                raise
        self._watchdog.disconnected()  # not under the lock: it starts a thread, and the link's has need of the lock

    def begin_close(self) -> None:
        """Take no more requests, ask the server to end the session. Never blocks; `close` follows."""
        with self._changed:
            self._closing.set()
            link = self._link
            self._changed.notify_all()
        self.resolver.close()
        if link is not None:
            link.begin_stop()

    def close(self, timeout: float) -> bool:
        """End the session at the server if it can be reached, and all threads, within `timeout` seconds.

        Returns:
            True if every thread has ended.
        """
        end = deadline_after(timeout)
        self.begin_close()
        link = self._link
        stopped = True
        if link is not None:
            stopped = link.stop(timeout)
            self._fail_outstanding(link)
        self._move(State.CLOSED)
        for close in (self.maintenance.close, self._watchdog.close):
            stopped = close(max(0.1, end - time.monotonic())) and stopped
        return stopped

    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each server in the settings."""
        from zkdiscovery.settings import split_host  # noqa: PLC0415 - settings are loaded on use

        return [split_host(part) for part in self.settings.hosts.split(",")]

    def known_addresses(self) -> dict[str, tuple[str, ...]]:
        """The addresses of each host in the settings, as far as they are known by now; never blocks."""
        known: dict[str, tuple[str, ...]] = {host: () for host, _ in self.addresses()}
        for address in self.resolver.addresses():
            known[address.name] += (address.ip,)
        return known

    def listen(self, listener: Callable[[StateChange], None]) -> None:
        """Call `listener` at each transition, in order, on the connection thread. It must not block or raise."""
        with self._changed:
            self._listeners.append(listener)

    def unlisten(self, listener: Callable[[StateChange], None]) -> None:
        """Forget a listener."""
        with self._changed:
            if listener in self._listeners:
                self._listeners.remove(listener)

    def wait_connected(self, timeout: float) -> None:
        """Wait until there is a connection.

        Raises:
            NotConnected: none within `timeout` seconds.
            AuthenticationFailed, UnsupportedServer: there will be none.
            ClientClosed: closed, before or meanwhile.
        """
        end = deadline_after(timeout)
        with self._changed:
            while self._state is not State.CONNECTED:
                if self._state is State.CLOSED or self._closing.is_set():
                    raise ClientClosed("the client was closed; make a new one")
                if self.fatal_error is not None:
                    raise self._not_connected(timeout)
                left = end - time.monotonic()
                if left <= 0:
                    raise self._not_connected(timeout)
                self._changed.wait(left)

    @property
    def status_message(self) -> str:
        """Why there is no connection, with the servers and the last attempt; "" while there is one."""
        if self._state is State.CONNECTED:
            return ""
        return str(self._failure) if self._failure is not None else self._absence()

    def _absence(self, within: str = "") -> str:
        problem = self._link.problem if self._link else ""
        tried = f" (last attempt: {problem})" if problem else ""
        return f"no connection to ZooKeeper at {self.settings.hosts}{within}{tried}"

    def _not_connected(self, timeout: float) -> ZkDiscoveryError:
        if self._failure is not None:
            return copy.copy(self._failure)  # each raising of one and the same would lengthen its traceback
        return NotConnected(
            f"{self._absence(f' within {timeout:.3g} s')}; is it running, and is the address right?"
            " (`zkdiscovery doctor` tells more)",
            server=self.settings.hosts,
        )

    # -- operations --

    def submit(self, request: Request, *, deadline: float, generation: int | None = None) -> Future[Any]:
        """Send a request without waiting. See `Channel.submit`; callbacks of the future must not block."""
        link = self._link
        if link is None or self._closing.is_set():
            future: Future[Any] = Future()
            future.set_exception(
                ClientClosed("the client was closed") if self._closing.is_set() else self._not_connected(0)
            )
            return future
        return link.channel.submit(request, deadline=deadline, generation=generation)

    def call(self, request: Request, *, deadline: float, generation: int | None = None, patience: float = 0.0) -> Any:
        """Send a request once and wait for its answer until `deadline` (monotonic seconds), or longer: see `result`.

        Raises:
            NotConnected: no such connection, or lost before the answer.
            OperationTimeout: no answer in time.
            NodeError, AccessDenied, SessionExpired, …: what the server answered.
        """
        sent = self.submit(request, deadline=deadline, generation=generation)
        return self.result(sent, request, deadline, patience)

    def result(self, future: Future[Any], request: Request, deadline: float, patience: float = 0.0) -> Any:
        """Wait for a submitted request; a request that is late and still unsent is withdrawn for good.

        With `patience`, it is waited for as long as bytes come at least every so many seconds, on one connection.
        """
        generation = self._generation
        try:
            while True:
                try:
                    return future.result(max(0.0, deadline - time.monotonic()))
                except TimeoutError:
                    link = self._link
                    later = 0.0 if link is None else link.channel.last_answer + patience
                    if future.done() or later <= time.monotonic() or generation != self._generation:
                        raise
                    deadline = later
        except ZkDiscoveryError:
            raise
        except TimeoutError:
            unsent = future.cancel()
            if future.done() and not unsent:  # answered in this very moment
                return future.result(0)
            state = "it was not sent" if unsent else "it may have been executed"
            raise OperationTimeout(
                f"{describe(request)}: no answer from {self.server} in time; {state}",
                path=path_of(request),
                server=self.server,
                outcome_unknown=not unsent,
            ) from None

    def retrying(self, timeout: float) -> tenacity.Retrying:
        """The policy for work that may be repeated: again after passing failures, for `timeout` seconds from now."""
        deadline = deadline_after(timeout)
        pause = tenacity.wait_random_exponential(multiplier=0.02, max=0.5)
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(_passing),
            stop=lambda _: time.monotonic() >= deadline,
            wait=lambda attempt: min(pause(attempt), max(0.0, deadline - time.monotonic())),
            sleep=self._pause,
            reraise=True,
        )

    def _pause(self, seconds: float) -> None:
        self._closing.wait(seconds)  # ends at once when the session closes

    def read(self, request: Request, *, timeout: float) -> Any:
        """A read, repeated over lost connections until it is answered or `timeout` seconds are over.

        Raises:
            as `wait_connected` and `call`.
        """
        deadline = deadline_after(timeout)

        def once() -> Any:
            self.wait_connected(max(0.0, deadline - time.monotonic()))
            return self.call(request, deadline=deadline)

        return self.retrying(timeout)(once)

    # -- what the link tells (connection thread) --

    def link_connected(self, link: Link, credentials: Credentials, timeout: float, server: str) -> None:
        """A connection stands and is authenticated."""
        with self._changed:
            if link is not self._link:
                return
            known = self._credentials
            state = self._state
        if known is not None and known.session_id != credentials.session_id and state is not State.EXPIRED:
            self._move(State.EXPIRED)  # another session than before: whatever the old one owned is gone
        with self._changed:
            if known is None or known.session_id != credentials.session_id or state is State.EXPIRED:
                self._epoch += 1
            self._credentials = credentials
            self._generation += 1  # last: who reads the generation first, without the lock, finds its session
            self._timeout = timeout
            self._failure, self._failure_final = None, False
            self._rebuilds = 0
            generation = self._generation
        self.leases.connected(link.greeted, timeout)
        link.channel.open(generation)
        log.info("connected to %s, session 0x%x, timeout %.1f s", server, credentials.session_id, timeout)
        self._move(State.CONNECTED)
        self._watchdog.connected()

    def link_lost(self, link: Link) -> None:
        """The connection broke; kazoo tries to come back."""
        if link is self._link:
            reason = link.drop_reason or "the connection broke"
            if self._state is State.CONNECTED and not self._closing.is_set():
                log.warning("lost contact with %s: %s; reconnecting", link.server, reason)
            self._fail_outstanding(link)
            self._move(State.SUSPENDED)
            self._watchdog.disconnected()

    def link_expired(self, link: Link) -> None:
        """The server ended the session; kazoo asks for a new one."""
        if link is self._link:
            log.warning("the session 0x%x has expired; a new one follows", self.session_id)
            self._fail_outstanding(link, SessionExpired)
            self._move(State.EXPIRED)

    def link_refused(self, link: Link) -> None:
        """A server accepted the connection and hung up on the handshake."""
        if link is self._link and self.highest_zxid:
            self._watchdog.refused()

    def link_unsupported(self, link: Link, error: UnsupportedServer) -> None:
        """The server is too old. Another one of the ensemble may not be, so connecting goes on."""
        if link is self._link:
            self._fail(error, final=True)

    def link_ended(self, link: Link, *, auth_failed: bool) -> None:
        """The link's thread has ended: build a new link, unless that can't help."""
        if link is not self._link or self._closing.is_set():
            return
        self._fail_outstanding(link)
        self._move(State.SUSPENDED)
        if auth_failed:
            refused = "refuses the credentials" if self.settings.auth else "asks for credentials"
            error = AuthenticationFailed(
                f"{link.server} {refused}; check Settings.auth and the server's configuration", server=link.server
            )
            final = not self.authenticated
            self._fail(error, final=final)
            if final:
                return
        delay = _REBUILD_DELAYS[min(self._rebuilds, len(_REBUILD_DELAYS) - 1)]
        self._rebuilds += 1
        self.maintenance.schedule(self._rebuild, self._rebuild, delay)

    def lease_begins(self) -> None:
        """A lease on a node of this session begins (any thread)."""
        self._watchdog.lease_begins()

    def link_answered(self, request: Request | None, sent: float) -> None:
        """A request, or a ping (None), was answered; `sent` is of the lease clock."""
        self.leases.answered(request, sent)

    def link_event(self, kind: int, path: str) -> None:
        """A watch fired."""
        self.watches.dispatch(kind, path)

    def _rebuild(self) -> None:
        try:
            with self._changed:
                if not self._closing.is_set():
                    self._link = Link(self, self._options, self._credentials, self.care)
                    self._link.start()
        except (OSError, RuntimeError):  # no file descriptor, or no thread, to be had
            log.exception("can't connect anew, trying again")
            self.maintenance.schedule(self._rebuild, self._rebuild, _REBUILD_DELAYS[-1])

    # -- helpers --

    def _fail(self, error: ZkDiscoveryError, *, final: bool) -> None:
        with self._changed:
            known = self._failure is not None and str(self._failure) == str(error)
            self._failure, self._failure_final = error, final
            self._changed.notify_all()
        if not known:  # it comes again with each attempt
            log.error("%s", error)

    def _move(self, state: State) -> None:
        with self._changed:
            before = self._state
            if state is before or state not in TRANSITIONS[before]:
                return  # e.g. SUSPENDED while NEW: a failed first attempt is no transition
            self._state = state
            if state is State.EXPIRED:
                self._credentials = None
            change = StateChange(state, before, self._epoch, self._generation)
            listeners = list(self._listeners)
            self._changed.notify_all()
        for listener in listeners:
            try:
                listener(change)
            except Exception:
                log.exception("a listener failed on %s", change)

    def _fail_outstanding(self, link: Link, cls: type[ZkDiscoveryError] = NotConnected) -> None:
        server = link.server

        def error(request: Request, sent: bool) -> ZkDiscoveryError:
            state = "it may have been executed" if sent else "it was not sent"
            return cls(
                f"{describe(request)}: the connection to {server} broke before the answer; {state}",
                path=path_of(request),
                server=server,
                outcome_unknown=sent,
            )

        link.channel.close(error)


def _passing(error: BaseException) -> bool:
    """May the same request succeed a moment later?"""
    if isinstance(error, (AuthenticationFailed, UnsupportedServer, ClientClosed)):
        return False
    return isinstance(error, (NotConnected, SessionExpired)) or (isinstance(error, ZkDiscoveryError) and error._retry)
