"""Terms of elections, locks, barriers and changes of counters, which a static client grants at once."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar, cast

from zkdiscovery.core import Core
from zkdiscovery.election.candidacy import RESIGNED, MakeTerm
from zkdiscovery.locks import Contender, Counters, Kind, Layout, Limit, Locks, MakeHold, Party, Place, Standing
from zkdiscovery.locks.counters import check_range
from zkdiscovery.session import Lease
from zkdiscovery.threads import Monitor, Steps
from zkdiscovery.znodes import BaseHold

H = TypeVar("H", bound=BaseHold)


class Granted:
    """In the place of a `Candidacy`: the term is there at once."""

    error = None

    def __init__(self, election: str, fence: int, make_term: MakeTerm) -> None:
        self.election = election
        self.changed = Monitor()
        self._lease = Lease(cast("Any", self), "", math.inf, hold=True, on_lost=lambda _reason: None)
        self.hold = make_term(election, fence, self._lease, partial(self.withdraw, RESIGNED))

    @property
    def over(self) -> bool:
        return self.hold.lost

    def forget(self, lease: Lease) -> None:
        """The lease asks to be renewed no more."""

    def withdraw(self, reason: str) -> None:
        self.end_hold(reason)

    def end_hold(self, reason: str) -> None:
        self._lease.end(reason)

    def leaving(self, _timeout: float) -> Steps[None]:
        """It is gone at once."""
        yield from ()

    def forked(self) -> None:
        self._lease.disown()


class GrantedPlace(Place[H]):
    """A place that holds its lock from the beginning."""

    def __init__(
        self,
        title: str,
        parent: str,
        fence: int,
        make_hold: MakeHold[H],
        on_request: Callable[[H], object],
        on_lost: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        self.parent = parent
        self.set_up(title, on_request)
        self.changed = Monitor()
        self._granted_lease = Lease(cast("Any", self), "", math.inf, hold=True, on_lost=on_lost)
        self._granted = make_hold(title, fence, self._granted_lease, self.release)

    @property
    def hold(self) -> H | None:
        """The hold, which may be lost."""
        return self._granted

    @property
    def over(self) -> bool:
        return self._granted.lost

    def forget(self, lease: Lease) -> None:
        """The lease asks to be renewed no more."""

    def withdraw(self, reason: str) -> None:
        self.end_hold(reason)

    def end_hold(self, reason: str) -> None:
        self._granted_lease.end(reason)

    def leaving(self, timeout: float) -> Steps[None]:  # noqa: ARG002 - it is gone at once
        yield from ()

    def forked(self) -> None:
        self._granted_lease.disown()


class GrantedParty(Party):
    """A party that waits for nobody."""

    def __init__(self, title: str) -> None:
        self.set_up(title)
        self.group = "granted"

    def begin_leaving(self) -> None:
        self.release()

    def release(self) -> None:
        self.alone = self.over = True

    def leaving(self, timeout: float) -> Steps[None]:  # noqa: ARG002 - it is gone at once
        yield from ()


class GrantedCounters(Counters):
    """Counters of this process."""

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        self._granted_lock = threading.Lock()
        self._values: dict[str, int] = {}

    def value(self, path: str, timeout: float) -> int:  # noqa: ARG002 - it is read at once
        return self._values.get(path, 0)

    def change(
        self,
        path: str,
        title: str,
        compute: Callable[[int], int | None],
        guard: BaseHold | None,
        timeout: float,  # noqa: ARG002 - it is changed at once
    ) -> int | None:
        if guard is not None:
            guard.check()
        with self._granted_lock:
            value = compute(self._values.get(path, 0))
            if value is None:
                return None
            check_range(title, path, value)
            self._values[path] = value
            return value


class GrantedLocks(Locks):
    """Locks that are held at once, with fences that grow; barriers that are open."""

    def __init__(self, core: Core) -> None:
        super().__init__(core)
        self._fences = itertools.count(1)
        self._granted: list[tuple[Contender, GrantedPlace[Any]]] = []

    def take_place(
        self,
        title: str,
        parent: str,
        kind: Kind,  # noqa: ARG002 - all are granted
        layout: Layout,  # noqa: ARG002
        id: str,
        make_hold: MakeHold[H],
        on_request: Callable[[H], object],
        limit: Limit | None = None,  # noqa: ARG002
    ) -> Place[H]:
        fence = next(self._fences)

        def make() -> Place[H]:
            place = GrantedPlace(title, parent, fence, make_hold, on_request)
            self._granted.append((Contender(id, fence, path=f"{parent}/{fence}"), place))
            return place

        return self.keep(make)

    def come(self, title: str, parent: str, parties: int, id: str) -> Party:  # noqa: ARG002 - all may enter
        return self.keep(lambda: GrantedParty(title))

    def contenders(self, parent: str, timeout: float) -> Standing:  # noqa: ARG002
        return Standing([who for who, place in self._granted if place.parent == parent and place.holds], [])

    def semaphore_contenders(self, parent: str, timeout: float) -> Standing:
        return self.contenders(f"{parent}/leases", timeout)

    def request_release(self, holders: Sequence[Contender], timeout: float) -> list[Contender]:  # noqa: ARG002
        asked = [(who, place) for who, place in self._granted if who in holders and place.holds]
        for _, place in asked:
            place.note_request()
        return [who for who, _ in asked]

    def set_limit(self, parent: str, number: int, timeout: float) -> None:
        """Grant all, whatever the limit is."""

    def lose(self, name: str) -> None:
        """End the holds of the locks of a name."""
        paths = self.core.paths
        for _, place in self._granted:
            if place.parent in {paths.lock(name), f"{paths.semaphore(name)}/leases"}:
                place.end_hold("lost in a test")
