"""Stores of documents on an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from zkdiscovery.aio.operations import Operations
from zkdiscovery.config import (
    BaseConfigStore,
    ConfigDocument,
    ConfigReader,
    ConfigRevision,
    ConfigRollout,
    Draft,
    Format,
    HaltWhen,
    KeyChange,
)
from zkdiscovery.core import Core
from zkdiscovery.znodes import BaseHold

T = TypeVar("T")


class AsyncConfigStore(BaseConfigStore):
    """A document of the config centre, to read and to edit, made by `AsyncClient.config_store`. Nothing is sent yet.

    See `ConfigStore`. A revision whose wait is cancelled may have been stored.

    Attributes:
        name: of the document.
    """

    @asynccontextmanager
    async def edit(
        self,
        message: str,
        *,
        expect: int | None = None,
        in_force: bool = True,
        guard: BaseHold | None = None,
        timeout: float | None = 5.0,
    ) -> AsyncIterator[Draft]:
        """Edit the document in an `async with` block. See `ConfigStore.edit`."""
        editing = self._editing(self._slot.current(), message, guard, timeout, in_force=in_force)
        await self._run(lambda _: editing.begin(expect))
        yield editing.drafts[self.name]
        await self._run(lambda _: editing.finish())

    async def replace(
        self,
        values: dict[str, Any],
        message: str,
        *,
        expect: int | None = None,
        in_force: bool = True,
        guard: BaseHold | None = None,
        timeout: float | None = 5.0,
    ) -> int:
        """Store a document in place of the present one; return its revision. See `ConfigStore.replace`."""
        return await self._run(self._replacing(values, message, expect, guard, timeout, in_force=in_force))

    async def rollback(
        self,
        revision: int,
        message: str | None = None,
        *,
        expect: int | None = None,
        guard: BaseHold | None = None,
        timeout: float | None = 5.0,
    ) -> int:
        """Store a new revision with the content of an earlier one; return the new one. See `ConfigStore.rollback`."""
        return await self._run(self._rolling_back(revision, message, expect, guard, timeout))

    async def reencrypt(
        self, message: str = "encrypt anew", *, guard: BaseHold | None = None, timeout: float | None = 5.0
    ) -> int:
        """Encrypt all encrypted values anew, with the first of the keys. See `ConfigStore.reencrypt`."""
        return await self._run(self._reencrypting(message, guard, timeout))

    async def staged_rollout(
        self,
        revision: int | None = None,
        percent: Sequence[float] = (5, 25, 100),
        bake: float = 300.0,
        halt_when: HaltWhen | None = None,
    ) -> None:
        """Put a revision in force for a growing share of the readers. Return once all of them have it.

        `halt_when` is a plain function, called on a thread of the client. If the wait is cancelled, the share stays as
        it is, and whoever calls this method goes on. See `ConfigStore.staged_rollout`.
        """
        driver = self._driver(revision, percent, bake, halt_when)
        try:
            while (pause := await self._run(lambda _: driver.step())) is not None:  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(pause)
        finally:
            driver.close()

    async def rollout(self, timeout: float | None = 5.0) -> ConfigRollout | None:
        """Return the rollout that is under way, or that was stopped last; None: there is none. Raises as `readers`."""
        return await self._run(self._asking_rollout(timeout))

    async def stop_rollout(self, why: str, timeout: float | None = 5.0) -> int:
        """Stop the rollout that is under way; return the revision in force. See `ConfigStore.stop_rollout`."""
        return await self._run(self._stopping_rollout(why, timeout))

    async def read(self, revision: int | None = None, timeout: float | None = 5.0) -> ConfigDocument:
        """Return the document, as of all writes that were done before. See `ConfigStore.read`."""
        return await self._run(self._reading(revision, timeout))

    async def history(self, timeout: float | None = 5.0) -> list[ConfigRevision]:
        """Return the revisions, the newest first; none if there is no such document. Raises as `read`."""
        return await self._run(self._looking_back(timeout))

    async def diff(self, before: int, after: int | None = None, timeout: float | None = 5.0) -> list[KeyChange]:
        """Return the keys that differ between two revisions; None: the one in force. Raises as `read`."""
        return await self._run(self._comparing(before, after, timeout))

    async def readers(self, timeout: float | None = 5.0) -> list[ConfigReader]:
        """Return who reads the document, which revision each one has, and which one it refuses and why; sorted by id.

        See `ConfigStore.readers`.
        """
        return await self._run(self._asking(timeout))

    async def export(
        self,
        format: Format = "json",
        revision: int | None = None,
        *,
        reveal: bool = False,
        timeout: float | None = 5.0,
    ) -> str:
        """Return the document as text. See `ConfigStore.export`."""
        return await self._run(self._exporting(format, revision, reveal, timeout))

    async def _run(self, work: Callable[[Core], T]) -> T:
        core = self._slot.current()
        return await core.feature(Operations).run(lambda: work(core))
