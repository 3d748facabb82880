"""The client: one connection to ZooKeeper behind the public names. No logic of its own.

What a client works with (`_Core`) is built at first use: constructing a client does no I/O, starts no thread and
reads no environment, so it is safe at import time and before a fork. A forked child gets a core, and so a connection,
of its own.
"""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, overload

from zkdiscovery import election as election_room  # its names are loaded on use
from zkdiscovery.balancing import Balancer, Ejection, Outcome
from zkdiscovery.codecs import CuratorCodec
from zkdiscovery.discovery import Attachment, Discovery, Service, make_view, outcome_of
from zkdiscovery.errors import ClientClosed
from zkdiscovery.lifecycle import (
    DEFAULT,
    Default,
    Ending,
    Level,
    Limits,
    await_signals,
    end,
    inhabit,
    interrupts_a_call,
    time_for,
)
from zkdiscovery.model import Instance, Status, StatusName
from zkdiscovery.registration import Overrides, Registrar, Registration, registered
from zkdiscovery.registration.decorator import takes_argument
from zkdiscovery.registration.registration import Ready
from zkdiscovery.registration.room import Options, RegisterOptions
from zkdiscovery.session import Session, State, StateChange
from zkdiscovery.threads import Dispatcher, Subscription, Worker
from zkdiscovery.validation import check_timeout
from zkdiscovery.znodes import OnConflict, OwnedNodes, Paths

if TYPE_CHECKING:
    from zkdiscovery.election import Election, Term
    from zkdiscovery.election.election import OnSuspend
    from zkdiscovery.settings import Settings

R = TypeVar("R")


class _Core:
    """What a client is made of, once it is used; the order of building is the order of the rooms."""

    def __init__(self, settings: Settings, dispatcher: Dispatcher) -> None:
        codec = CuratorCodec()
        self.settings = settings
        self.dispatcher = dispatcher
        self.paths = Paths(settings.namespace, settings.base_path)
        self.session = Session(settings)
        self.owner_worker = Worker("zkdiscovery-owner")
        self.nodes = OwnedNodes(self.session, self.owner_worker)
        self.registrar = Registrar(self.session, self.nodes, self.owner_worker, dispatcher, self.paths, codec)
        self.overrides = Overrides(self.session, self.paths, codec)
        self.discovery = Discovery(self.session, dispatcher, self.paths, codec)
        self.elections = election_room.Room(
            self.session, self.nodes, self.owner_worker, self.discovery.loader, dispatcher, self.paths
        )


