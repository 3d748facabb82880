"""The config centre: documents with revisions, edited by one and read live by many."""

from __future__ import annotations

from zkdiscovery.config.base import BaseConfig
from zkdiscovery.config.change import ConfigChange, ConfigRejection, ConfigSource, unless_empty
from zkdiscovery.config.config import Config
from zkdiscovery.config.configs import Configs, begin
from zkdiscovery.config.drafts import Draft, Editing, claimed_author
from zkdiscovery.config.encrypted import Encrypted
from zkdiscovery.config.exporting import Format
from zkdiscovery.config.keyring import Keyring, check_keys
from zkdiscovery.config.merging import KeyChange
from zkdiscovery.config.methods import ConfigMethods
from zkdiscovery.config.plans import ConfigRollout, HaltWhen
from zkdiscovery.config.revisions import ConfigRevision
from zkdiscovery.config.statuses import ConfigReader
from zkdiscovery.config.store import BaseConfigStore, ConfigStore
from zkdiscovery.config.stores import ConfigDocument, ConfigStores

__all__ = [
    "BaseConfig",
    "BaseConfigStore",
    "Config",
    "ConfigChange",
    "ConfigDocument",
    "ConfigMethods",
    "ConfigReader",
    "ConfigRejection",
    "ConfigRevision",
    "ConfigRollout",
    "ConfigSource",
    "ConfigStore",
    "ConfigStores",
    "Configs",
    "Draft",
    "Editing",
    "Encrypted",
    "Format",
    "HaltWhen",
    "KeyChange",
    "Keyring",
    "begin",
    "check_keys",
    "claimed_author",
    "unless_empty",
]
