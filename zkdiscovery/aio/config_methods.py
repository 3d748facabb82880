"""The methods of an async client for the config centre. No logic of its own."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar, overload

from zkdiscovery.aio.config import AsyncConfig
from zkdiscovery.aio.config_store import AsyncConfigStore
from zkdiscovery.aio.operations import Operations
from zkdiscovery.config import ConfigStores, Draft, Editing, Keyring, begin, check_keys, claimed_author
from zkdiscovery.config.options import make_options  # not at the first use, which may be on the loop
from zkdiscovery.core import Core, CoreSlot
from zkdiscovery.validation import check_timeout
from zkdiscovery.znodes import BaseHold

M = TypeVar("M")


class AsyncConfigMethods:
    """The part of `AsyncClient` that is the config centre."""

    @property
    def slot(self) -> CoreSlot:
        """The slot that holds the core."""
        raise NotImplementedError

    @overload
    def config(
        self,
        name: str,
        model: None = None,
        *,
        layers: Sequence[str] | None = None,
        id: str | None = None,
        fallback: str | os.PathLike[str] | None = None,
        keys: Keyring | None = None,
    ) -> AsyncConfig[dict[str, Any]]: ...
    @overload
    def config(
        self,
        name: str,
        model: type[M],
        *,
        layers: Sequence[str] | None = None,
        id: str | None = None,
        fallback: str | os.PathLike[str] | None = None,
        keys: Keyring | None = None,
    ) -> AsyncConfig[M]: ...
    def config(
        self,
        name: str,
        model: Any = None,
        *,
        layers: Sequence[str] | None = None,
        id: str | None = None,
        fallback: str | os.PathLike[str] | None = None,
        keys: Keyring | None = None,
    ) -> AsyncConfig[Any]:
        """A live configuration, made of one or more documents. Never waits for ZooKeeper. See `Client.config`."""
        core = self.slot.current()
        options = make_options(name, model, layers, id, fallback, keys, core)
        return begin(AsyncConfig(options, self.slot), core)

    def config_store(self, name: str, *, author: str | None = None, keys: Keyring | None = None) -> AsyncConfigStore:
        """A document of the config centre, to read and to edit. Nothing is sent yet. See `Client.config_store`."""
        return AsyncConfigStore(name, author, keys, self.slot)

    @asynccontextmanager
    async def config_edit(
        self,
        names: Sequence[str],
        message: str,
        *,
        author: str | None = None,
        guard: BaseHold | None = None,
        keys: Keyring | None = None,
        timeout: float | None = 5.0,
    ) -> AsyncIterator[Mapping[str, Draft]]:
        """Edit several documents in an `async with` block, in one transaction. See `Client.config_edit`."""
        core = await self._core()
        editing = Editing(core, names, message, claimed_author(author), guard, check_keys(keys), timeout)
        await core.feature(Operations).run(editing.begin)
        yield editing.drafts
        await core.feature(Operations).run(editing.finish)

    async def config_names(self, timeout: float | None = 5.0) -> list[str]:
        """Names of all documents of the config centre, sorted; one read. Raises as `service_names`."""
        limit = check_timeout(timeout)
        core = await self._core()
        return await core.feature(Operations).run(lambda: core.feature(ConfigStores).names(limit))

    async def _core(self) -> Core:
        """The present core."""
        raise NotImplementedError