class Client:
    """A connection to ZooKeeper for registering, discovering and electing.

    Args:
        hosts: `host:port` of the ZooKeeper servers, separated by commas. None: `ZKDISCOVERY_HOSTS`, or
            `127.0.0.1:2181`.
        namespace: path below which everything lives. None: `ZKDISCOVERY_NAMESPACE`, or the root.
        base_path: path of the services, `<base_path>/<service>/<id>`, for those whom other software finds elsewhere,
            such as Curator's and Spring Cloud's. None: `ZKDISCOVERY_BASE_PATH`, or `services` below the namespace.
        zone: failure domain of this process, the default for what it registers.
        session_timeout: seconds after which ZooKeeper takes a silent client for dead; the server may bound it, and
            the property `session_timeout` tells what it granted.
        settings: everything else; arguments given beside it win.

    Every method that may wait takes a `timeout` in seconds; only None, given explicitly, waits without a limit. What
    waits for a state takes 10 s if not told otherwise, as long as the default session timeout: an outage that a session
    survives makes no program fail that starts meanwhile. One operation takes 5 s.

    Every method may be called from any thread, and from callbacks. `with client:` starts and closes it; without, the
    first use starts it.

    Raises:
        InvalidSettings: at the first use, if arguments, settings or `ZKDISCOVERY_*` can't be used.
    """

    def __init__(
        self,
        hosts: str | None = None,
        *,
        namespace: str | None = None,
        base_path: str | None = None,
        zone: str | None = None,
        session_timeout: float | None = None,
        settings: Settings | None = None,
    ) -> None:
        self._given: dict[str, Any] = {
            "hosts": hosts,
            "namespace": namespace,
            "base_path": base_path,
            "zone": zone,
            "session_timeout": session_timeout,
        }
        self._settings = settings
        self._lock = threading.Lock()
        self._core: _Core | None = None
        self._last_core: _Core | None = None  # while it is being closed
        self._closed = False
        self._ending = Ending()
        self._dispatcher = Dispatcher("zkdiscovery-callbacks")
        self._views: weakref.WeakSet[Service] = weakref.WeakSet()
        self._elections: weakref.WeakSet[Election] = weakref.WeakSet()
        self._subscriptions: list[Subscription[State]] = []
        inhabit(self)

    # -- life --

    def start(self) -> Self:
        """Begin to connect; returns at once, whether or not ZooKeeper is there.

        Raises:
            InvalidSettings: the settings can't be used.
            ClientClosed: the client was closed.
        """
        self._use()
        return self

    def drain(self, timeout: float | Default | None = DEFAULT) -> None:
        """End all terms and take all instances out; nothing new is held from now on. Idempotent.

        Views, calls and the session go on until `close()`, so a server can finish the requests that it has.

        Args:
            timeout: as in `close`.
        """
        self._end(Level.DRAINED, timeout)

    def close(self, timeout: float | Default | None = DEFAULT) -> None:
        """End all terms, take all instances out, close the views, end the session. Idempotent.

        Where ZooKeeper can't be reached in that time, ephemerals vanish when the session times out at the server.

        In a signal handler that has interrupted a call of the SDK, which may hold what closing needs, it returns at
        once and closes on a thread of its own; so does `drain()`. While another thread is closing the client, it
        returns at once as well. The interpreter's end waits for either.

        Args:
            timeout: seconds in all; drain delays that do not fit in are cut. Not given: `settings.close_timeout`, or
                3 s more than the longest `drain_delay` if that is longer.
        """
        self._end(Level.CLOSED, timeout)

    def _end(self, level: Level, timeout: float | Default | None) -> None:
        limit = None if timeout is DEFAULT else check_timeout(timeout)
        if not interrupts_a_call():
            end([self], level, limit)
        else:
            goodbye = threading.Thread(target=end, args=([self], level, limit), name="zkdiscovery-goodbye", daemon=True)
            with contextlib.suppress(RuntimeError):  # the interpreter ends, and closes all clients itself
                goodbye.start()

    # -- the steps of `end` --

    def _time_to_end(self) -> float:
        core = self._core
        return 0.0 if core is None else time_for(core.registrar.longest_drain_delay(), core.settings.close_timeout)

    def _begin_leaving(self, limits: Limits) -> None:
        with self._lock:
            core, elections = self._core, list(self._elections)
        if core is not None:
            core.registrar.say_goodbye(limits)
        if elections:
            election_room.end_terms(elections)

    def _finish_leaving(self, limits: Limits) -> None:
        core, elections = self._core, list(self._elections)
        if core is not None:
            core.registrar.close(limits)
        if elections:
            election_room.close_elections(elections, limits.holds)

    def _begin_closing(self) -> None:
        with self._lock:
            self._closed = True
            core = self._last_core = self._core
            self._core = None
            views, elections = list(self._views), list(self._elections)
        for view in views:
            view.close()
        for election in elections:
            election.stop_observing()
        if core is not None:
            core.session.begin_close()

    def _finish_closing(self, limits: Limits) -> None:
        def left() -> float:
            return max(0.0, limits.all - time.monotonic())

        core, self._last_core = self._last_core, None
        if core is not None:
            core.session.close(left())
            core.owner_worker.close(left())
            core.discovery.close(left())
        self._dispatcher.close(left())

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def state(self) -> State:
        """NEW, CONNECTED, SUSPENDED, EXPIRED (a new session follows by itself) or CLOSED."""
        core = self._core
        if core is not None:
            return core.session.state
        return State.CLOSED if self._closed else State.NEW

    @property
    def settings(self) -> Settings:
        """The settings in force, from arguments, `settings=`, the environment and defaults. Starts the client.

        Raises:
            InvalidSettings: the settings can't be used.
            ClientClosed: the client was closed.
        """
        return self._use().settings

    @property
    def session_timeout(self) -> float:
        """The session timeout that the server granted, in seconds; the one asked for before the first connection.

        Starts the client.

        Raises:
            InvalidSettings: the settings can't be used.
            ClientClosed: the client was closed.
        """
        return self._use().session.timeout

    def on_change(self, fn: Callable[[State], object]) -> Subscription[State]:
        """Call `fn(state)` on the client's dispatcher thread when the state changed.

        Raises:
            TypeError: `fn` is no plain callable.
        """
        subscription: Subscription[State] = self._dispatcher.subscribe(fn, lambda _earlier, later: later)
        with self._lock:
            self._subscriptions = [*(s for s in self._subscriptions if not s.closed), subscription]
        return subscription

    def wait_connected(self, timeout: float | None = 10.0) -> Self:
        """Wait for a connection.

        Raises:
            NotConnected: none within `timeout` seconds.
            AuthenticationFailed, UnsupportedServer: there will be none.
        """
        self._use().session.wait_connected(check_timeout(timeout))
        return self

    # -- registration --

    def register(
        self,
        service: str,
        port: int,
        *,
        host: str | None = None,
        listen_port: int | None = None,
        id: str | None = None,
        ports: Mapping[str, int] | None = None,
        tls_port: int | None = None,
        weight: float = 1.0,
        zone: str | None = None,
        version: str | None = None,
        tags: Sequence[str] = (),
        metadata: Mapping[str, str] | None = None,
        ready: Ready = "now",
        drain_delay: float = 0.0,
        on_conflict: OnConflict = "replace",
    ) -> Registration:
        """Register an instance; it comes back after every outage until it is closed. Never waits for ZooKeeper.

        Args:
            service: name of the service.
            port: TCP port that clients call; 0: not known yet, `registration.update(port=…)` tells it.
            host: what clients can reach: a name, an address, an interface (`"if:eth1"`) or a network (`"10.0.0.0/8"`).
                None: `ZKDISCOVERY_ADVERTISE_HOST`, `POD_IP`, or the address of the interface that leads to ZooKeeper.
            listen_port: port at which the program listens on this machine. None: `ZKDISCOVERY_LISTEN_PORT`, or `port`.
            id: unique within the service. None: `<hostname>@<host>:<port>`, so that a restarted process replaces its
                own leftover, and no instance of another machine.
            ready: "now": UP at once; "listening": STARTING until the port accepts connections; "manual": STARTING until
                `set_status(Status.UP)`.
            drain_delay: seconds between the goodbye and the end, for calls under way.
            on_conflict: what to do about another owner of the id: "replace" it, the first time only; "wait" until it is
                gone, after an expiry too; or "refuse" (CONFLICT). Where the id is not given, "replace" takes it from
                this machine's processes alone; that of another machine must be gone within two session timeouts, else
                it is a CONFLICT.

        The other arguments are those of `Instance`.

        Raises:
            InvalidName, InvalidInstance: a field can't be used; nothing is registered.
            RegistrationConflict: this client has registered the id already.
            ClientClosed: the client was closed.
        """
        entry: Options = {
            "service": service, "port": port, "host": host, "listen_port": listen_port, "id": id, "ports": ports or {},
            "tls_port": tls_port, "weight": weight, "zone": zone, "version": version, "tags": tags,
            "metadata": metadata or {}, "ready": ready, "drain_delay": drain_delay, "on_conflict": on_conflict,
        }  # fmt: skip
        return self.register_many([entry])[0]

    def register_many(self, entries: Iterable[Options]) -> list[Registration]:
        """Register many instances in a few transactions: each entry is a dict of the arguments of `register`.

        All or, whatever fails, none. Raises as `register`.
        """
        self._require_undrained()
        return self._use().registrar.register(entries)

    def registered(self, service: str, port: int, **options: Unpack[RegisterOptions]) -> _RegisteredDecorator:
        """Decorate a function that serves: registered while it runs, UP once its port listens, drained when it ends.

        The function takes the registration, or nothing. For `options` see `register`; `ready` is "listening" unless
        given.

        Raises:
            TypeError: at decoration, for `async def`, generator functions and more than one argument; at the call, if
                it returns a coroutine.
        """
        _require_name(service, "registered")
        options.setdefault("ready", "listening")
        return _RegisteredDecorator(lambda: self.register(service, port, **options))

    # -- operators --

    def override(
        self,
        service: str,
        id: str,
        *,
        status: Status | StatusName | None = None,
        weight: float | None = None,
        timeout: float | None = 5.0,
    ) -> Instance:
        """Put a status, a weight or both above what the owner of an instance wants; from any process.

        An owner that uses this SDK and has read the override keeps it over expiries, until it drains or its process
        ends. An owner that was cut off when the override was written and whose session then expires never reads it. An
        owner with other software, such as Spring Cloud, obeys it until it writes its own status or registers anew. The
        override of an instance without an owner stays.

        Returns:
            the instance as it stands now, with the override in `instance.override`.

        Raises:
            NodeMissing: no such instance.
            InvalidInstance: neither status nor weight, or out of range.
            NotConnected, OperationTimeout, AccessDenied: not done within `timeout` seconds, or refused.
        """
        return self._use().overrides.override(service, id, status, weight, check_timeout(timeout))

    def clear_override(self, service: str, id: str, *, timeout: float | None = 5.0) -> Instance:
        """Leave an instance to its owner again. Returns and raises as `override`."""
        return self._use().overrides.clear(service, id, check_timeout(timeout))

    def remove(self, service: str, id: str, *, timeout: float | None = 5.0) -> bool:
        """Delete an instance's node: leftovers and persistent nodes. A live owner comes back. True if it was there.

        Raises:
            NotConnected, OperationTimeout, AccessDenied: not done within `timeout` seconds, or refused.
        """
        return self._use().overrides.remove(service, id, check_timeout(timeout))

    # -- discovery --

    def service_names(self, timeout: float | None = 5.0) -> list[str]:
        """Names of all services, sorted; one read. Empty services may be listed until ZooKeeper reaps them.

        Raises:
            NotConnected, OperationTimeout, AccessDenied: not answered within `timeout` seconds, or refused.
        """
        return self._use().discovery.service_names(check_timeout(timeout))

    def instances(self, service: str, timeout: float | None = 5.0) -> list[Instance]:
        """All instances of a service, sorted by id; one read, without a watch. Raises as `service_names`."""
        return self._use().discovery.instances(service, check_timeout(timeout))

    def discover(
        self,
        service: str,
        *,
        balancer: str | Balancer = "p2c_ewma",
        where: Callable[[Instance], bool] | None = None,
        ejection: Ejection | None = Ejection(),  # noqa: B008 - immutable
        slow_start: float = 0.0,
        classify: Callable[[BaseException | None], Outcome] = outcome_of,
    ) -> Service:
        """A live view of a service. Never blocks; views of one service share one cache.

        Args:
            service: name of the service, which need not exist yet.
            balancer: name of a strategy, such as "round_robin", "least_in_flight" or "maglev", or one with its
                parameters, such as `PreferZone(then=RoundRobin())`.
            where: which instances count; called once for each change of an instance.
            ejection: when to leave out instances whose calls fail, as attempts and calls report; None: never.
            slow_start: seconds over which an instance that has just registered gets a growing part of its share; 0.0:
                the whole share at once.
            classify: what an exception says about the instance; None is no exception. See `outcome_of`, the default.

        Raises:
            InvalidName: no name for a service.
            InvalidSettings: unknown balancer, or something out of range.
            TypeError: `where` or `classify` is `async def`, or a generator function.
            ClientClosed: the client was closed.
        """

        def attach(view: Service) -> Attachment:
            return self._use().discovery.attach(view)  # another one after a fork

        view = make_view(
            service,
            self._use().settings.zone,
            attach,
            {
                "balancer": balancer, "where": where, "ejection": ejection, "slow_start": slow_start,
                "classify": classify,
            },
        )  # fmt: skip
        with self._lock:
            self._views.add(view)
            closed = self._closed
        if closed:  # by another thread, which did not see the view
            view.close()
            raise ClientClosed("the client was closed; make a new one")
        return view

    # -- election --

    def election(self, name: str, *, id: str | None = None, on_suspend: OnSuspend = "hold") -> Election:
        """An election to campaign in or to watch. Nothing is sent yet.

        Args:
            name: name of the election.
            id: what this candidate calls itself. None: `<hostname>:<pid>:<start of the process>`.
            on_suspend: "hold": a broken connection ends a term at its deadline; "release": at once.

        Raises:
            InvalidName: no name for an election, or no id.
        """
        election = election_room.Election(name, id, on_suspend, lambda: self._use().elections)
        with self._lock:
            self._require_undrained()
            self._elections.add(election)
        return election

    def election_names(self, timeout: float | None = 5.0) -> list[str]:
        """Names of all elections, sorted; one read. Raises as `service_names`."""
        return election_room.election_names(self._use().elections, check_timeout(timeout))

    def while_leader(
        self, name: str, *, id: str | None = None, on_suspend: OnSuspend = "hold", timeout: float | None = None
    ) -> _LeaderDecorator:
        """Decorate a function that only the leader may run. Calling it campaigns and blocks; it runs again after a
        loss.

        The function takes the term, or nothing. The call ends when the function returns (its result), or the client
        closes (None). It raises OperationTimeout if leadership is not won within `timeout` seconds.

        Raises:
            TypeError: at decoration, for `async def`, generator functions and more than one argument; at the call, if
                it returns a coroutine.
        """
        _require_name(name, "while_leader")
        return _LeaderDecorator(lambda: self.election(name, id=id, on_suspend=on_suspend), timeout)

    def __repr__(self) -> str:
        core = self._core
        hosts = core.settings.hosts if core else self._given["hosts"] or "from settings"
        return f"<Client {hosts} {self.state}>"

    def __reduce__(self) -> str:
        raise TypeError("a client holds a connection and can't be pickled; make one in the other process")

    # -- helpers --

    def _require_undrained(self) -> None:
        if self._ending.begun:
            raise ClientClosed("the client was drained or closed; make a new one")

    def _use(self) -> _Core:
        core = self._core
        if core is not None:
            return core
        from zkdiscovery.settings import load_settings  # noqa: PLC0415 - not at import, and the environment is read here

        with self._lock:
            if self._core is None and not self._closed:
                core = _Core(load_settings(self._settings, **self._given), self._dispatcher)
                core.session.listen(self._on_state)
                try:
                    core.session.start()
                except BaseException:  # no thread to be had: the next use begins anew
                    core.session.close(0.0)
                    raise
                self._core = core
            if self._core is not None:
                return self._core
        await_signals()  # one of them may have closed us
        raise ClientClosed("the client was closed; make a new one")

    def _on_state(self, change: StateChange) -> None:
        for subscription in self._subscriptions:
            self._dispatcher.offer(subscription, change.state)

    def _session_credentials(self) -> tuple[int, bytes, str]:
        """For tests: what ends the session from outside. A secret."""
        session = self._use().session
        credentials = session.credentials
        return (credentials.session_id, credentials.password, session.server) if credentials else (0, b"", "")

    def _forked(self) -> None:
        """In a forked child: nothing of the parent's connection, terms and registrations is ours."""
        core, self._core = self._core, None
        self._lock = threading.Lock()
        self._ending = self._ending.forked()
        self._dispatcher.forked()
        for election in list(self._elections):
            election.forked()
        for view in list(self._views):
            view._forked()
        if core is not None:
            core.registrar.forked()
            # Never used again, nor collected: closing its sockets here could disturb the parent's TLS.
            _abandoned.append(core)


