"""Writes our services to Consul's catalogue, on an external node of the registry.

- The key `zkdiscovery-registry` in the metadata names the registry that a node and its services came from. Nothing
  without it is touched.
- Each round reads what is there and writes the difference, some 30 instances in a transaction, each with its check.
- What Consul refuses is reported, and the others of its transaction go on.

The catalogue is written directly and not by an agent, so a bridge on any machine can take over.

Threads: the bridge's thread makes all calls.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from zkdiscovery.bridges.consul.api import WRITE_RULE, ConsulApi
from zkdiscovery.bridges.consul.exported import (
    Wanted,
    check_id,
    is_there,
    node_name,
    node_of,
    removal_of,
    wanted,
    writes_of,
)
from zkdiscovery.bridges.consul.objects import MARK, items_of
from zkdiscovery.bridges.source import SourceRefused, SourceUnavailable
from zkdiscovery.model import Instance

EXPORT_LIMIT = 25.0  # seconds; what was written by then counts the next time
_MOST_OPERATIONS = 64  # in a transaction of Consul

Operations = list[dict[str, Any]]


class Exports:
    """What one registry shows in Consul."""

    def __init__(self, api: ConsulApi) -> None:
        self._api = api

    def write(self, services: Mapping[str, Sequence[Instance]], registry: str) -> dict[str, str]:
        """Make exactly these services visible, and withdraw what this registry showed before.

        Args:
            services: instances by the name of the service.
            registry: what tells it from other registries; the same for all of its bridges.

        Returns:
            reason by `SERVICE/INSTANCE` for what Consul does not take.

        Raises:
            SourceUnavailable: Consul can't be reached, or a node of that name is not ours.
            SourceRefused: a right is missing.
        """
        deadline = time.monotonic() + EXPORT_LIMIT
        node = node_name(registry)
        problems: dict[str, str] = {}
        targets: dict[str, Wanted] = {}
        titles: dict[str, str] = {}
        for name, instances in services.items():
            for instance in instances:
                one, problem = wanted(instance, registry)
                number = one.service["ID"]
                targets[number], titles[number] = one, f"{name}/{instance.id}"
                if problem:
                    problems[titles[number]] = problem
        there, ours, foreign = self._find(node, registry)
        if targets and not there:
            self._transact({node: [{"Node": {"Verb": "set", "Node": node_of(registry)}}]}, deadline)
        statuses = self._statuses(node) if ours else {}
        writes = {
            number: writes_of(node, one)
            for number, one in targets.items()
            if number not in ours
            or not is_there(ours[number], one.service)
            or statuses.get(check_id(number)) != (one.status, one.note)
        }
        # A new instance comes before a former one goes, so a service that moves is never empty.
        refused = self._transact(writes, deadline)
        gone = {number: removal_of(node, ours[number]) for number in ours.keys() - targets.keys()}
        refused |= self._transact(gone, deadline)
        if there and not targets and not foreign:
            self._transact({node: [{"Node": {"Verb": "delete", "Node": {"Node": node}}}]}, deadline)
        return problems | {titles.get(number, number): reason for number, reason in refused.items()}

    def _find(self, node: str, registry: str) -> tuple[bool, Mapping[str, Mapping[str, Any]], bool]:
        """Return whether the node is there, the services on it that are ours, and whether there are others."""
        found = self._api.get(f"/v1/catalog/node/{quote(node)}").json()
        if found is None:
            return False, {}, False
        try:
            mark = (found["Node"].get("Meta") or {}).get(MARK)
            services: dict[str, Any] = found["Services"] or {}
            ours = {number: one for number, one in services.items() if (one.get("Meta") or {}).get(MARK) == registry}
        except (AttributeError, LookupError, TypeError) as error:
            raise SourceUnavailable(f"{self._api.where} lists a node that can't be understood: {error!r}") from error
        if mark != registry:
            raise SourceUnavailable(f"{self._api.where} has a node {node} that was not exported from here")
        return True, ours, len(services) > len(ours)

    def _statuses(self, node: str) -> Mapping[str, tuple[str, str]]:
        """Return status and output of the checks on the node."""
        try:
            checks = items_of(self._api.get(f"/v1/health/node/{quote(node)}"))
            return {check["CheckID"]: (check["Status"], check["Output"]) for check in checks}
        except (LookupError, TypeError) as error:
            raise SourceUnavailable(f"{self._api.where} lists a check that can't be understood: {error!r}") from error

    def _transact(self, todo: Mapping[str, Operations], deadline: float) -> dict[str, str]:
        """Do all of it, in large transactions. Return the reason for each that is refused."""
        refused: dict[str, str] = {}
        for batch in _batches(todo):
            left = batch
            while left:
                if time.monotonic() > deadline:
                    raise SourceUnavailable(f"{self._api.where} is slow: not all is written after {EXPORT_LIMIT:g} s")
                errors = self._api.transact([operation for number in left for operation in todo[number]])
                if not errors:
                    break
                numbers = [number for number in left for _ in todo[number]]
                for index, reason in errors.items():
                    if "ermission denied" in reason:
                        raise SourceRefused(self._api.missing("write the catalogue", WRITE_RULE, reason))
                    refused[numbers[index]] = reason
                left = [number for number in left if number not in refused]
        return refused


def _batches(todo: Mapping[str, Operations]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for number, operations in todo.items():
        if size + len(operations) > _MOST_OPERATIONS:
            yield batch
            batch, size = [], 0
        batch.append(number)
        size += len(operations)
    if batch:
        yield batch
