"""Feature flags of the config centre, read by OpenFeature's own client."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import ErrorCode, ProviderNotReadyError
from openfeature.flag_evaluation import Reason
from openfeature.provider import ProviderStatus

from tests.conftest import MakeClient
from tests.support import LIMIT, Recorder, wait_until
from zkdiscovery import Client
from zkdiscovery.integrations.openfeature import FlagProvider
from zkdiscovery.testing import FaultProxy, ZookeeperServer

FLAGS: dict[str, Any] = {
    "new-checkout": True,
    "banner": "hello",
    "limit": 10,
    "ratio": 0.5,
    "whole": 2,
    "banks": ["a", "b"],
    "bank.timeout": 3,
    "theme": {
        "variants": {"dark": {"colour": "black"}, "light": {"colour": "white"}},
        "default": "light",
        "targets": {"dark": ["ann"]},
    },
    "off": {"variants": {"on": True}, "default": "on", "enabled": False},
}


@pytest.fixture
def flags(make_client: MakeClient) -> Iterator[OpenFeatureClient]:
    client = make_client()
    client.config_store("flags").replace(FLAGS, "first")
    api.set_provider_and_wait(FlagProvider(client))
    yield api.get_client()
    api.shutdown()


def test_values_of_each_type(flags: OpenFeatureClient) -> None:
    assert flags.get_boolean_value("new-checkout", False) is True
    assert flags.get_string_value("banner", "") == "hello"
    assert flags.get_integer_value("limit", 0) == 10
    assert flags.get_float_value("ratio", 0.0) == 0.5
    assert flags.get_float_value("whole", 0.0) == 2.0
    assert flags.get_object_value("banks", []) == ["a", "b"]
    assert flags.get_integer_value("bank.timeout", 0) == 3
    details = flags.get_boolean_details("new-checkout", False)
    assert (details.reason, details.variant) == (Reason.STATIC, None)
    assert details.flag_metadata == {"document": "flags", "revision": 1}


def test_variants_targets_and_what_is_off(flags: OpenFeatureClient) -> None:
    ann = flags.get_object_details("theme", {}, EvaluationContext("ann"))
    assert (ann.value, ann.variant, ann.reason) == ({"colour": "black"}, "dark", Reason.TARGETING_MATCH)
    other = flags.get_object_details("theme", {}, EvaluationContext("bob"))
    assert (other.value, other.variant, other.reason) == ({"colour": "white"}, "light", Reason.DEFAULT)
    off = flags.get_boolean_details("off", False)
    assert (off.value, off.reason) == (False, Reason.DISABLED)


@pytest.mark.parametrize(
    ("name", "code"),
    [("unknown", ErrorCode.FLAG_NOT_FOUND), ("banner", ErrorCode.TYPE_MISMATCH), ("limit", ErrorCode.TYPE_MISMATCH)],
)
def test_what_is_no_such_flag_is_the_default_of_the_caller(
    flags: OpenFeatureClient, name: str, code: ErrorCode
) -> None:
    details = flags.get_boolean_details(name, True)
    assert (details.value, details.error_code, details.reason) == (True, code, Reason.ERROR)
    assert name in (details.error_message or "")


def test_a_percentage_needs_a_key_and_its_group_only_grows(flags: OpenFeatureClient, make_client: MakeClient) -> None:
    store = make_client().config_store("flags")
    changed: Recorder[EventDetails] = Recorder()
    api.add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, changed)
    people = [EvaluationContext(f"user-{number}") for number in range(1000)]
    before: set[str] = set()
    for percent in (10, 30, 100):
        flag = {"variants": {"new": True, "old": False}, "default": "old", "percent": {"new": percent}}
        with store.edit(f"{percent} %") as draft:
            draft["search"] = flag
        wait_until(lambda percent=percent: share(flags, people, percent), LIMIT)  # type: ignore[misc]
        group = {who.targeting_key or "" for who in people if flags.get_boolean_value("search", False, who)}
        assert before <= group
        before = group
    assert len(before) == 1000
    assert all(details.flags_changed == ["search"] for details in changed.items)
    details = flags.get_boolean_details("search", False)
    assert (details.value, details.error_code) == (False, ErrorCode.TARGETING_KEY_MISSING)
    assert flags.get_boolean_details("search", False, people[0]).reason is Reason.SPLIT


def cut(proxy: FaultProxy) -> None:
    """Take ZooKeeper away."""
    proxy.refuse()
    proxy.drop()


def note(heard: Recorder[str], event: ProviderEvent, details: EventDetails) -> None:
    """Keep an event of ours; the provider that OpenFeature has at first has some, too."""
    if details.provider_name == "zkdiscovery":
        heard(event.name)


def share(flags: OpenFeatureClient, people: list[EvaluationContext], percent: int) -> bool:
    """Is the share of those who have it within 3 points of the percentage?"""
    return abs(sum(flags.get_boolean_value("search", False, who) for who in people) / 10 - percent) <= 3


@pytest.mark.parametrize(
    ("flag", "reason"),
    [
        (None, "null is no value"),
        ({"variants": {}, "default": "a"}, "at least 1"),
        ({"variants": {"a": 1, "b": True}, "default": "a"}, "all variants have one type: got boolean, number"),
        ({"variants": {"a": 1}, "default": "b"}, "there is no variant 'b'"),
        ({"variants": {"a": 1}, "default": "a", "percent": {"b": 1}}, "there is no variant 'b'"),
        ({"variants": {"a": 1, "b": 2}, "default": "a", "percent": {"a": 60, "b": 60}}, "more than 100"),
        ({"variants": {"a": 1, "b": 2}, "default": "a", "targets": {"a": ["x"], "b": ["x"]}}, "two variants"),
        ({"variant": {"a": 1}, "default": "a"}, "flag.variant"),
    ],
)
def test_a_flag_that_makes_no_sense_changes_nothing_and_is_told(
    flags: OpenFeatureClient, make_client: MakeClient, flag: Any, reason: str
) -> None:
    store = make_client().config_store("flags")
    with store.edit("bad") as draft:
        draft["flag"], draft["limit"] = flag, 99
    wait_until(lambda: any(reader.reason and reason in reader.reason for reader in store.readers()), LIMIT)
    assert flags.get_integer_value("limit", 0) == 10


def test_changes_and_losses_are_events(zkdiscovery_server: ZookeeperServer, namespace: str) -> None:
    heard: Recorder[str] = Recorder()
    for event in ProviderEvent:
        api.add_handler(event, lambda details, event=event: note(heard, event, details))  # type: ignore[misc]
    with FaultProxy(zkdiscovery_server.hosts) as proxy, Client(proxy.address, namespace=namespace) as client:
        try:
            store = client.config_store("flags")
            store.replace({"on": False}, "first")
            api.set_provider_and_wait(FlagProvider(client))
            flags = api.get_client()
            store.replace({"on": True}, "second")
            wait_until(lambda: flags.get_boolean_value("on", False), LIMIT)
            cut(proxy)
            wait_until(lambda: flags.get_provider_status() is ProviderStatus.STALE, LIMIT)
            details = flags.get_boolean_details("on", False)
            assert (details.value, details.reason) == (True, Reason.STALE)
            proxy.heal()
            wait_until(lambda: flags.get_boolean_details("on", False).reason is Reason.STATIC, LIMIT)
            wait_until(lambda: heard.items[-1] == "PROVIDER_READY", LIMIT)
            assert [name.removeprefix("PROVIDER_") for name in heard.items] == [
                "READY", "CONFIGURATION_CHANGED", "STALE", "READY",
            ]  # fmt: skip
        finally:
            api.shutdown()


def test_without_zookeeper_it_is_not_ready_until_it_is_there(
    zkdiscovery_server: ZookeeperServer, namespace: str
) -> None:
    with FaultProxy(zkdiscovery_server.hosts) as proxy, Client(proxy.address, namespace=namespace) as client:
        client.config_store("flags").replace({"on": True}, "first")
        cut(proxy)
        try:
            with pytest.raises(ProviderNotReadyError, match="has no value yet"):
                api.set_provider_and_wait(FlagProvider(client, timeout=0.2))
            flags = api.get_client()
            assert flags.get_boolean_details("on", False).error_code is ErrorCode.PROVIDER_NOT_READY
            ready = threading.Event()
            api.add_handler(ProviderEvent.PROVIDER_READY, lambda _: ready.set())
            proxy.heal()
            assert ready.wait(LIMIT)
            assert flags.get_boolean_value("on", False) is True
        finally:
            api.shutdown()


def test_it_starts_from_a_file_and_ends_without_a_trace(
    zkdiscovery_server: ZookeeperServer, namespace: str, tmp_path: Any
) -> None:
    file = tmp_path / "flags.json"
    with Client(zkdiscovery_server.hosts, namespace=namespace) as client:
        client.config_store("flags").replace({"on": True}, "first")
        api.set_provider_and_wait(FlagProvider(client, fallback=file))
        wait_until(file.exists, LIMIT)
        wait_until(lambda: len(client.config_store("flags").readers()) == 1, LIMIT)
        api.shutdown()
        wait_until(lambda: client.config_store("flags").readers() == [], LIMIT)
    with FaultProxy(zkdiscovery_server.hosts) as proxy, Client(proxy.address, namespace=namespace) as client:
        cut(proxy)
        try:
            api.set_provider_and_wait(FlagProvider(client, fallback=file))
            details = api.get_client().get_boolean_details("on", False)
            assert (details.value, details.reason) == (True, Reason.STALE)
        finally:
            api.shutdown()
