"""The plan of a rollout, as the pointer of the document has it, and what users see of a rollout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from zkdiscovery.config.layout import Layout
from zkdiscovery.config.pointer import Pointer, StoredPointer
from zkdiscovery.config.statuses import ConfigReader
from zkdiscovery.errors import UndecodableNode
from zkdiscovery.validation import check_number

MOST_STAGES = 100


class Plan(NamedTuple):
    """How a rollout goes on.

    Attributes:
        percent: of the readers, for each stage; the last one is 100.
        bake: seconds that a stage lasts at least.
        stopped: why it was stopped; None: it was not.
    """

    percent: tuple[float, ...]
    bake: float
    stopped: str | None = None

    def stored(self) -> dict[str, Any]:
        """Return the plan as the pointer has it."""
        return self._asdict()

    @classmethod
    def parse(cls, found: Any) -> Plan:
        """Return the plan of a pointer, which is untrusted. Raises UndecodableNode."""
        try:
            plan = make_plan(found["percent"], found["bake"])
            stopped = found["stopped"]
            return plan._replace(stopped=None if stopped is None else str(stopped)[:1000])
        except (LookupError, TypeError, ValueError) as error:
            raise UndecodableNode(f"it is no plan of a rollout: {error!r:.200}") from None


@dataclass(frozen=True, slots=True)
class ConfigRollout:
    """A rollout of a revision, as it is now.

    Attributes:
        document: its name.
        revision: that is rolled out.
        stable: the revision of all other readers.
        percent: share of the readers that have it, or take it in this moment.
        stages: the shares of all stages.
        bake: seconds that a stage lasts at least.
        readers: who reads the document; see `ConfigStore.readers`.
        stopped: why it was stopped, after which all have the stable revision again; None: it is under way.
    """

    document: str
    revision: int
    stable: int
    percent: float
    stages: tuple[float, ...]
    bake: float
    readers: tuple[ConfigReader, ...] = ()
    stopped: str | None = None

    @property
    def refusing(self) -> tuple[ConfigReader, ...]:
        """The readers whose model refuses the revision."""
        return tuple(reader for reader in self.readers if reader.rejected == self.revision)


HaltWhen = Callable[[ConfigRollout], object]


def make_plan(percent: Sequence[float], bake: float) -> Plan:
    """Return a plan.

    Raises:
        InvalidSettings: no stages, or no time.
    """
    stages = tuple(percent)
    check_number(len(stages), "the number of stages", least=1, most=MOST_STAGES)
    reached = 0.0
    for stage in stages:
        check_number(stage, "each percentage, which grow up to 100,", above=reached, most=100)
        reached = stage
    check_number(reached, "the last percentage", least=100)
    check_number(bake, "bake", above=0)
    return Plan(stages, bake)


def rollout_of(
    layout: Layout, stored: StoredPointer | None, readers: Sequence[ConfigReader] = ()
) -> ConfigRollout | None:
    """Return the rollout that a pointer tells of; None: there is none."""
    pointer = None if stored is None else stored.pointer
    if pointer is None or pointer.plan is None:
        return None
    plan = Plan.parse(pointer.plan)
    revision = pointer.candidate if pointer.candidate is not None else int(pointer.plan.get("revision", 0))
    return ConfigRollout(
        layout.name, revision, pointer.stable, pointer.percent, plan.percent, plan.bake, tuple(readers), plan.stopped
    )


def stopped_pointer(pointer: Pointer, why: str) -> Pointer:
    """Return the pointer at which all readers have the stable revision again."""
    plan = Plan.parse(pointer.plan)._replace(stopped=why[:500])
    return Pointer(stable=pointer.stable, plan={**plan.stored(), "revision": pointer.candidate}, last=pointer.last)
