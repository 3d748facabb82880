"""Reports of what a view knows of each instance, for logs, the command line and people."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from zkdiscovery.balancing import Pool
from zkdiscovery.discovery.feed import Feed
from zkdiscovery.model import Instance, Snapshot, Status


@dataclass(frozen=True, slots=True)
class InstanceReport:
    """The state of one instance in the balancer of this process.

    Attributes:
        instance: the instance.
        picked: picks choose from it, now and in general.
        why: why it gets no calls, or fewer than its weight demands, and what an operator has overridden; "" if it gets
            its share and its owner has set that.
        weight: its weight after slow start.
        in_flight: calls of this process begun and not ended.
        latency: average answer time as the default strategy has it, in seconds; None before the first answer, and while
            calls fail, which that strategy counts as very slow answers.
        successes, failures: calls of this process that ended so.
        failed_in_a_row: failures since the last success.
        ejected_for: seconds until it is tried again; None: not ejected.
    """

    instance: Instance
    picked: bool
    why: str = ""
    weight: float = 0.0
    in_flight: int = 0
    latency: float | None = None
    successes: int = 0
    failures: int = 0
    failed_in_a_row: int = 0
    ejected_for: float | None = None


def explain(snapshot: Snapshot, pool: Pool, refusal: str) -> tuple[InstanceReport, ...]:
    """Every instance of the snapshot, suspects included, sorted by id; `refusal` as in `why_nothing`."""
    endpoints = {endpoint.instance.id: endpoint for endpoint in pool.endpoints}
    has_weights = any(endpoint.instance.weight for endpoint in endpoints.values())
    suspects = {instance.id: _why_suspected(instance, snapshot) for instance in snapshot.suspects}
    found = []
    for instance in sorted((*snapshot.instances, *snapshot.suspects), key=lambda instance: instance.id):
        endpoint = endpoints.get(instance.id)
        if endpoint is None:
            why = _why_not(instance, refusal, suspects.get(instance.id))
            found.append(InstanceReport(instance, picked=False, why=_with_override(why, instance)))
            continue
        part, ejected_for, why = pool.explain(endpoint)
        left_out = ejected_for is not None and "all the same" not in why
        idle = has_weights and not instance.weight
        if instance.id in suspects:
            why = why or f"a suspect, but there is nothing else: {suspects[instance.id]}"
        found.append(
            InstanceReport(
                instance,
                picked=not left_out and not idle,
                why=_with_override(
                    ("weight 0: only if nothing else is left" if idle and ejected_for is None else "") or why, instance
                ),
                weight=instance.weight * part,
                in_flight=endpoint.in_flight,
                latency=None if endpoint.failed_in_a_row else endpoint.latency,
                successes=endpoint.successes,
                failures=endpoint.failures,
                failed_in_a_row=endpoint.failed_in_a_row,
                ejected_for=ejected_for,
            )
        )
    return tuple(found)


def _with_override(why: str, instance: Instance) -> str:
    if instance.override is None:
        return why
    told = f"an operator set {instance.override}"
    return f"{why}; {told}" if why else told


def _why_suspected(instance: Instance, snapshot: Snapshot) -> str:
    lost = snapshot.lost_sources.get(instance.source or "")
    return "vanished in a mass" if lost is None else f"its source {instance.source} is lost: {lost}"


def _why_not(instance: Instance, refusal: str, suspected: str | None) -> str:
    if suspected is not None:
        return f"a suspect: {suspected}; picked only if nothing else is left"
    if instance.status is not Status.UP:
        return str(instance.status)
    return refusal


def why_nothing(
    snapshot: Snapshot, feed: Feed | None, candidates: int, excluded: int, broken: str, refusal: str
) -> str:
    """Return why a pick finds nothing, in words.

    Args:
        snapshot: what is known.
        feed: where it comes from; None: closed before it was followed.
        candidates: how many instances the strategy chooses from.
        excluded: how many of them the caller excluded.
        broken: why the strategy could not be built; "" if it was.
        refusal: what is wrong with instances that `where` refuses.
    """
    if feed is None:
        return "the view was closed"
    if not snapshot.loaded:
        return f"not loaded yet: {feed.status_message}"
    counts = Counter(instance.status for instance in snapshot.instances)
    up = counts.pop(Status.UP, 0)
    parts = [f"{count} {status}" for status, count in sorted(counts.items())]
    if broken:
        parts.insert(0, broken)
    elif up:
        parts.insert(0, f"{up} UP" if candidates else f"{up} UP but {refusal}")
    if excluded:
        parts.append(f"{excluded} excluded")
    if snapshot.rejected:
        parts.append(f"{len(snapshot.rejected)} rejected")
    if snapshot.suspects:
        parts.append(f"{len(snapshot.suspects)} suspects")
    reason = ", ".join(parts) or f"none is registered below {feed.path}"
    if snapshot.stale and feed.error:
        return f"{reason}; not read for {snapshot.age:.1f} s: {feed.error}"
    if snapshot.stale:
        return f"{reason}; not in contact with ZooKeeper for {snapshot.age:.1f} s"
    return reason
