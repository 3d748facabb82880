"""The config centre: documents with revisions, edited by one and read live by many."""

from __future__ import annotations

from zkdiscovery.config.drafts import Draft, Editing, claimed_author
from zkdiscovery.config.exporting import Format
from zkdiscovery.config.merging import KeyChange
from zkdiscovery.config.methods import ConfigMethods
from zkdiscovery.config.revisions import ConfigRevision
from zkdiscovery.config.store import BaseConfigStore, ConfigStore
from zkdiscovery.config.stores import ConfigDocument, ConfigStores

__all__ = [
    "BaseConfigStore",
    "ConfigDocument",
    "ConfigMethods",
    "ConfigRevision",
    "ConfigStore",
    "ConfigStores",
    "Draft",
    "Editing",
    "Format",
    "KeyChange",
    "claimed_author",
]