_abandoned: list[_Core] = []


def _require_name(name: object, decorator: str) -> None:
    if callable(name):
        raise TypeError(f"the decorator needs a name: @client.{decorator}('name', …)")


class _RegisteredDecorator:
    """What `client.registered(...)` gives: a decorator for functions with the registration as argument, or none."""

    def __init__(self, register: Callable[[], Registration]) -> None:
        self._register = register

    @overload
    def __call__(self, fn: Callable[[Registration], R]) -> Callable[[], R]: ...

    @overload
    def __call__(self, fn: Callable[[], R]) -> Callable[[], R]: ...

    def __call__(self, fn: Callable[..., R]) -> Callable[[], R]:
        return registered(fn, self._register)


class _LeaderDecorator:
    """What `client.while_leader(...)` gives: a decorator for functions with the term as argument, or none."""

    def __init__(self, election: Callable[[], Election], timeout: float | None) -> None:
        check_timeout(timeout)
        self._election = election
        self._timeout = timeout

    @overload
    def __call__(self, fn: Callable[[Term], R]) -> Callable[[], R | None]: ...

    @overload
    def __call__(self, fn: Callable[[], R]) -> Callable[[], R | None]: ...

    def __call__(self, fn: Callable[..., R]) -> Callable[[], R | None]:
        return election_room.while_leader(fn, self._election, self._timeout, takes_term=takes_argument(fn))
