"""The methods of a client for the config centre. No logic of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from zkdiscovery.config.drafts import Draft, Editing, claimed_author
from zkdiscovery.config.store import ConfigStore
from zkdiscovery.config.stores import ConfigStores
from zkdiscovery.core import CoreSlot
from zkdiscovery.validation import check_timeout
from zkdiscovery.znodes import BaseHold


class ConfigMethods:
    """The part of `Client` that is the config centre."""

    slot: CoreSlot

    def config_store(self, name: str, *, author: str | None = None) -> ConfigStore:
        """A document of the config centre, to read and to edit. Nothing is sent yet.

        Args:
            name: name of the document.
            author: who edits, for the history; None: `<user>@<host>`. With `Settings.auth` it is the user of that.

        Raises:
            InvalidName: no name for a document.
            InvalidSettings: no author.
        """
        return ConfigStore(name, author, self.slot)

    @contextmanager
    def config_edit(
        self,
        names: Sequence[str],
        message: str,
        *,
        author: str | None = None,
        guard: BaseHold | None = None,
        timeout: float | None = 5.0,
    ) -> Iterator[Mapping[str, Draft]]:
        """Edit several documents in a `with` block: its end stores all that changed in one transaction.

        The block gets a `Draft` for each name. Who reads several of the documents as layers never sees a part of it.
        For the other arguments, and what it raises, see `ConfigStore.edit` and `config_store`.
        """
        editing = Editing(self.slot.current(), names, message, claimed_author(author), guard, timeout)
        editing.begin()
        yield editing.drafts
        editing.finish()

    def config_names(self, timeout: float | None = 5.0) -> list[str]:
        """Names of all documents of the config centre, sorted; one read. Raises as `service_names`."""
        return self.slot.current().feature(ConfigStores).names(check_timeout(timeout))
