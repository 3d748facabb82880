"""The status of the session: its state, two counters, and why there is no connection."""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections.abc import Callable

from zkdiscovery.errors import ClientClosed, NotConnected, ZkDiscoveryError
from zkdiscovery.session.states import TRANSITIONS, State, StateChange
from zkdiscovery.session.transport.link import Link
from zkdiscovery.session.transport.link_state import Credentials
from zkdiscovery.threads.waiting import Monitor, Steps, Until, run_steps
from zkdiscovery.validation import deadline_after

log = logging.getLogger("zkdiscovery.session")

_SETTLED = frozenset({State.CONNECTED, State.CLOSED})


class SessionStatus:
    """The state of a session, and those who listen to it.

    Any thread may read the attributes, without a lock. Nothing outside `session/` writes them. A change is decided
    under one lock; the thread that makes it calls the listeners afterwards, outside the lock.

    Attributes:
        state: of the session.
        epoch: number of ZooKeeper sessions so far.
        generation: number of connections so far; 0 before the first.
        timeout: session timeout in seconds, as the server granted it; before the first connection, as asked for.
        credentials: id and password of the session, a secret; None while there is none.
        failure: why there is no connection, if there is a reason other than an absent server.
        link: the present link; None before the start.
        highest_zxid: the highest transaction id seen.
        data_losses: how often the servers lost data. Transaction ids from before a loss say nothing about later nodes.
        authenticated: True once a server has let this client in.
        closing: is set once the session is to end.
        left_to_expire: True if its end is left to the server, which ends it after the session timeout.
        changed: guards all of it, and tells of changes of the state and of reasons to wait no longer.
    """

    def __init__(self, hosts: str, timeout: float) -> None:
        self.state = State.NEW
        self.epoch = 0
        self.generation = 0
        self.timeout = timeout
        self.credentials: Credentials | None = None
        self.failure: ZkDiscoveryError | None = None
        self.link: Link | None = None
        self.highest_zxid = 0
        self.data_losses = 0
        self.authenticated = False
        self.closing = threading.Event()
        self.left_to_expire = False
        self._failure_final = False
        self._hosts = hosts
        self.changed = Monitor()
        self._listeners: list[Callable[[StateChange], None]] = []

    @property
    def fatal_error(self) -> ZkDiscoveryError | None:
        """The error for which the servers refuse us: no connection comes unless they change. None if there is none."""
        return self.failure if self._failure_final else None

    @property
    def gone_for_good(self) -> bool:
        """True if no connection will come any more: closed, or refused for good."""
        return self._failure_final or self.closing.is_set()

    @property
    def session_id(self) -> int:
        """ZooKeeper's id of the session; 0 while there is none."""
        credentials = self.credentials
        return credentials.session_id if credentials else 0

    @property
    def server(self) -> str:
        """`host:port` of the server connected to, or tried last; "" before the start."""
        link = self.link
        return link.server if link else ""

    @property
    def status_message(self) -> str:
        """The reason why there is no connection, with the servers and the last attempt; "" while there is one."""
        if self.state is State.CONNECTED:
            return ""
        return str(self.failure) if self.failure is not None else self._absence()

    def listen(self, listener: Callable[[StateChange], None]) -> None:
        """Call `listener` at each transition, in order, on the connection thread. It must not block or raise."""
        with self.changed:
            self._listeners.append(listener)

    def unlisten(self, listener: Callable[[StateChange], None]) -> None:
        """Forget a listener."""
        with self.changed:
            if listener in self._listeners:
                self._listeners.remove(listener)

    def wait_connected(self, timeout: float) -> None:
        """Wait until there is a connection.

        Raises:
            NotConnected: none within `timeout` seconds.
            AuthenticationFailed: there will be none, because the servers refuse the credentials.
            UnsupportedServer: there will be none, because the servers are too old.
            ClientClosed: closed, before or meanwhile.
        """
        run_steps(self.connecting(timeout))

    def connecting(self, timeout: float) -> Steps[None]:
        """The steps of `wait_connected`."""
        end = deadline_after(timeout)
        while self.state is not State.CONNECTED:
            if self.state is State.CLOSED or self.closing.is_set():
                raise ClientClosed("the client was closed; make a new one")
            if self._failure_final or time.monotonic() >= end:
                raise self.not_connected(timeout)
            yield Until(lambda: self.state in _SETTLED or self.gone_for_good, end, self.changed)

    def not_connected(self, timeout: float) -> ZkDiscoveryError:
        """Make the error of a connection that did not come within `timeout` seconds."""
        if self.failure is not None:
            return copy.copy(self.failure)  # raising the same object again would make its traceback longer
        return NotConnected(
            f"{self._absence(f' within {timeout:.3g} s')}; is it running, and is the address right?"
            " (`zkdiscovery doctor` tells more)",
            server=self._hosts,
        )

    def _absence(self, within: str = "") -> str:
        problem = self.link.problem if self.link else ""
        tried = f" (last attempt: {problem})" if problem else ""
        return f"no connection to ZooKeeper at {self._hosts}{within}{tried}"

    # -- for the rest of session/ --

    def replace_link(self, before: Link | None, make: Callable[[], Link]) -> bool:
        """Make a link and start it. False if the session closes, or if the present link is not `before`."""
        with self.changed:
            if self.closing.is_set() or self.link is not before:
                return False
            self.link = link = make()
            try:
                link.start()
            except BaseException:
                self.link = before
                raise
        return True

    def note_closing(self) -> Link | None:
        """Wake everybody who waits for a connection, because none will come. Returns the link."""
        with self.changed:
            self.closing.set()
            self.changed.notify_all()
            return self.link

    def connected(self, credentials: Credentials, timeout: float) -> int:
        """Note a connection, before it is open. Returns its generation (connection thread)."""
        known, state = self.credentials, self.state
        renewed = known is None or known.session_id != credentials.session_id or state is State.EXPIRED
        if known is not None and renewed and state is not State.EXPIRED:
            self.move(State.EXPIRED)  # another session than before: whatever the old one owned is gone
        with self.changed:
            self.epoch += renewed
            self.credentials = credentials
            self.generation += 1  # last: who reads the generation first, without the lock, finds its session
            self.timeout = timeout
            self.failure, self._failure_final = None, False
            return self.generation

    def fail(self, error: ZkDiscoveryError, *, final: bool) -> None:
        """Note why there is no connection; `final`: none will come."""
        with self.changed:
            known = self.failure is not None and str(self.failure) == str(error)
            self.failure, self._failure_final = error, final
            self.changed.notify_all()
        if not known:  # it comes again with each attempt
            log.error("%s", error)

    def move(self, state: State) -> None:
        """Go to another state, if it may follow the present one, and tell the listeners."""
        with self.changed:
            before = self.state
            if state is before or state not in TRANSITIONS[before]:
                return  # e.g. SUSPENDED while NEW: a failed first attempt is no transition
            self.state = state
            if state is State.EXPIRED:
                self.credentials = None
            change = StateChange(state, before, self.epoch, self.generation)
            listeners = list(self._listeners)
            self.changed.notify_all()
        for listener in listeners:
            try:
                listener(change)
            except Exception:
                log.exception("a listener failed on %s", change)
