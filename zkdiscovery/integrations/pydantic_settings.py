"""A source of pydantic-settings: a document of the config centre beside the environment and files.

    from pydantic_settings import BaseSettings
    from zkdiscovery import Client
    from zkdiscovery.integrations.pydantic_settings import ConfigSettingsSource

    client = Client("zk1:2181,zk2:2181,zk3:2181", namespace="/shop")
    config = client.config("shop")

    class Shop(BaseSettings):
        timeout: float = 1.0

        @classmethod
        def settings_customise_sources(cls, settings_cls, init_settings, env_settings, **others):
            return init_settings, env_settings, ConfigSettingsSource(settings_cls, config)

Each `Shop()` is made of the revision in force at that moment, and stays as it is. `config.on_change` tells when to make
another one.

Threads: whoever makes the settings waits for the first value, and then reads memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import AliasChoices, AliasPath
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from zkdiscovery.config import Config

__all__ = ["ConfigSettingsSource"]


class ConfigSettingsSource(PydanticBaseSettingsSource):
    """A source of settings that is a configuration. Return it from `settings_customise_sources`.

    Keys that the settings do not have are left out, because a document may be shared.

    Args:
        settings_cls: the class of the settings.
        config: the configuration, without a model, because the settings are the model.
        timeout: seconds that the first settings wait for a value; None: for ever. `Client.config(fallback=)` gives one
            while ZooKeeper can't be reached.

    Calling it raises what `Config.wait_ready` raises.
    """

    def __init__(
        self, settings_cls: type[BaseSettings], config: Config[dict[str, Any]], timeout: float | None = 10.0
    ) -> None:
        super().__init__(settings_cls)
        self._config = config
        self._timeout = timeout

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """Return the value of a field, its key, and whether the value is text to be decoded."""
        return self().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the keys of the document that the settings have, all of one revision."""
        document = self._config.wait_ready(self._timeout).value
        by_name = self.config.get("populate_by_name") or self.config.get("validate_by_name")
        fields = self.settings_cls.model_fields
        names = {key for field in fields.values() for key in _keys(field)}
        names.update(name for name, field in fields.items() if by_name or field.validation_alias is None)
        return {key: value for key, value in document.items() if key in names}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._config.name!r})"


def _keys(field: FieldInfo) -> Iterator[str]:
    """Yield the keys at the top level that the aliases of a field name."""
    alias = field.validation_alias
    for choice in alias.choices if isinstance(alias, AliasChoices) else [alias]:
        if choice is not None:
            yield str(choice.path[0]) if isinstance(choice, AliasPath) else choice
