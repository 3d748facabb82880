"""Settings of pydantic-settings that come from a document."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from pydantic import AliasChoices, BaseModel, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from tests.conftest import MakeClient
from tests.support import LIMIT
from zkdiscovery import Client, Config, NotConnected
from zkdiscovery.integrations.pydantic_settings import ConfigSettingsSource


class Bank(BaseModel):
    url: str = "https://bank.example"
    timeout: float = 1.0


def settings_from(config: Config[dict[str, Any]], timeout: float = LIMIT) -> type[Any]:
    class Shop(BaseSettings):
        model_config = SettingsConfigDict(env_prefix="SHOP_", env_nested_delimiter="__")
        bank: Bank = Bank()
        limit: int = 1
        region: str = Field("none", validation_alias="zone")
        name: str = Field("none", validation_alias=AliasChoices("title", "name"))
        password: SecretStr | None = None

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            source = ConfigSettingsSource(settings_cls, config, timeout)
            return init_settings, env_settings, source, file_secret_settings

    return Shop


def test_documents_are_a_source_among_others(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    client = make_client()
    document = {
        "bank": {"timeout": 2.0, "url": "https://other.example"}, "limit": 5, "zone": "north", "title": "shop",
        "password": "x", "of another program": 1,
    }  # fmt: skip
    client.config_store("shop").replace(document, "first")
    shop_type = settings_from(client.config("shop"))
    monkeypatch.setenv("SHOP_BANK__TIMEOUT", "9")
    shop = shop_type(limit=7)
    assert (shop.bank.url, shop.bank.timeout) == ("https://other.example", 9.0)
    assert (shop.limit, shop.region, shop.name) == (7, "north", "shop")
    assert shop.password.get_secret_value() == "x"


def test_new_settings_have_the_revision_in_force(make_client: MakeClient) -> None:
    client = make_client()
    store, config = client.config_store("shop"), client.config("shop")
    store.replace({"limit": 1, "bank": {"timeout": 1}}, "first")
    shop_type = settings_from(config)
    first = shop_type()
    made: list[Any] = []
    done = threading.Event()

    def renew(_: object) -> None:
        made.append(shop_type())
        if made[-1].limit == 2:
            done.set()

    config.on_change(renew)
    store.replace({"limit": 2, "bank": {"timeout": 2}}, "second")
    assert done.wait(LIMIT)
    assert (made[-1].limit, made[-1].bank.timeout) == (2, 2.0)
    assert (first.limit, first.bank.timeout) == (1, 1.0)


def test_bad_values_and_silence_are_errors(make_client: MakeClient) -> None:
    client = make_client()
    client.config_store("shop").replace({"limit": "many"}, "bad")
    with pytest.raises(ValidationError, match="limit"):
        settings_from(client.config("shop"))()
    with Client("127.0.0.1:1") as away, pytest.raises(NotConnected, match="has no value yet"):
        settings_from(away.config("shop"), 0.1)()
