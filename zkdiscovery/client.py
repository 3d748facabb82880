"""The client: the public names of all features. No logic of its own.

Constructing a client does no I/O, starts no thread and reads no environment, so it is safe at import time and before a
fork. The first use makes its core, see core.py; a forked child gets another one, with a connection of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from zkdiscovery.codecs import Codec
from zkdiscovery.config import ConfigMethods
from zkdiscovery.core import Core, CoreSlot, Feature
from zkdiscovery.discovery import Discovery, Service, ViewOptions
from zkdiscovery.election import Election, LeaderDecorator, Observers, OnSuspend
from zkdiscovery.lifecycle import DEFAULT, Default, Level, end_client
from zkdiscovery.locks import LockMethods
from zkdiscovery.model import Instance, Status, StatusName
from zkdiscovery.registration import (
    Options,
    Overrides,
    RegisteredDecorator,
    RegisterOptions,
    Registrar,
    Registration,
)
from zkdiscovery.session import State
from zkdiscovery.shards import ShardMethods
from zkdiscovery.threads import Subscription
from zkdiscovery.validation import check_timeout, require_name

if TYPE_CHECKING:
    from zkdiscovery.settings import Settings

F = TypeVar("F", bound=Feature)


class Client(LockMethods, ShardMethods, ConfigMethods):
    """A connection to ZooKeeper for registering, discovering, electing and locking.

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
        codec: the wire format of instances: a name, such as "curator", or a codec. See `Codec`.

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
        codec: str | Codec = "curator",
    ) -> None:
        self._given: dict[str, Any] = {
            "hosts": hosts,
            "namespace": namespace,
            "base_path": base_path,
            "zone": zone,
            "session_timeout": session_timeout,
        }
        self._settings = settings
        self._codec = codec
        self.slot = CoreSlot(self._make_core, hosts or "from settings")

    # -- life --

    def start(self) -> Self:
        """Begin to connect; returns at once, whether or not ZooKeeper is there.

        Raises:
            InvalidSettings: the settings can't be used.
            ClientClosed: the client was closed.
        """
        self.slot.current()
        return self

    def drain(self, timeout: float | Default | None = DEFAULT) -> None:
        """End all terms and take all instances out; nothing new is held from now on. Idempotent.

        Views, calls and the session go on until `close()`, so a server can finish the requests that it has.

        Args:
            timeout: as in `close`.
        """
        end_client(self.slot, Level.DRAINED, timeout)

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
        end_client(self.slot, Level.CLOSED, timeout)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def state(self) -> State:
        """NEW, CONNECTED, SUSPENDED, EXPIRED (a new session follows by itself) or CLOSED."""
        return self.slot.state

    @property
    def settings(self) -> Settings:
        """The settings in force, from arguments, `settings=`, the environment and defaults. Starts the client.

        Raises:
            InvalidSettings: the settings can't be used.
            ClientClosed: the client was closed.
        """
        return self.slot.current().settings

    @property
    def session_timeout(self) -> float:
        """The session timeout that the server granted, in seconds; the one asked for before the first connection.

        Starts the client.

        Raises:
            InvalidSettings: the settings can't be used.
            ClientClosed: the client was closed.
        """
        return self.slot.current().session.timeout

    def on_change(self, fn: Callable[[State], object]) -> Subscription[State]:
        """Call `fn(state)` on the client's dispatcher thread when the state changed.

        Raises:
            TypeError: `fn` is no plain callable.
        """
        return self.slot.states.subscribe(fn)

    def wait_connected(self, timeout: float | None = 10.0) -> Self:
        """Wait for a connection.

        Raises:
            NotConnected: none within `timeout` seconds.
            AuthenticationFailed, UnsupportedServer: there will be none.
        """
        self.slot.current().session.wait_connected(check_timeout(timeout))
        return self

    # -- registration --

    def register(self, service: str, port: int, **options: Unpack[RegisterOptions]) -> Registration:
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
            drain_delay: seconds between DRAINING and the deletion, for calls under way.
            checks: health checks, such as `[HttpCheck("/ready")]`: STARTING until each has passed once, DOWN while one
                fails. With `ready="listening"` they begin once the port accepts connections.
            deregister_after: seconds of being DOWN by its checks after which the instance is deregistered, until they
                pass again; None: never.
            on_conflict: what to do about another owner of the id: "replace" it, the first time only; "wait" until it is
                gone, after an expiry too; or "refuse" (CONFLICT). Where the id is not given, "replace" takes it from
                this machine's processes alone; that of another machine must be gone within two session timeouts, else
                it is a CONFLICT. "share": all processes of this machine that say so and advertise the same address,
                such as the workers behind one port, have one registration; any other owner is waited for.

        The other options are those of `Instance`. Defaults: `zone` of the client, `ready="now"`, `drain_delay=0.0`,
        `on_conflict="replace"`; `host`, `listen_port` and `id` None.

        Raises:
            InvalidName, InvalidInstance: a field can't be used; nothing is registered.
            RegistrationConflict: this client has registered the id already.
            ClientClosed: the client was closed.
        """
        return self.register_many([{"service": service, "port": port, **options}])[0]

    def register_many(self, entries: Iterable[Options]) -> list[Registration]:
        """Register many instances in a few transactions: each entry is a dict of the arguments of `register`.

        All or, whatever fails, none. Raises as `register`.
        """
        return self.slot.current().feature(Registrar).register(entries, Registration)

    def registered(self, service: str, port: int, **options: Unpack[RegisterOptions]) -> RegisteredDecorator:
        """Decorate a function that serves: registered while it runs, UP once its port listens, drained when it ends.

        The function takes the registration, or nothing. For `options` see `register`; `ready` is "listening" unless
        given.

        Raises:
            TypeError: at decoration, for `async def`, generator functions and more than one argument; at the call, if
                it returns a coroutine.
        """
        require_name(service, "registered")
        options.setdefault("ready", "listening")
        return RegisteredDecorator(lambda: self.register(service, port, **options))

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
        return self.slot.current().feature(Overrides).override(service, id, status, weight, check_timeout(timeout))

    def clear_override(self, service: str, id: str, *, timeout: float | None = 5.0) -> Instance:
        """Leave an instance to its owner again. Returns and raises as `override`."""
        return self.slot.current().feature(Overrides).clear(service, id, check_timeout(timeout))

    def remove(self, service: str, id: str, *, timeout: float | None = 5.0) -> bool:
        """Delete an instance's node: leftovers and persistent nodes. A live owner comes back. True if it was there.

        Raises:
            NotConnected, OperationTimeout, AccessDenied: not done within `timeout` seconds, or refused.
        """
        return self.slot.current().feature(Overrides).remove(service, id, check_timeout(timeout))

    # -- discovery --

    def service_names(self, timeout: float | None = 5.0) -> list[str]:
        """Names of all services, sorted; one read. Empty services may be listed until ZooKeeper reaps them.

        Raises:
            NotConnected, OperationTimeout, AccessDenied: not answered within `timeout` seconds, or refused.
        """
        return self.slot.current().feature(Discovery).service_names(check_timeout(timeout))

    def instances(self, service: str, timeout: float | None = 5.0) -> list[Instance]:
        """All instances of a service, sorted by id; one read, without a watch. Raises as `service_names`."""
        return self.slot.current().feature(Discovery).instances(service, check_timeout(timeout))

    def discover(self, service: str, **options: Unpack[ViewOptions]) -> Service:
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
            fallback: a file for the last known instances, from which a process starts while ZooKeeper can't be reached.

        The other defaults are `balancer="p2c_ewma"`, `where=None`, `ejection=Ejection()`, `slow_start=0.0` and
        `fallback=None`.

        Raises:
            InvalidName: no name for a service.
            InvalidSettings: unknown balancer, or something out of range.
            TypeError: `where` or `classify` is `async def`, or a generator function.
            ClientClosed: the client was closed.
        """
        return self.slot.current().feature(Discovery).view(service, Service, **options)

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
        self.slot.require_undrained()
        return Election(name, id, on_suspend, self.slot)

    def election_names(self, timeout: float | None = 5.0) -> list[str]:
        """Names of all elections, sorted; one read. Raises as `service_names`."""
        return self.slot.current().feature(Observers).names(check_timeout(timeout))

    def while_leader(
        self, name: str, *, id: str | None = None, on_suspend: OnSuspend = "hold", timeout: float | None = None
    ) -> LeaderDecorator:
        """Decorate a function that only the leader may run. Calling it campaigns and blocks; it runs again after a
        loss.

        The function takes the term, or nothing. The call ends when the function returns (its result), or the client
        closes (None). It raises OperationTimeout if leadership is not won within `timeout` seconds.

        Raises:
            TypeError: at decoration, for `async def`, generator functions and more than one argument; at the call, if
                it returns a coroutine.
        """
        require_name(name, "while_leader")
        return LeaderDecorator(lambda: self.election(name, id=id, on_suspend=on_suspend), timeout)

    # -- features from outside --

    def feature(self, kind: type[F]) -> F:
        """The feature of a class of your own, made with this client's core at the first use.

        A forked child gets another one: ask the client each time, and keep none.

        Args:
            kind: a subclass of `Feature`.

        Raises:
            ClientClosed: the client was closed; for what is held in ZooKeeper, or drained.
        """
        return self.slot.current().feature(kind)

    def __repr__(self) -> str:
        return repr(self.slot)

    def __reduce__(self) -> str:
        raise TypeError("a client holds a connection and can't be pickled; make one in the other process")

    def _make_core(self, slot: CoreSlot) -> Core:
        # Not at import: both take long, and settings read the environment.
        from zkdiscovery.codecs.named import resolve_codec  # noqa: PLC0415
        from zkdiscovery.settings import load_settings  # noqa: PLC0415

        return Core(slot, load_settings(self._settings, **self._given), resolve_codec(self._codec))
