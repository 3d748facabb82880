"""Feature flags: a provider of OpenFeature whose flags are a document of the config centre.

    from openfeature import api
    from zkdiscovery import Client
    from zkdiscovery.integrations.openfeature import FlagProvider

    client = Client("zk1:2181,zk2:2181,zk3:2181", namespace="/shop")
    api.set_provider_and_wait(FlagProvider(client))
    api.get_client().get_boolean_value("new-checkout", False)

Guarantees
- A flag is read from memory: no request, no lock.
- Whoever has a variant by its percentage keeps it while the percentage of that variant grows, if no other variant has a
  percentage.
- A document that is refused changes no flag; `ConfigStore.readers` says why.
- While ZooKeeper can't be reached, the last flags count, and the reason of each is STALE.

Threads: the client's dispatcher tells OpenFeature of changes; OpenFeature calls handlers on threads of its own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple, TypeVar

from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEventDetails
from openfeature.exception import (
    FlagNotFoundError,
    ProviderNotReadyError,
    TargetingKeyMissingError,
    TypeMismatchError,
)
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType, Reason
from openfeature.provider import AbstractProvider, Metadata
from pydantic import BaseModel, BeforeValidator, Field, field_validator, model_validator

from zkdiscovery.client import Client
from zkdiscovery.config import Config, ConfigChange
from zkdiscovery.config.pointer import is_within
from zkdiscovery.errors import ZkDiscoveryError
from zkdiscovery.session import State
from zkdiscovery.threads import Subscription

__all__ = ["Flag", "FlagProvider"]

T = TypeVar("T")

_KINDS: dict[type, str] = {bool: "boolean", str: "string", int: "number", float: "number"}


class Flag(BaseModel, extra="forbid", frozen=True, hide_input_in_errors=True):
    """A flag, as its document describes it. A value alone is a flag with one variant.

    Attributes:
        variants: value by the name of a variant; all of one type.
        default: the variant of all others.
        targets: targeting keys by variant.
        percent: share of the targeting keys that have a variant, by variant.
        enabled: False: each call returns the default of the caller.
    """

    variants: dict[str, Any] = Field(min_length=1)
    default: str
    targets: dict[str, frozenset[str]] = {}
    percent: dict[str, Annotated[float, Field(ge=0, le=100)]] = {}
    enabled: bool = True

    @field_validator("variants")
    @classmethod
    def _check_variants(cls, variants: dict[str, Any]) -> dict[str, Any]:
        if None in variants.values():
            raise ValueError("null is no value of a flag")
        if len(kinds := {_KINDS.get(type(value), "object") for value in variants.values()}) > 1:
            raise ValueError(f"all variants have one type: got {', '.join(sorted(kinds))}")
        return variants

    @model_validator(mode="after")
    def _check_names(self) -> Flag:
        if unknown := {self.default, *self.targets, *self.percent} - self.variants.keys():
            raise ValueError(f"there is no variant {', '.join(sorted(map(repr, unknown)))}")
        if sum(self.percent.values()) > 100:
            raise ValueError("the percentages add up to more than 100")
        keys = [key for some in self.targets.values() for key in some]
        if len(keys) > len(set(keys)):
            raise ValueError("a targeting key has two variants")
        return self

    def choose(self, name: str, key: str | None) -> tuple[str, Reason]:
        """Return the variant for a targeting key, and why.

        Args:
            name: name of the flag; chooses other keys for each flag.
            key: the targeting key.

        Raises:
            TargetingKeyMissingError: the flag has percentages, and there is no key.
        """
        for variant, keys in self.targets.items():
            if key in keys:
                return variant, Reason.TARGETING_MATCH
        if self.percent and key is None:
            raise TargetingKeyMissingError(f"the flag {name!r} has percentages, so it needs a targeting key")
        share = 0.0
        for variant, percent in sorted(self.percent.items()):
            share += percent
            if is_within(share, name, key or ""):
                return variant, Reason.SPLIT
        return self.default, Reason.DEFAULT if self.targets or self.percent else Reason.STATIC


def _described(value: Any) -> Any:
    return value if isinstance(value, (dict, Flag)) else {"variants": {"": value}, "default": ""}


Flags = dict[str, Annotated[Flag, BeforeValidator(_described)]]


class _Attached(NamedTuple):
    """What a provider follows between `initialize` and `shutdown`."""

    config: Config[Flags]
    subscriptions: list[Subscription[Any]]


class FlagProvider(AbstractProvider):
    """A provider of OpenFeature. Give it to `openfeature.api.set_provider_and_wait`.

    With an `AsyncClient`, give it `client.sync`: reading a flag never waits.

    Args:
        client: the client; it must outlive the provider.
        name: name of the document, or of the configuration if there are layers.
        layers: the names of the documents, the lowest first; see `Client.config`.
        fallback: a file from which a process starts while ZooKeeper can't be reached.
        timeout: seconds that it waits for the flags at first; None: for ever. Afterwards it goes on by itself, and
            the provider is ready once there are flags.
    """

    def __init__(
        self,
        client: Client,
        name: str = "flags",
        *,
        layers: Sequence[str] | None = None,
        fallback: str | os.PathLike[str] | None = None,
        timeout: float | None = 10.0,
    ) -> None:
        super().__init__()
        self._client = client
        self._name = name
        self._layers = layers
        self._fallback = fallback
        self._timeout = timeout
        self._lock = threading.Lock()
        self._attached: _Attached | None = None
        self._known = False  # there have been flags
        self._stale = False
        self._failed = False  # initialize gave up before there were flags

    def get_metadata(self) -> Metadata:
        """Return the name of the provider."""
        return Metadata(name="zkdiscovery")

    def initialize(self, evaluation_context: EvaluationContext) -> None:  # noqa: ARG002 - the flags need none
        """Follow the flags, and wait until they are known. OpenFeature calls it.

        Raises:
            ProviderNotReadyError: there are none within `timeout`; says why.
        """
        config: Config[Flags] = self._client.config(self._name, Flags, layers=self._layers, fallback=self._fallback)
        self._attached = _Attached(config, [])
        self._attached.subscriptions.append(self._client.on_change(self._on_state))
        self._attached.subscriptions.append(config.on_change(self._on_flags))
        try:
            config.wait_ready(self._timeout)
        except ZkDiscoveryError as error:
            with self._lock:  # the first flags may come in this moment
                self._failed = not self._known
            if self._failed:
                raise ProviderNotReadyError(str(error)) from error

    def shutdown(self) -> None:
        """Stop following. OpenFeature calls it."""
        attached, self._attached = self._attached, None
        if attached is not None:
            for subscription in attached.subscriptions:
                subscription.close()
            attached.config.close()

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        """Return a flag that is true or false."""
        return self._resolve(flag_key, default_value, evaluation_context, (bool,))

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """Return a flag that is text."""
        return self._resolve(flag_key, default_value, evaluation_context, (str,))

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        """Return a flag that is a whole number."""
        return self._resolve(flag_key, default_value, evaluation_context, (int,))

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        """Return a flag that is a number."""
        details = self._resolve(flag_key, default_value, evaluation_context, (float, int))
        details.value = float(details.value)
        return details

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        """Return a flag that is a list or a mapping."""
        return self._resolve(flag_key, default_value, evaluation_context, (list, dict))

    def _resolve(
        self, name: str, default: T, context: EvaluationContext | None, kinds: tuple[type, ...]
    ) -> FlagResolutionDetails[T]:
        attached = self._attached
        if attached is None:
            raise ProviderNotReadyError("the provider is not initialized: api.set_provider() does that")
        config = attached.config
        try:
            flag = config.value.get(name)
        except ZkDiscoveryError as error:
            raise ProviderNotReadyError(str(error)) from error
        if flag is None:
            raise FlagNotFoundError(f"the configuration {self._name!r} has no flag {name!r}")
        if not flag.enabled:
            return FlagResolutionDetails(default, reason=Reason.DISABLED)
        variant, reason = flag.choose(name, None if context is None else context.targeting_key)
        value = flag.variants[variant]
        if type(value) not in kinds:
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise TypeMismatchError(f"the flag {name!r} is a {type(value).__name__}, and {wanted} was asked for")
        source = config.source(name)
        return FlagResolutionDetails(
            value,
            reason=Reason.STALE if config.stale else reason,
            variant=variant or None,
            flag_metadata={} if source is None else {"document": source.document, "revision": source.revision},
        )

    # -- the dispatcher --

    def _on_flags(self, change: ConfigChange[Flags]) -> None:
        if change.before is None:
            with self._lock:
                self._known = True
                late, self._failed = self._failed, False
            if late:
                self.emit_provider_ready(ProviderEventDetails())
            return
        before, after = change.before, change.after
        names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        self.emit_provider_configuration_changed(ProviderEventDetails(flags_changed=names))

    def _on_state(self, state: State) -> None:
        if not self._known:  # the first flags make it ready, not the connection
            return
        connected = state is State.CONNECTED
        if connected and self._stale:
            self._stale = False
            self.emit_provider_ready(ProviderEventDetails())
        elif not connected and not self._stale:
            self._stale = True
            self.emit_provider_stale(ProviderEventDetails(message=f"ZooKeeper can't be reached: {state}"))
