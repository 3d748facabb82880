"""From Consul's entries to instances: pure functions. What Consul says is not trusted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from zkdiscovery.bridges.http import Answer
from zkdiscovery.bridges.source import Imported, SourceUnavailable
from zkdiscovery.model import Status

CONSUL = "consul"  # the servers' own service
MARK = "zkdiscovery-registry"  # key in the metadata of what a bridge has exported
VERSION, ZONE = "version", "zone"  # keys in metadata
_MAINTENANCE = ("_node_maintenance", "_service_maintenance:")
_PASSING, _WARNING = "passing", "warning"


class Check(NamedTuple):
    """What matters of a check.

    Attributes:
        node: name of its node.
        id: of the check; unique on its node.
        service: id of the service; empty: it is one of the node.
        status: `passing`, `warning`, `critical`.
    """

    node: str
    id: str
    service: str
    status: str


@dataclass(frozen=True, slots=True)
class Checks:
    """All checks, by what they are of."""

    of_service: Mapping[str, frozenset[Check]]  # by the service's name
    of_node: Mapping[str, frozenset[Check]]

    def of(self, service: str, nodes: Iterable[str]) -> tuple[frozenset[Check], ...]:
        """Return what decides about the instances of a service on these nodes."""
        none: frozenset[Check] = frozenset()
        return self.of_service.get(service, none), *(self.of_node.get(node, none) for node in nodes)


def names_of(answer: Answer) -> Mapping[str, Any]:
    """Return the tags by the name of the service."""
    found = answer.json()
    if not isinstance(found, dict):
        raise SourceUnavailable(f"{answer.where} answers with no catalogue: {answer.text}")
    return found


def checks_of(answer: Answer) -> Checks:
    """Return all checks."""
    services: dict[str, set[Check]] = defaultdict(set)
    nodes: dict[str, set[Check]] = defaultdict(set)
    for found in items_of(answer):
        try:
            check = Check(found["Node"], found["CheckID"], found["ServiceID"], found["Status"])
            group = services[found["ServiceName"]] if check.service else nodes[check.node]
            group.add(check)
        except (LookupError, TypeError) as error:
            raise SourceUnavailable(f"{answer.where} lists a check that can't be understood: {error!r}") from error
    return Checks(_frozen(services), _frozen(nodes))


def items_of(answer: Answer) -> list[Any]:
    """Return the items of a list; Consul says `null` for an empty one at times."""
    found = answer.json()
    if found is None:
        return []
    if not isinstance(found, list):
        raise SourceUnavailable(f"{answer.where} answers with no list: {answer.text}")
    return found


def node_of(entry: Any) -> str:
    """Return the name of the node of an entry."""
    return str(entry["Node"]["Node"])


def what_is(entry: Any) -> str:
    """Return the name of an entry, for users."""
    try:
        return f"{entry['Service']['Service']} ({entry['Service']['ID']} on {node_of(entry)})"
    except (LookupError, TypeError):
        return f"an entry {str(entry)[:80]}"


def imported(entry: Any) -> Imported | None:
    """Return the instance that an entry of `/v1/health/service` stands for; None for what is not ours to show.

    Proxies and gateways of Consul's service mesh are left out, because only the mesh can call them, and so is what a
    bridge has exported.

    Raises:
        AttributeError, LookupError, TypeError, ValueError: it can't be understood.
    """
    node, service = entry["Node"], entry["Service"]
    meta: dict[str, str] = dict(service.get("Meta") or {})
    if service.get("Kind") or MARK in meta:
        return None
    port = service["Port"]
    if not port:
        raise ValueError("it has no port")
    status, weight = _state(entry.get("Checks") or (), service.get("Weights") or {})
    datacenter = node.get("Datacenter") or ""
    about = {"node": node["Node"], "datacenter": datacenter}
    return Imported(
        service["Service"],
        _object_id(service["ID"], node["Node"]),
        service.get("Address") or node["Address"],
        port,
        status=status,
        weight=weight,
        zone=meta.pop(ZONE, None) or datacenter or None,
        version=meta.pop(VERSION, None) or None,
        tags=tuple(service.get("Tags") or ()),
        metadata={**meta, **{f"consul.{key}": value for key, value in about.items() if value}},
    )


def _state(checks: Iterable[Any], weights: Mapping[str, Any]) -> tuple[Status, float]:
    """Return the status and the weight, as Consul's DNS heeds them: what warns is called by its weight for that."""
    status, weight = Status.UP, float(weights.get("Passing", 1))
    for check in checks:
        found = check["Status"]
        if found == _PASSING:
            continue
        if found == _WARNING:
            weight = float(weights.get("Warning", 1))
        elif str(check["CheckID"]).startswith(_MAINTENANCE):
            return Status.OUT_OF_SERVICE, weight
        else:
            status = Status.DOWN
    return status, weight


def _object_id(service: str, node: str) -> str:
    """Return an id that is unique in the datacenter: that of a service is unique on its node alone."""
    return f"{service}@{node}".replace("%", "%25").replace("/", "%2F")


def _frozen(groups: Mapping[str, set[Check]]) -> dict[str, frozenset[Check]]:
    return {name: frozenset(group) for name, group in groups.items()}
