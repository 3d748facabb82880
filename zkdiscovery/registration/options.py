"""The arguments of `Client.register`, spelled once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

from zkdiscovery.znodes import OnConflict

Ready = Literal["now", "listening", "manual"]


class RegisterOptions(TypedDict, total=False):
    """The arguments that `Client.register` takes beside the service and its port."""

    host: str | None
    listen_port: int | None
    id: str | None
    ports: Mapping[str, int]
    tls_port: int | None
    weight: float
    zone: str | None
    version: str | None
    tags: Sequence[str]
    metadata: Mapping[str, str]
    ready: Ready
    drain_delay: float
    on_conflict: OnConflict


class Options(RegisterOptions, total=False):
    """One entry of `Client.register_many`."""

    service: str
    port: int


FIELDS = tuple(Options.__annotations__)
CHANGEABLE = frozenset({"ports", "tls_port", "weight", "zone", "version", "tags", "metadata"})
