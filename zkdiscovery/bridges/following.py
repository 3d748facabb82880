"""What a bridge does in ZooKeeper for one source: who may write, what is to be written, and what must not be touched.

Guarantees
- Nothing is written before the first full list, nor by a list that was asked for before the bridge led.
- What the first listing of a bridge lacks goes at once only if the source can't have lost its data before.
- What another bridge or the next run of a container has created after the list was asked for is not removed by it.
- What can't be imported, or is refused, harms none of the others; it is logged once, and tried again.
- An export that fails harms no import: only a list tells whether the source is away.

Threads: the bridge's.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from zkdiscovery.bridges.catalogue import Catalogue, Entry
from zkdiscovery.bridges.checking import Checking
from zkdiscovery.bridges.ephemerals import Ephemerals
from zkdiscovery.bridges.leadership import Leadership
from zkdiscovery.bridges.naming import Key, above, source_name, to_instance
from zkdiscovery.bridges.presence import Presence
from zkdiscovery.bridges.source import Exporter, Imported, Listing, Source, SourceRefused, SourceUnavailable
from zkdiscovery.bridges.writer import Refusals, Writer
from zkdiscovery.client import Client
from zkdiscovery.errors import InvalidInstance, InvalidName, InvalidSettings, ZkDiscoveryError
from zkdiscovery.model import Instance
from zkdiscovery.registration.checks import ProbingCheck
from zkdiscovery.session import Digest, State
from zkdiscovery.znodes import BaseHold

log = logging.getLogger("zkdiscovery.bridges")

REFUSED_DELAY = 10.0  # seconds until what ZooKeeper or the source refuses is tried again
EXPORT_DELAY = 1.0  # seconds until an export that the source could not take is tried again
EXPORT = "the export"  # among the problems


class Refused(NamedTuple):
    """What ZooKeeper has refused, why, and when to try again, in monotonic seconds."""

    target: Instance | None
    error: ZkDiscoveryError
    until: float


class Following:
    """One source in ZooKeeper, from the moment at which its identity is known.

    Args:
        client: the connection to ZooKeeper.
        source: the source.
        identity: of the source.
        changed: called when there may be something to do; must not block.

    Attributes:
        name: of the source.

    Raises:
        InvalidSettings: the codec of the client does not keep the mark.
    """

    def __init__(self, client: Client, source: Source, identity: str, changed: Callable[[], None]) -> None:
        core = self._core = client.slot.current()
        self._session = core.session
        self._source = source
        self.identity = identity
        self.name = source_name(source.kind, identity)
        self._require_mark()
        self._catalogue = Catalogue(core, changed, self.name, everything=isinstance(source, Exporter))
        self._presence = Presence(core, self.name, source, identity)
        self._writer = Writer(core, self.name)
        self._ephemerals = None if source.clustered else Ephemerals(core)
        self._leadership = Leadership(client, self.name, changed) if source.clustered else None
        self._checking = Checking(core, changed)
        self._loaded = False  # the catalogue was complete once
        self._began = time.monotonic()
        self._awaited: frozenset[Key] | None = None  # what the first listing lacked; None: there was none yet
        self._listing: Listing | None = None
        self._instances: list[tuple[Imported, Instance]] = []  # what can be imported of it
        self._invalid: dict[str, str] = {}  # and what can't
        self._listed_at = 0  # highest transaction id that was known when the listing was asked for
        self._listed_in: object = None  # the connection and the term in which it was asked for
        self._too_old = False  # a younger listing has to decide
        self._seen: dict[Key, tuple[Instance, int]] = {}  # what stood as desired, by the transaction id
        self._refused: dict[Key, Refused] = {}
        self._problems: dict[str, str] = {}
        self._exported: object = None
        self._not_exported: Mapping[str, str] = {}
        self._await_until = math.inf  # monotonic seconds until which something is awaited
        self._export_at = math.inf  # monotonic seconds at which an export that failed is tried again

    def _require_mark(self) -> None:
        core = self._core
        sample = Instance("sample", "127.0.0.1", 1, id="sample", source=self.name)
        if core.codec.decode("sample", "sample", core.codec.encode(sample)).source != self.name:
            raise InvalidSettings("the codec of this client does not keep the source of an instance; bridges need it")

    # -- who may write --

    @property
    def _term(self) -> BaseHold | None:
        return None if self._leadership is None else self._leadership.term

    @property
    def _turn(self) -> object:
        """What a listing is good for: another connection or term needs another one; None: nothing may be written."""
        if self._leadership is None:
            return self._loaded
        term = self._term
        ready = term is not None and self._session.state is State.CONNECTED and self._catalogue.complete
        return (self._session.generation, term) if ready else None

    def prepare(self) -> bool:
        """Announce the bridge. True if it has a use for a listing.

        Raises:
            ZkDiscoveryError: ZooKeeper can't be reached, or refuses.
        """
        if self._session.state is State.CONNECTED:
            self._presence.announce()
            self._loaded = self._loaded or self._catalogue.complete
        if self._leadership is not None and self._term is None:
            self._checking.close()  # the leader checks
        return bool(self._turn)

    @property
    def listing_due(self) -> bool:
        """True if no listing was taken in this turn."""
        return self._too_old or self._listed_in != self._turn

    def ask(self) -> None:
        """Ask the source for all that it has.

        Raises:
            SourceUnavailable, SourceRefused: as `Source.list`.
        """
        turn, at = self._turn, self._session.highest_zxid
        self._listing = listing = self._source.list()
        self._listed_in, self._listed_at, self._too_old = turn, at, False
        self._exported = None  # somebody may have changed it there
        before = {(known.service, known.object_id, known.port): (known, made) for known, made in self._instances}
        self._instances, self._invalid = [], dict(listing.problems)
        for imported in listing.instances:
            known = before.get((imported.service, imported.object_id, imported.port))
            try:
                if known is not None and (known[0] is imported or known[0] == imported):
                    self._instances.append(known)  # a change concerns few of them
                else:
                    self._instances.append((imported, to_instance(self.name, imported)))
            except (InvalidInstance, InvalidName) as error:
                self._invalid[f"{imported.service} ({imported.object_id})"] = str(error)

    # -- while the source is away --

    def tell_away(self, since: float, why: str) -> None:
        """Say in ZooKeeper that the source is away. Raises as `Presence.tell_away`."""
        self._listed_in = None
        if self._session.state is State.CONNECTED and (self._leadership is None or self._term is not None):
            self._presence.tell_away(since, why, self._term)

    def step_aside(self) -> None:
        """Let another bridge try, if there is one. Raises as `Leadership.step_aside`."""
        if self._leadership is not None and self._leadership.step_aside(self._session.settings.operation_timeout):
            log.warning("%s can't be reached from here, so another bridge leads", self.name)

    # -- writing --

    def reconcile(self) -> None:
        """Write the difference between the listing and what stands in ZooKeeper.

        Raises:
            HoldLost: another bridge leads.
            ZkDiscoveryError: ZooKeeper can't be reached; whatever was done, a listing of the next turn goes on.
        """
        listing = self._listing
        term = self._term
        if listing is None or self._listed_in != self._turn:
            return
        problems = dict(self._invalid)
        desired, checks = self._desired(problems)
        standing = self._catalogue.of_source(self.name)
        instances = {key: entry.instance for key, entry in standing.items()}
        desired = self._checking.decide(desired, checks, instances, problems)
        desired = self._await(desired, standing, listing.returning, problems)
        if listing.settling:
            desired = _settled(desired, standing)
        complete = self._catalogue.complete
        refused: Refusals = {}
        if self._ephemerals is not None:
            refused = self._ephemerals.keep(desired, instances)
        if complete:
            self._presence.tell_back(term)
            differing = (
                self._differing(desired, standing) if self._ephemerals is None else self._leftovers(desired, standing)
            )
            self._note_refused(differing, self._writer.write(differing, term))
            self._delete_dead(listing, term)
        refused |= {key: known.error for key, known in self._refused.items()}
        problems |= {f"{key.id} of {key.service}": str(error) for key, error in refused.items()}
        if complete and isinstance(self._source, Exporter):
            problems |= self._export(self._source)
        self._tell(problems)

    def _await(
        self, desired: dict[Key, Instance], standing: Mapping[Key, Entry], returning: float, problems: dict[str, str]
    ) -> dict[Key, Instance]:
        """Return what is to stand while what the first listing lacked may still come back."""
        until = self._began + returning
        if time.monotonic() >= until:
            self._awaited = frozenset()
        elif self._awaited is None:
            self._awaited = frozenset(standing)
        self._awaited &= standing.keys() - desired.keys()
        self._await_until = until if self._awaited else math.inf
        if not self._awaited:
            return desired
        problems.setdefault(
            self._source.where,
            "it lacks instances that it had before this bridge began, so they stay until they must have come back",
        )
        return desired | {key: standing[key].instance.own for key in self._awaited}

    def _desired(self, problems: dict[str, str]) -> tuple[dict[Key, Instance], dict[Key, ProbingCheck]]:
        """Return what the source has, and its checks. An owner that lives takes the place of an import."""
        desired: dict[Key, Instance] = {}
        checks: dict[Key, ProbingCheck] = {}
        for imported, instance in self._instances:
            registered = {} if imported.runtime is None else self._catalogue.of_run(imported.runtime)
            if any(key.service == imported.service for key in registered):
                continue
            key = Key(instance.service, instance.id)
            if desired.setdefault(key, instance) is not instance:
                problems[f"{imported.service} ({imported.object_id})"] = f"the port {imported.port} is listed twice"
            elif imported.check is not None:
                checks[key] = imported.check
        return desired, checks

    def _leftovers(self, desired: Mapping[Key, Instance], standing: Mapping[Key, Entry]) -> dict[Key, Instance | None]:
        """Return what an earlier bridge of this engine left, and the engine has no more."""
        gone: dict[Key, Instance | None] = {
            key: None
            for key, entry in standing.items()
            if key not in desired
            and entry.stat.ephemeral_owner != self._session.session_id
            and entry.stat.czxid <= self._listed_at
        }
        return self._untried(gone)

    def _differing(self, desired: Mapping[Key, Instance], standing: Mapping[Key, Entry]) -> dict[Key, Instance | None]:
        differing: dict[Key, Instance | None] = dict.fromkeys(standing.keys() - desired.keys())
        seen: dict[Key, tuple[Instance, int]] = {}
        for key, target in desired.items():
            entry = standing.get(key)
            if entry is not None:
                sight = target, entry.stat.mzxid
                if self._seen.get(key) == sight or above(entry.instance, target) == entry.instance:
                    seen[key] = sight
                    continue
            differing[key] = target
        self._seen = seen
        return self._untried(differing)

    def _delete_dead(self, listing: Listing, term: BaseHold | None) -> None:
        """Delete what dead runs have left, if it was registered before they died."""
        dead: dict[Key, int] = {}
        for death in listing.deaths:
            for key, entry in self._catalogue.of_run(death.runtime).items():
                if not _was_registered_before(entry.instance, death.before):
                    continue
                if entry.stat.czxid <= self._listed_at:
                    dead[key] = entry.stat.czxid
                else:  # of this run, or of the next one
                    self._too_old = True
        due = self._untried(dict.fromkeys(dead))
        if due:
            log.info("deleting %d registrations of runs that have ended", len(due))
            self._note_refused(due, self._writer.delete_dead({key: dead[key] for key in due}, term))

    # -- what is refused --

    def _untried(self, desired: dict[Key, Instance | None]) -> dict[Key, Instance | None]:
        """Leave out what was refused a moment ago."""
        if not self._refused:
            return desired
        now = time.monotonic()
        self._refused = {key: known for key, known in self._refused.items() if known.until > now}
        return {
            key: target
            for key, target in desired.items()
            if key not in self._refused or self._refused[key].target != target
        }

    def _note_refused(self, desired: Mapping[Key, Instance | None], refused: Refusals) -> None:
        for key in desired:
            self._refused.pop(key, None)
        until = time.monotonic() + REFUSED_DELAY
        self._refused |= {key: Refused(desired[key], error, until) for key, error in refused.items()}

    @property
    def retry_delay(self) -> float:
        """Seconds until something that was refused or is awaited is to be looked at again."""
        return (
            min([self._export_at, self._await_until, *(known.until for known in self._refused.values())])
            - time.monotonic()
        )

    def _tell(self, problems: dict[str, str]) -> None:
        """Log problems that are new, and show all."""
        with Digest(log, logging.WARNING, "left out: %s: %s") as digest:
            for name, reason in problems.items():
                if self._problems.get(name) != reason:
                    digest.add(name, reason)
        self._problems = problems
        self._presence.tell_problems(problems)

    # -- the other way --

    def _export(self, exporter: Exporter) -> Mapping[str, str]:
        services = self._catalogue.registered()
        failed = self._export_at < math.inf
        if services == self._exported or (failed and time.monotonic() < self._export_at):
            return self._not_exported
        try:
            self._not_exported = exporter.export(services)
        except (SourceUnavailable, SourceRefused) as error:
            delay = REFUSED_DELAY if isinstance(error, SourceRefused) else EXPORT_DELAY
            self._export_at = time.monotonic() + delay
            self._not_exported = {EXPORT: str(error)}
        else:
            self._exported, self._export_at = services, math.inf
        return self._not_exported

    # -- the end --

    def retire(self) -> None:
        """Deregister the instances of an engine that is no longer there. What a cluster has left stays."""
        self._checking.close()
        if self._ephemerals is not None:
            self._ephemerals.keep({}, {})

    def close(self, timeout: float) -> None:
        """Write no more, and let another bridge lead. What was imported stays."""
        self._checking.close()
        if self._leadership is not None:
            self._leadership.close(timeout)
        self._presence.close(1.0)
        self._catalogue.close()
        if self._ephemerals is not None:
            self._session.leave_to_expire()  # a bridge that starts meanwhile takes them over without a gap


def _settled(desired: Mapping[Key, Instance], standing: Mapping[Key, Entry]) -> dict[Key, Instance]:
    """Return what is to stand while nothing is added or removed."""
    return {key: desired.get(key, entry.instance.own) for key, entry in standing.items()}


def _was_registered_before(instance: Instance, end: float | None) -> bool:
    """Tell whether the run that ended then had registered it. Both times are of the machine of the run."""
    return end is None or (instance.registered_at is not None and instance.registered_at < end)
