"""The async client: the names of `Client`, awaitable. No logic of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Self, TypeVar, Unpack

# Not at the first use, which may be on the loop: loading them takes a tenth of a second.
import zkdiscovery.codecs.named
import zkdiscovery.settings  # noqa: F401
from zkdiscovery.aio import decorators
from zkdiscovery.aio.config_methods import AsyncConfigMethods
from zkdiscovery.aio.election import AsyncElection
from zkdiscovery.aio.lock_methods import AsyncLockMethods
from zkdiscovery.aio.operations import Operations, in_thread
from zkdiscovery.aio.registration import AsyncRegistration
from zkdiscovery.aio.running import closing_task
from zkdiscovery.aio.service import AsyncService
from zkdiscovery.aio.shard_methods import AsyncShardMethods
from zkdiscovery.aio.subscription import AsyncSubscription
from zkdiscovery.aio.waiting import take_steps
from zkdiscovery.client import Client
from zkdiscovery.codecs import Codec
from zkdiscovery.core import Core, CoreSlot, Feature
from zkdiscovery.discovery import Discovery, ViewOptions
from zkdiscovery.election import Observers, OnSuspend
from zkdiscovery.lifecycle import DEFAULT, Default
from zkdiscovery.model import Instance, Status, StatusName
from zkdiscovery.registration import Options, Overrides, RegisterOptions, Registrar
from zkdiscovery.session import State
from zkdiscovery.threads import latest
from zkdiscovery.validation import check_timeout, require_name

if TYPE_CHECKING:
    from zkdiscovery.settings import Settings

F = TypeVar("F", bound=Feature)
T = TypeVar("T")


class AsyncClient(AsyncConfigMethods, AsyncShardMethods, AsyncLockMethods):
    """A connection to ZooKeeper for registering, discovering, electing and locking, on asyncio.

    `async with client:` starts and closes it, off the loop. `register`, `discover`, `election` and what reads memory
    are plain calls, as in `Client`; what may wait is awaited. Cancelling any await leaves nothing behind. A client
    works in several loops, and in several `asyncio.run()`, one after the other.

    The arguments are those of `Client`.

    Attributes:
        sync: the `Client` inside: the same session, registrations and caches, for code on threads.

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
        self.sync = Client(
            hosts,
            namespace=namespace,
            base_path=base_path,
            zone=zone,
            session_timeout=session_timeout,
            settings=settings,
            codec=codec,
        )

    @classmethod
    def of(cls, client: Client) -> Self:
        """The async client of a `Client`, which it shares; closing one closes the other."""
        made = cls.__new__(cls)
        made.sync = client
        return made

    @property
    def slot(self) -> CoreSlot:
        """The slot of the client; for features from outside."""
        return self.sync.slot

    # -- life --

    async def start(self) -> Self:
        """Begin to connect; returns at once, whether or not ZooKeeper is there.

        Raises:
            InvalidSettings: the settings can't be used.
            ClientClosed: the client was closed.
        """
        await self._core()
        return self

    async def drain(self, timeout: float | Default | None = DEFAULT) -> None:
        """End all terms and take all instances out; nothing new is held from now on. Idempotent.

        Views, calls and the session go on until `aclose()`, so a server can finish the requests that it has.

        Args:
            timeout: as in `aclose`.
        """
        await self._ending(partial(self.sync.drain, timeout))

    async def aclose(self, timeout: float | Default | None = DEFAULT) -> None:
        """End all terms, take all instances out, close the views, end the session. Idempotent.

        It runs on a thread, and goes on if the wait for it is cancelled. The tasks of other campaigns are cancelled.

        Args:
            timeout: seconds in all; drain delays that do not fit in are cut. Not given: `settings.close_timeout`, or
                3 s more than the longest `drain_delay` if that is longer.
        """
        await self._ending(partial(self.sync.close, timeout))

    async def __aenter__(self) -> Self:
        try:
            return await self.start()
        except BaseException:  # cancelled, but the thread goes on
            await self.aclose()
            raise

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    @property
    def state(self) -> State:
        """NEW, CONNECTED, SUSPENDED, EXPIRED (a new session follows by itself) or CLOSED."""
        return self.sync.state

    @property
    def settings(self) -> Settings:
        """The settings in force, from arguments, `settings=`, the environment and defaults. Starts the client.

        Raises:
            InvalidSettings: the settings can't be used.
            ClientClosed: the client was closed.
        """
        return self.sync.settings

    @property
    def session_timeout(self) -> float:
        """The session timeout that the server granted, in seconds; see `Client.session_timeout`. Starts the client."""
        return self.sync.session_timeout

    def on_change(self, fn: Callable[[State], object]) -> AsyncSubscription[State]:
        """Call `fn(state)`, which may be `async def`, on this loop when the state changed.

        Raises:
            TypeError: `fn` can't be called.
            RuntimeError: no event loop runs.
        """
        return AsyncSubscription(self.slot.states.subscribe, fn, latest)

    async def wait_connected(self, timeout: float | None = 10.0) -> Self:
        """Wait for a connection.

        Raises:
            NotConnected: none within `timeout` seconds.
            AuthenticationFailed, UnsupportedServer: there will be none.
        """
        limit = check_timeout(timeout)
        core = await self._core()
        await take_steps(core.session.connecting(limit))
        return self

    # -- registration --

    def register(self, service: str, port: int, **options: Unpack[RegisterOptions]) -> AsyncRegistration:
        """Register an instance; it comes back after every outage until it is closed. Never waits for ZooKeeper.

        For the arguments, and what it raises, see `Client.register`.
        """
        return self.register_many([{"service": service, "port": port, **options}])[0]

    def register_many(self, entries: Iterable[Options]) -> list[AsyncRegistration]:
        """Register many instances in a few transactions: each entry is a dict of the arguments of `register`.

        All or, whatever fails, none. Raises as `register`.
        """
        return self.slot.current().feature(Registrar).register(entries, AsyncRegistration)

    def registered(self, service: str, port: int, **options: Unpack[RegisterOptions]) -> decorators.RegisteredDecorator:
        """Decorate an `async def` that serves: registered while it runs, UP once its port listens, drained at its end.

        The function takes the registration, or nothing. For `options` see `Client.register`; `ready` is "listening"
        unless given.

        Raises:
            TypeError: at decoration, for what is no function or takes more than one argument; at the call, if what it
                returns can't be awaited.
        """
        require_name(service, "registered")
        options.setdefault("ready", "listening")
        return decorators.RegisteredDecorator(lambda: self.register(service, port, **options))

    # -- operators --

    async def override(
        self,
        service: str,
        id: str,
        *,
        status: Status | StatusName | None = None,
        weight: float | None = None,
        timeout: float | None = 5.0,
    ) -> Instance:
        """Put a status, a weight or both above what the owner of an instance wants. See `Client.override`."""
        limit = check_timeout(timeout)
        return await self._run(lambda core: core.feature(Overrides).override(service, id, status, weight, limit))

    async def clear_override(self, service: str, id: str, *, timeout: float | None = 5.0) -> Instance:
        """Leave an instance to its owner again. Returns and raises as `override`."""
        limit = check_timeout(timeout)
        return await self._run(lambda core: core.feature(Overrides).clear(service, id, limit))

    async def remove(self, service: str, id: str, *, timeout: float | None = 5.0) -> bool:
        """Delete an instance's node: leftovers and persistent nodes. A live owner comes back. True if it was there.

        Raises:
            NotConnected, OperationTimeout, AccessDenied: not done within `timeout` seconds, or refused.
        """
        limit = check_timeout(timeout)
        return await self._run(lambda core: core.feature(Overrides).remove(service, id, limit))

    # -- discovery --

    async def service_names(self, timeout: float | None = 5.0) -> list[str]:
        """Names of all services, sorted; one read. Empty services may be listed until ZooKeeper reaps them.

        Raises:
            NotConnected, OperationTimeout, AccessDenied: not answered within `timeout` seconds, or refused.
        """
        limit = check_timeout(timeout)
        return await self._run(lambda core: core.feature(Discovery).service_names(limit))

    async def instances(self, service: str, timeout: float | None = 5.0) -> list[Instance]:
        """All instances of a service, sorted by id; one read, without a watch. Raises as `service_names`."""
        limit = check_timeout(timeout)
        return await self._run(lambda core: core.feature(Discovery).instances(service, limit))

    def discover(self, service: str, **options: Unpack[ViewOptions]) -> AsyncService:
        """A live view of a service. Never blocks; views of one service share one cache.

        For the options, and what it raises, see `Client.discover`.
        """
        return self.slot.current().feature(Discovery).view(service, AsyncService, **options)

    # -- election --

    def election(self, name: str, *, id: str | None = None, on_suspend: OnSuspend = "hold") -> AsyncElection:
        """An election to campaign in or to watch. Nothing is sent yet.

        For the arguments, and what it raises, see `Client.election`.
        """
        self.slot.require_undrained()
        return AsyncElection(name, id, on_suspend, self.slot)

    async def election_names(self, timeout: float | None = 5.0) -> list[str]:
        """Names of all elections, sorted; one read. Raises as `service_names`."""
        limit = check_timeout(timeout)
        return await self._run(lambda core: core.feature(Observers).names(limit))

    def while_leader(
        self, name: str, *, id: str | None = None, on_suspend: OnSuspend = "hold", timeout: float | None = None
    ) -> decorators.LeaderDecorator:
        """Decorate an `async def` that only the leader may run. Awaiting it campaigns; a loss cancels it, and it runs
        again.

        The function takes the term, or nothing. The await ends when the function returns (its result), or the client
        closes (None). It raises OperationTimeout if leadership is not won within `timeout` seconds.

        Raises:
            TypeError: at decoration, for what is no function or takes more than one argument; at the call, if what it
                returns can't be awaited.
        """
        require_name(name, "while_leader")
        return decorators.LeaderDecorator(lambda: self.election(name, id=id, on_suspend=on_suspend), timeout)

    # -- features from outside --

    def feature(self, kind: type[F]) -> F:
        """The feature of a class of your own; see `Client.feature`."""
        return self.sync.feature(kind)

    def __repr__(self) -> str:
        return f"<Async{repr(self.sync).removeprefix('<')}"

    def __reduce__(self) -> str:
        raise TypeError("a client holds a connection and can't be pickled; make one in the other process")

    async def _core(self) -> Core:
        """The present core, made off the loop if there is none."""
        slot = self.slot
        return slot.current() if slot.started else await in_thread(slot.current, "zkdiscovery-start")

    async def _run(self, work: Callable[[Core], T]) -> T:
        """Do blocking work off the loop, on one of the threads of the client."""
        core = await self._core()
        return await core.feature(Operations).run(partial(work, core))

    async def _ending(self, end: Callable[[], None]) -> None:
        context = copy_context()
        context.run(closing_task.set, asyncio.current_task())
        await in_thread(partial(context.run, end), "zkdiscovery-closing")
