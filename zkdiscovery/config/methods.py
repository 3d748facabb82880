"""The methods of a client for the config centre. No logic of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, overload

from zkdiscovery.config.config import Config
from zkdiscovery.config.configs import begin
from zkdiscovery.config.drafts import Draft, Editing, claimed_author
from zkdiscovery.config.keyring import Keyring, check_keys
from zkdiscovery.config.store import ConfigStore
from zkdiscovery.config.stores import ConfigStores
from zkdiscovery.core import CoreSlot
from zkdiscovery.validation import check_timeout
from zkdiscovery.znodes import BaseHold

M = TypeVar("M")


class ConfigMethods:
    """The part of `Client` that is the config centre."""

    slot: CoreSlot

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
    ) -> Config[dict[str, Any]]: ...
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
    ) -> Config[M]: ...
    def config(
        self,
        name: str,
        model: Any = None,
        *,
        layers: Sequence[str] | None = None,
        id: str | None = None,
        fallback: str | os.PathLike[str] | None = None,
        keys: Keyring | None = None,
    ) -> Config[Any]:
        """A live configuration, made of one or more documents. Never waits for ZooKeeper.

        Args:
            name: name of the configuration.
            model: a pydantic model, a dataclass, or any other type that pydantic can check; None: dict. It runs on a
                thread of the client.
            layers: the names of the documents, the lowest first: mappings are merged, and of all other values the last
                one counts. `{zone}` is the zone of the client. None: the document of this name.
            id: what this reader calls itself in `ConfigStore.readers`. None: `<hostname>:<pid>:<start>`.
            fallback: a file for the last good documents, from which a process starts while ZooKeeper can't be reached.
            keys: decrypt encrypted values. Without them a document that has some is refused.

        Raises:
            InvalidName: no name for a configuration or a document.
            InvalidSettings: the layers can't be used, or no id.
            TypeError: pydantic can't check the model.
            NoThreadAvailable: the system has no thread to give.
            ClientClosed: the client was closed.
        """
        # Not at import, because it loads pydantic; nor on a thread of ours.
        from zkdiscovery.config.options import make_options  # noqa: PLC0415

        core = self.slot.current()
        options = make_options(name, model, layers, id, fallback, keys, core)
        return begin(Config(options, self.slot), core)

    def config_store(self, name: str, *, author: str | None = None, keys: Keyring | None = None) -> ConfigStore:
        """A document of the config centre, to read and to edit. Nothing is sent yet.

        Args:
            name: name of the document.
            author: who edits, for the history; None: `<user>@<host>`. With `Settings.auth` it is the user of that.
            keys: encrypt and decrypt encrypted values.

        Raises:
            InvalidName: no name for a document.
            InvalidSettings: no author, or no keys.
        """
        return ConfigStore(name, author, keys, self.slot)

    @contextmanager
    def config_edit(
        self,
        names: Sequence[str],
        message: str,
        *,
        author: str | None = None,
        guard: BaseHold | None = None,
        keys: Keyring | None = None,
        timeout: float | None = 5.0,
    ) -> Iterator[Mapping[str, Draft]]:
        """Edit several documents in a `with` block: its end stores all that changed in one transaction.

        The block gets a `Draft` for each name. Who reads several of the documents as layers never sees a part of it.
        For the other arguments, and what it raises, see `ConfigStore.edit` and `config_store`.
        """
        editing = Editing(self.slot.current(), names, message, claimed_author(author), guard, check_keys(keys), timeout)
        editing.begin()
        yield editing.drafts
        editing.finish()

    def config_names(self, timeout: float | None = 5.0) -> list[str]:
        """Names of all documents of the config centre, sorted; one read. Raises as `service_names`."""
        return self.slot.current().feature(ConfigStores).names(check_timeout(timeout))
