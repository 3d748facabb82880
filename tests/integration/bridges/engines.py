"""An engine of the tests: objects that come and go, events that may be dropped, outages. The bridge's other side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Self

from tests.support import LIMIT, wait_until
from zkdiscovery import Client, Instance
from zkdiscovery.bridges import Bridge, Death, Imported, Listing, SourceUnavailable
from zkdiscovery.bridges.naming import source_name


def imported(number: int, service: str = "web", **fields: Any) -> Imported:
    """One object of an engine."""
    return Imported(service, f"object-{number}", "10.0.0.1", 8000 + number, **fields)


class Engine:
    """An engine that a test changes. Attributes may be set at any time; `tell` is the event."""

    where = "the engine of the test"

    def __init__(self, identity: str = "engine-1", *, kind: str = "test", clustered: bool = True) -> None:
        self.kind = kind
        self.clustered = clustered
        self.relist = 60.0
        self.objects: dict[str, Imported] = {}
        self.problems: dict[str, str] = {}
        self.deaths: list[Death] = []
        self.settling = False
        self.returning = 0.0
        self.identities = identity
        self.error: Exception | None = None  # that every call raises
        self.gate = threading.Event()  # cleared: a list does not end
        self.gate.set()
        self.lists = 0
        self.faults = 0
        self.subscriptions = 0
        self._listeners: list[Callable[[], None]] = []

    # -- the test --

    @property
    def name(self) -> str:
        """The name of the source."""
        return source_name(self.kind, self.identities)

    def put(self, *objects: Imported) -> None:
        """Start or change objects."""
        self.objects = self.objects | {each.object_id: each for each in objects}
        self.tell()

    def remove(self, *numbers: int) -> None:
        """End objects."""
        self.objects = {key: each for key, each in self.objects.items() if key not in {f"object-{n}" for n in numbers}}
        self.tell()

    def tell(self) -> None:
        """Tell of an event."""
        for listener in list(self._listeners):
            listener()

    # -- a source --

    def bridged(self) -> Source:
        """This engine as one bridge sees it."""
        return Source(self)


class Source:
    """An engine, as one bridge sees it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.kind, self.where, self.clustered, self.relist = engine.kind, engine.where, engine.clustered, engine.relist
        self.error: Exception | None = None  # that every call of this bridge raises
        self._listener: Callable[[], None] | None = None

    def identity(self) -> str:
        self._check()
        return self.engine.identities

    def subscribe(self, changed: Callable[[], None]) -> None:
        self._check()
        self.engine.subscriptions += 1
        self._listener = changed
        self.engine._listeners.append(changed)

    def list(self) -> Listing:
        self._check()
        engine = self.engine
        engine.lists += 1
        objects = list(engine.objects.values())
        found = Listing(
            objects, dict(engine.problems), list(engine.deaths), settling=engine.settling, returning=engine.returning
        )
        if not engine.gate.wait(LIMIT):
            raise SourceUnavailable("the gate of the test stays closed")
        self._check()
        return found

    def close(self) -> None:
        if self._listener in self.engine._listeners:
            self.engine._listeners.remove(self._listener)

    def _check(self) -> None:
        error = self.error or self.engine.error
        if error is not None:
            self.engine.faults += 1
            raise error


class Running:
    """A bridge that runs on a thread, in a `with` block."""

    def __init__(self, client: Client, source: Any) -> None:
        self.bridge = Bridge(client, source)
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="bridge of the test")

    def _run(self) -> None:
        try:
            self.bridge.run()
        except BaseException as error:
            self.error = error

    def stop(self) -> None:
        """End it in order."""
        self.bridge.close()
        self._thread.join(LIMIT)
        assert not self._thread.is_alive()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


def wait_instances(
    client: Client, service: str, condition: Callable[[Mapping[int, Instance]], object], timeout: float = LIMIT
) -> Mapping[int, Instance]:
    """Wait until the instances of a service, by port, are as wanted."""
    found: dict[int, Instance] = {}

    def holds() -> object:
        nonlocal found
        found = {instance.port: instance for instance in client.instances(service, LIMIT)}
        return condition(found)

    try:
        wait_until(holds, timeout)
    except AssertionError:
        raise AssertionError(f"waited in vain; there is {found}") from None
    return found


def wait_ports(client: Client, service: str, *numbers: int) -> Mapping[int, Instance]:
    """Wait until a service has exactly these objects."""
    wanted = {8000 + number for number in numbers}
    return wait_instances(client, service, lambda found: found.keys() == wanted)
