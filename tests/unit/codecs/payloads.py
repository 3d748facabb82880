"""Nodes as Curator and Spring Cloud write them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import settings

from zkdiscovery.codecs.curator import CuratorCodec
from zkdiscovery.model import Instance

CODEC = CuratorCodec()


HYPOTHESIS = settings(max_examples=300, deadline=None, derandomize=True)


SPRING = "org.springframework.cloud.zookeeper.discovery.ZookeeperInstance"


def node(**fields: Any) -> bytes:
    """What Curator's default serializer writes, with some fields replaced."""
    plain = {
        "name": "orders",
        "id": "6f1c",
        "address": "10.0.0.7",
        "port": 8080,
        "sslPort": None,
        "payload": None,
        "registrationTimeUTC": 1_700_000_000_000,
        "serviceType": "DYNAMIC",
        "uriSpec": None,
    }
    return json.dumps(plain | fields, separators=(",", ":")).encode()


def spring(metadata: Any, **fields: Any) -> bytes:
    return node(payload={"@class": SPRING, "id": "orders-1", "name": "orders", "metadata": metadata}, **fields)


def decode(data: bytes) -> Instance:
    return CODEC.decode("orders", "6f1c", data)
