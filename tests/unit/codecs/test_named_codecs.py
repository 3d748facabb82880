"""Codecs by name, as objects and from other packages; and what a codec may not do to the client."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest

from zkdiscovery import Codec, InvalidInstance, InvalidSettings, UndecodableNode
from zkdiscovery.codecs import MAX_DATA_BYTES
from zkdiscovery.codecs.curator import CuratorCodec
from zkdiscovery.codecs.named import resolve_codec
from zkdiscovery.model import Instance

ORDERS = Instance("orders", "10.0.0.7", 8080, id="one")
NOT_A_CODEC = object()


class Plain:
    """Host and port as JSON; by default as it should be."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers

    def encode(self, instance: Instance, previous: bytes | None = None) -> bytes:
        answer = self.answers.get("encode", lambda: json.dumps([instance.host, instance.port]).encode())
        found: bytes = answer()
        return found

    def decode(self, service: str, id: str, data: bytes) -> Instance:
        answer = self.answers.get("decode", lambda: Instance(service, *json.loads(data), id=id))
        found: Instance = answer()
        return found

    def __repr__(self) -> str:
        return "Plain()"


def fail(error: Exception) -> Any:
    def raises() -> None:
        raise error

    return raises


def test_the_default_is_curators() -> None:
    assert isinstance(resolve_codec(), CuratorCodec)
    assert isinstance(resolve_codec("curator"), CuratorCodec)
    ours = CuratorCodec()
    assert resolve_codec(ours) is ours, "at no cost"


def test_an_object_is_a_codec() -> None:
    codec: Codec = resolve_codec(Plain())
    data = codec.encode(ORDERS)
    assert data == b'["10.0.0.7", 8080]'
    assert codec.decode("orders", "one", data) == ORDERS
    assert resolve_codec(codec) is codec


@pytest.mark.parametrize("previous", [None, b"before"])
def test_a_codec_gets_what_the_znode_holds(previous: bytes | None) -> None:
    class Keeping(Plain):
        def encode(self, instance: Instance, previous: bytes | None = None) -> bytes:
            return repr(previous).encode()

    assert resolve_codec(Keeping()).encode(ORDERS, previous) == repr(previous).encode()


@pytest.mark.parametrize(
    "spec", [CuratorCodec, Plain, NOT_A_CODEC, None, 7, "", "no such", b"curator", ["curator"], json]
)
def test_what_is_no_codec_is_refused(spec: Any) -> None:
    with pytest.raises(InvalidSettings, match=r"no codec .*There are 'curator'; or give an object with encode"):
        resolve_codec(spec)


def test_a_slip_of_the_pen_gets_a_hint() -> None:
    with pytest.raises(InvalidSettings, match=r"no codec 'Curater'\. Did you mean 'curator'\?"):
        resolve_codec("Curater")


def install(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    entries = EntryPoints([EntryPoint("theirs", value, "zkdiscovery.codecs")])
    monkeypatch.setattr(importlib.metadata, "entry_points", entries.select)


@pytest.mark.parametrize("value", ["Plain", "plain", "make"], ids=["class", "object", "function"])
def test_codecs_of_other_packages(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules[__name__]
    monkeypatch.setattr(module, "plain", Plain(), raising=False)
    monkeypatch.setattr(module, "make", Plain, raising=False)
    install(monkeypatch, f"{__name__}:{value}")
    assert resolve_codec("theirs").encode(ORDERS) == b'["10.0.0.7", 8080]'


@pytest.mark.parametrize("value", ["no_such_module:x", f"{__name__}:NoSuchName", f"{__name__}:NOT_A_CODEC"])
def test_codecs_of_other_packages_that_cannot_be_loaded(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, value)
    with pytest.raises(InvalidSettings, match="theirs"):
        resolve_codec("theirs")


@pytest.mark.parametrize(
    ("decode", "reason"),
    [
        (fail(KeyError("port")), r"Plain\(\) can't decode 'one': KeyError: 'port'"),
        (fail(UndecodableNode("not mine")), "^not mine$"),
        (lambda: None, "must decode to an Instance: got NoneType for 'one'"),
        (lambda: ORDERS.with_(id="two"), "'orders' and 'one': got 'orders' and 'two'"),
        (lambda: ORDERS.with_(service="others"), "got 'others' and 'one'"),
    ],
)
def test_a_codec_that_fails_to_decode_rejects_the_znode(decode: Any, reason: str) -> None:
    with pytest.raises(UndecodableNode, match=reason):
        resolve_codec(Plain(decode=decode)).decode("orders", "one", b"data")


@pytest.mark.parametrize(
    ("encode", "reason"),
    [
        (fail(KeyError("port")), r"Plain\(\) can't encode 'one' of 'orders': KeyError: 'port'"),
        (fail(InvalidInstance("too old")), "^too old$"),
        (lambda: "text", "must encode to bytes: got str"),
        (lambda: b"x" * (MAX_DATA_BYTES + 1), f"the limit is {MAX_DATA_BYTES}"),
    ],
)
def test_a_codec_that_fails_to_encode_refuses_the_instance(encode: Any, reason: str) -> None:
    with pytest.raises(InvalidInstance, match=reason):
        resolve_codec(Plain(encode=encode)).encode(ORDERS)


def test_a_codec_is_not_asked_about_a_znode_that_is_too_large() -> None:
    codec = resolve_codec(Plain(decode=fail(AssertionError("asked"))))
    with pytest.raises(UndecodableNode, match=f"the limit is {MAX_DATA_BYTES}"):
        codec.decode("orders", "one", b"x" * (MAX_DATA_BYTES + 1))
