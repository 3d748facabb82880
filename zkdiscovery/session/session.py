"""The session with ZooKeeper: one state, two counters, and operations with time limits.

Threads
- the connection thread (transport/) changes the state and calls the listeners, outside the lock;
- the maintenance thread checks the link, renews leases and makes a new link when one ends; it waits for nothing;
- the prober (watchdog.py) and the lookups of names (resolver.py) wait for servers, and nothing of ours waits for them;
- any thread may submit requests and wait for answers.

Guarantees
- `epoch` grows with each ZooKeeper session, `generation` with each connection. A request that was meant for one
  connection is never sent on another.
- `call` raises within its time limit. If `outcome_unknown` is set on the error, the request may have been executed.
- The highest transaction id seen is carried over into new sessions, so that no older state is read after an expiry.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

import tenacity

from zkdiscovery.errors import ClientClosed, NodeMissing, OperationTimeout, ZkDiscoveryError
from zkdiscovery.session.care import Care
from zkdiscovery.session.lease import Leases
from zkdiscovery.session.links import Links
from zkdiscovery.session.requests import AccessEntry, GetChildren, Request
from zkdiscovery.session.resolver import Resolver
from zkdiscovery.session.states import State
from zkdiscovery.session.status import SessionStatus
from zkdiscovery.session.translate import PASSING, describe, path_of
from zkdiscovery.session.transport.options import link_options
from zkdiscovery.session.watchdog import Watchdog
from zkdiscovery.session.watches import TreeWatches
from zkdiscovery.threads.abandon import check_wanted
from zkdiscovery.threads.worker import Worker
from zkdiscovery.validation import deadline_after

if TYPE_CHECKING:
    from zkdiscovery.settings import Acl, Settings

T = TypeVar("T")

_PERMISSIONS = {"r": 1, "w": 2, "c": 4, "d": 8, "a": 16}


class Session(SessionStatus):
    """One session with ZooKeeper, renewed until it is closed. Does nothing before `start()`.

    Attributes:
        settings: of the client.
        leaf_acl: access control list of leaves.
        parent_acl: access control list of the shared parents.
        maintenance: runs small tasks that wait for nothing.
        resolver: the addresses of the servers.
        options: how to connect.
        care: what broke connections.
        watches: the persistent-recursive watches.
        leases: the leases on nodes of this session.

    Raises:
        InvalidSettings: the TLS files can't be used.
        InvalidSettings: the settings ask for SASL, which is not installed.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.hosts, settings.session_timeout)
        self.settings = settings
        self.leaf_acl = acl_entries(settings.acl)
        self.parent_acl = acl_entries(settings.parent_acl)
        self.maintenance = Worker("zkdiscovery-maintenance")
        self.resolver = Resolver(settings.servers)
        self.care = Care()
        self.options = link_options(settings)
        self.watches = TreeWatches(self)
        self._watchdog = Watchdog(self, self.options, self.resolver, self.maintenance)
        self.leases = Leases(self, self._watchdog.lease_begins)
        self.links = Links(
            self, self.options, self.resolver, self.care, self.maintenance, self._watchdog, self.leases, self.watches
        )

    def known_addresses(self) -> dict[str, tuple[str, ...]]:
        """The addresses of each host in the settings, as far as they are known by now; never blocks."""
        return self.resolver.known_addresses()

    def __repr__(self) -> str:
        if "_listeners" not in vars(self):
            return "<Session that could not be made>"
        return f"<Session {self.state} epoch={self.epoch} generation={self.generation} server={self.server or '-'}>"

    # -- life --

    def start(self) -> None:
        """Begin to connect. Returns at once, whether or not ZooKeeper is there.

        Raises:
            NoThreadAvailable: the system has no thread to give; nothing was begun.
        """
        self.maintenance.start()
        self.resolver.refresh()
        self.links.start()

    def leave_to_expire(self) -> None:
        """Let `close` end the connection alone. What the session owns stays until the session times out at the server.

        A successor takes it over meanwhile.
        """
        self.left_to_expire = True

    def begin_close(self) -> None:
        """Take no more requests, ask the server to end the session. Never blocks; `close` follows."""
        link = self.note_closing()
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
        stopped = True
        if (link := self.link) is not None:
            stopped = link.stop(timeout)
            link.fail_outstanding()
        self.move(State.CLOSED)
        for close in (self.maintenance.close, self._watchdog.close):
            stopped = close(max(0.1, end - time.monotonic())) and stopped
        return stopped

    # -- operations --

    def submit(self, request: Request, *, deadline: float, generation: int | None = None) -> Future[Any]:
        """Send a request without waiting. See `Channel.submit`; callbacks of the future must not block."""
        link = self.link
        if link is None or self.closing.is_set():
            closed = self.closing.is_set()
            future: Future[Any] = Future()
            future.set_exception(ClientClosed("the client was closed") if closed else self.not_connected(0))
            return future
        return link.channel.submit(request, deadline=deadline, generation=generation)

    def call(self, request: Request, *, deadline: float, generation: int | None = None) -> Any:
        """Send a request once and wait for its answer until `deadline` (monotonic seconds).

        Raises:
            NotConnected: no such connection, or lost before the answer.
            OperationTimeout: no answer in time.
            NodeError, AccessDenied, SessionExpired, …: what the server answered.
            CancelledError: nobody waits for this work any more, so nothing is sent.
        """
        check_wanted()
        return self.result(self.submit(request, deadline=deadline, generation=generation), request, deadline)

    def result(self, future: Future[Any], request: Request, deadline: float, patience: float = 0.0) -> Any:
        """Wait for a submitted request. One that is late and still unsent is withdrawn for good.

        The wait goes on while bytes come at least every `patience` seconds, on one connection.
        """
        generation = self.generation
        while True:
            try:
                return future.result(max(0.0, deadline - time.monotonic()))
            except ZkDiscoveryError:
                raise
            except TimeoutError:
                link = self.link
                deadline = 0.0 if link is None else link.channel.last_answer + patience
                if future.done() or deadline <= time.monotonic() or generation != self.generation:
                    break
        unsent = future.cancel()
        if future.done() and not unsent:  # answered in this very moment
            return future.result(0)
        state = "it was not sent" if unsent else "it may have been executed"
        raise OperationTimeout(
            f"{describe(request)}: no answer from {self.server} in time; {state}",
            path=path_of(request),
            server=self.server,
            outcome_unknown=not unsent,
        )

    def retry(self, attempt: Callable[[float, int], T], timeout: float) -> T:
        """Wait for a connection and call `attempt(deadline, generation)`; again after each failure that may pass.

        Args:
            attempt: work that may be repeated. `deadline` is in monotonic seconds, `generation` is the connection.
            timeout: seconds for everything.

        Raises:
            NotConnected: no connection in time. Any other error that `wait_connected` or `attempt` raises.
        """
        deadline = deadline_after(timeout)

        def once() -> T:
            self.wait_connected(max(0.0, deadline - time.monotonic()))
            return attempt(deadline, self.generation)

        pause = tenacity.wait_random_exponential(multiplier=0.02, max=0.5)
        again = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(PASSING),
            stop=lambda _: time.monotonic() >= deadline,
            wait=lambda attempt: min(pause(attempt), max(0.0, deadline - time.monotonic())),
            sleep=tenacity.sleep_using_event(self.closing),
            reraise=True,
        )
        return again(once)

    def children(self, path: str, *, timeout: float) -> list[str]:
        """Names of the children of a node, sorted; none if there is no such node; one read. Raises as `read`."""
        try:
            return sorted(self.read(GetChildren(path), timeout=timeout))
        except NodeMissing:
            return []

    def read(self, request: Request, *, timeout: float) -> Any:
        """Send a read until it is answered or `timeout` seconds are over. Raises as `retry` and `call`."""
        return self.retry(lambda deadline, _: self.call(request, deadline=deadline), timeout)


def acl_entries(acl: Acl) -> tuple[AccessEntry, ...]:
    """Make the entries of an access control list, as they go over the wire."""
    if acl == "open":
        return (AccessEntry(31, "world", "anyone"),)
    if acl == "creator":
        return (AccessEntry(31, "auth", ""),)
    return tuple(AccessEntry(sum(_PERMISSIONS[letter] for letter in set(e.permissions)), e.scheme, e.id) for e in acl)
