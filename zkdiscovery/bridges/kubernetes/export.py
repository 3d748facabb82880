"""Writes our services as Services with EndpointSlices of their own.

- The label `zkdiscovery/registry` names the registry that an object came from. Nothing without that label is touched.
- Each round lists what is there and writes the difference, by the version that was listed. If somebody else wrote
  meanwhile (409), the round begins anew.
- An address that the API server refuses (422) is reported, and the others of its slice go on.

Threads: the bridge's thread makes all calls.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from zkdiscovery.bridges.kubernetes.api import Api, ApiError, Kind
from zkdiscovery.bridges.kubernetes.exported import Wanted, labels_of, service_of, service_ports, wanted
from zkdiscovery.bridges.kubernetes.objects import EXPORTED
from zkdiscovery.bridges.source import SourceUnavailable
from zkdiscovery.model import Instance

SERVICES = Kind("", "services", ("get", "list", "create", "update", "delete"))
SLICES = Kind("discovery.k8s.io", "endpointslices", ("get", "list", "create", "update", "delete"))
_NAMED = {SERVICES: "a Service", SLICES: "an EndpointSlice"}

_ROUNDS = 5
_GONE, _CONFLICT, _INVALID = 404, 409, 422
_OF_ENDPOINT = re.compile(r"endpoints\[(\d+)\]")

Found = Mapping[str, dict[str, Any]]


class _Again(Exception):  # noqa: N818 - no error: the round begins anew
    """Somebody else wrote what was listed."""


class Exports:
    """The Services that were made of our services, in one namespace."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._namespace = namespace
        self._refused: dict[str, str] = {}  # reason by host that the API server does not take

    def write(self, services: Mapping[str, Sequence[Instance]], registry: str) -> dict[str, str]:
        """Make exactly these services visible, and withdraw what this registry showed before.

        Args:
            services: instances by the name of the service.
            registry: what tells it from other registries; the same for all of its bridges.

        Returns:
            reason by `SERVICE/INSTANCE` or `SERVICE` for what Kubernetes does not take.

        Raises:
            SourceUnavailable: the API server can't be reached, or others write the same all the time.
            SourceRefused: a right is missing.
        """
        hosts = {instance.host for instances in services.values() for instance in instances}
        self._refused = {host: reason for host, reason in self._refused.items() if host in hosts}
        for _ in range(_ROUNDS):
            try:
                return self._round(services, registry)
            except _Again:
                continue
        raise SourceUnavailable(f"others write the Services of {self._namespace} in {self._api.where} at the same time")

    def _round(self, services: Mapping[str, Sequence[Instance]], registry: str) -> dict[str, str]:
        labels = labels_of(registry)
        there, slices = self._find(SERVICES, registry), self._find(SLICES, registry)
        problems: dict[str, str] = {}
        kept: set[str] = set()
        kept_slices: set[str] = set()
        for name, instances in services.items():
            plan = self._plan(name, instances, labels, problems)
            if plan.ports and self._write_service(name, plan, there.get(name), labels, problems):
                kept.add(name)
                kept_slices.update(self._write_slices(name, plan, slices, labels, problems))
        self._delete(SLICES, slices, kept_slices)
        self._delete(SERVICES, there, kept)
        return problems

    def _delete(self, kind: Kind, found: Found, kept: set[str]) -> None:
        """Delete all but what is kept, if nobody has changed it since it was found."""
        for name in found.keys() - kept:
            version = found[name]["metadata"]["resourceVersion"]
            options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"resourceVersion": version}}
            self._write("delete", kind, name, options)

    def _find(self, kind: Kind, registry: str) -> Found:
        """Return what this registry exported."""
        found: dict[str, dict[str, Any]] = {}
        query: dict[str, object] = {"labelSelector": f"{EXPORTED}={registry}", "limit": 500}
        while True:
            answer = self._api.call("list", kind, self._namespace, query=query)
            found |= {item["metadata"]["name"]: item for item in answer.get("items") or ()}
            token = answer["metadata"].get("continue")
            if not token:
                return found
            query["continue"] = token

    def _plan(
        self, name: str, instances: Sequence[Instance], labels: Mapping[str, str], problems: dict[str, str]
    ) -> Wanted:
        """Return what is wanted, without the addresses that were refused before."""
        taken = []
        for instance in instances:
            reason = self._refused.get(instance.host)
            if reason is None:
                taken.append(instance)
            else:
                problems[f"{name}/{instance.id}"] = reason
        plan = wanted(name, taken, labels)
        problems |= plan.problems
        return plan

    def _write_service(
        self,
        name: str,
        plan: Wanted,
        found: dict[str, Any] | None,
        labels: Mapping[str, str],
        problems: dict[str, str],
    ) -> bool:
        """Write the Service of a service. Return whether there is one."""
        try:
            if found is None:
                self._write("create", SERVICES, name, service_of(name, plan.ports, labels))
                return True
            # A number that clients know stays, whatever ports the instances have.
            known = {port.get("name", ""): port["port"] for port in found["spec"]["ports"]}
            ports: dict[str, int] = {}
            for port, number in plan.ports.items():
                if known.get(port, number) not in ports.values():
                    ports[port] = known.get(port, number)
            if ports != known:
                found["spec"]["ports"] = service_ports(ports)
                self._write("update", SERVICES, name, found)
        except ApiError as error:
            if error.code == _CONFLICT:
                problems[name] = self._explain_conflict(SERVICES, name, labels)
            elif error.code == _INVALID:
                problems[name] = str(error)
            else:
                raise
            return found is not None
        return True

    def _write_slices(
        self, name: str, plan: Wanted, found: Found, labels: Mapping[str, str], problems: dict[str, str]
    ) -> list[str]:
        """Write the slices of a service. Return the names of those that are there."""
        kept = []
        for slice_name, body in plan.slices.items():
            there = found.get(slice_name)
            while body["endpoints"]:
                try:
                    self._write_slice(slice_name, body, there)
                    break
                except ApiError as error:
                    if error.code == _CONFLICT:
                        problems[name] = self._explain_conflict(SLICES, slice_name, labels)
                        break
                    if error.code != _INVALID:
                        raise
                    if not self._leave_out(name, plan, slice_name, error, problems):
                        problems[name] = str(error)
                        break
            if body["endpoints"]:
                kept.append(slice_name)
        return kept

    def _write_slice(self, name: str, body: dict[str, Any], there: dict[str, Any] | None) -> None:
        if there is None:
            self._write("create", SLICES, name, body)
        elif any(there.get(key) != body[key] for key in ("endpoints", "ports")):
            self._write("update", SLICES, name, {**there, **body, "metadata": there["metadata"]})

    def _leave_out(self, name: str, plan: Wanted, slice_name: str, error: ApiError, problems: dict[str, str]) -> bool:
        """Take the endpoints out of a slice that the API server refuses. Return whether there were any."""
        endpoints, members = plan.slices[slice_name]["endpoints"], plan.members[slice_name]
        reasons = {int(found[1]): text for where, text in error.causes.items() if (found := _OF_ENDPOINT.match(where))}
        for index in sorted(reasons, reverse=True):
            del endpoints[index]
            instance = members.pop(index)
            self._refused[instance.host] = problems[f"{name}/{instance.id}"] = f"{instance.host}: {reasons[index]}"
        return bool(reasons)

    def _explain_conflict(self, kind: Kind, name: str, labels: Mapping[str, str]) -> str:
        """Return why an object of that name can't be made. Begins anew if another bridge of ours made it meanwhile."""
        try:
            found = self._api.call("get", kind, self._namespace, name)
        except ApiError as error:
            if error.code == _GONE:
                raise _Again from None
            raise
        if labels.items() <= (found["metadata"].get("labels") or {}).items():
            raise _Again
        return f"{self._namespace} has {_NAMED[kind]} of the name {name} that was not exported from here"

    def _write(self, verb: str, kind: Kind, name: str, body: object = None) -> None:
        """Write one object. Begins anew if it was changed or deleted meanwhile.

        Raises:
            ApiError: Kubernetes refuses it; a conflict only where the object was to be made.
        """
        try:
            self._api.call(verb, kind, self._namespace, None if verb == "create" else name, body=body)
        except ApiError as error:
            if verb == "delete" and error.code == _GONE:
                return
            if (error.code == _GONE and verb == "update") or (error.code == _CONFLICT and verb != "create"):
                raise _Again from None
            raise
