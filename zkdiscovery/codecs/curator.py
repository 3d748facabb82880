"""The default wire format: the JSON of Apache Curator's x-discovery with Spring Cloud Zookeeper's payload.

Guarantees:
- Curator and Spring Cloud read what the codec writes. An instance that is not UP, or has a weight of 0, says
  `instance_status=OUT_OF_SERVICE` to Spring and `enabled=false` to Curator. Spring's load balancer heeds it by default
  (`spring.cloud.zookeeper.loadbalancer.enabled`), and so does Curator's `ServiceProvider`. Lists of all instances
  contain the instance all the same.
- ServerSet and nerve readers (Prometheus, Synapse) read it too: their fields follow after Curator's.
- The codec reads what Java wrote; `enabled=false` and `instance_status=OUT_OF_SERVICE` mean OUT_OF_SERVICE. Only JSON
  without an address or without a port is not an instance, because nobody can call it. See metadata.py for the metadata.
- Writing over what others wrote keeps everything but what the instance says differently. A payload that is not Spring's
  (null included) stays as it is, because Java readers cast it; then our metadata stands beside it, in the field
  `zkdiscovery`, which Java ignores. An operator's override stands in the field `zkdiscoveryOverride`.
- `@class` is compared and kept, but never resolved. Nothing is evaluated.
- The path decides: where the JSON has another name or id than the path (as in Curator's sequential nodes), the instance
  has the path's, and the JSON keeps its own.
"""

from __future__ import annotations

import json

from zkdiscovery.codecs.base import check_encoded, check_size
from zkdiscovery.codecs.curator_reader import read_instance, read_json
from zkdiscovery.codecs.curator_writer import write_fresh, write_over
from zkdiscovery.codecs.override import OVERRIDE, override_to_json
from zkdiscovery.errors import InvalidInstance, UndecodableNode
from zkdiscovery.model import Instance


class CuratorCodec:
    """Curator's JSON; see `Codec` for what the methods promise."""

    def encode(self, instance: Instance, previous: bytes | None = None) -> bytes:
        before = None if previous is None else self._known(instance, previous)
        if before is None and instance.override is None:
            return check_encoded(instance, write_fresh(instance).encode())
        if previous is None or before is None:
            node = json.loads(write_fresh(instance))
        else:
            node = write_over(read_json(previous), before, instance)
        if instance.override is not None:
            node[OVERRIDE] = override_to_json(instance.override)
        try:
            text = json.dumps(node, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        except ValueError as error:
            raise InvalidInstance(
                f"can't write instance {instance.id!r} of {instance.service!r} over what others stored there: {error}"
            ) from None
        return check_encoded(instance, text.encode())

    def _known(self, instance: Instance, previous: bytes) -> Instance | None:
        """Return the instance that stands there; None if there is none."""
        try:
            return self.decode(instance.service, instance.id, previous)
        except UndecodableNode:
            return None

    def decode(self, service: str, id: str, data: bytes) -> Instance:
        check_size(data)
        return read_instance(service, id, data)
